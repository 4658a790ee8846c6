//! What can go wrong, and what its caller can do.

use std::io;
use std::path::{Path, PathBuf};

use base::{Classify, ErrorKind, Hash};

use crate::reference::BlobEncoding;

/// Why something with a blob failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Nothing here has that name.
    #[error("no blob {hash} here: put it, or fetch it from where it is")]
    NotFound {
        /// The name.
        hash: Hash,
    },
    /// A chunk lies where the store overflowed to, and nobody said where that is.
    #[error("chunk {hash} lies where this store overflowed to, and that place is not set: set it as it was")]
    NoAway {
        /// The chunk.
        hash: Hash,
    },
    /// A chunk that lies where the store overflowed to could not be had from there.
    #[error("chunk {hash} lies where this store overflowed to: {source}")]
    Away {
        /// The chunk.
        hash: Hash,
        /// What went wrong.
        source: Box<BlobError>,
    },
    /// Chunks cannot go elsewhere like that.
    #[error("overflow of blobs: {why}")]
    Overflow {
        /// What is wrong.
        why: &'static str,
    },
    /// A tree in which something leads elsewhere.
    #[error("{path} in the tree: {why}; nothing was taken of it", path = path.display())]
    UnsafePath {
        /// The path from the top of the tree.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A tree with more names than whoever asked for it takes.
    #[error("tree {hash} has more than {max} names: allow for more, if that is what it should have")]
    TooManyEntries {
        /// The tree.
        hash: Hash,
        /// The most.
        max: u64,
    },
    /// What was to be a directory is something else.
    #[error("{hash} is no directory: get it as a file")]
    NoDirectory {
        /// The name.
        hash: Hash,
    },
    /// What was to be a file is a directory.
    #[error("{hash} is a directory: get it as a tree")]
    IsDirectory {
        /// The name.
        hash: Hash,
    },
    /// A file of whoever puts or gets a tree could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What is stored is not what its name says.
    #[error(
        "{file} at {offset}: {hash} was expected and {found} found; nothing of it was given out: put the blob again from where \
         it came, or restore the file",
        file = file.display()
    )]
    HashMismatch {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// The name.
        hash: Hash,
        /// The hash of what is there.
        found: Hash,
    },
    /// A chunk has another length than what refers to it says.
    #[error(
        "chunk {hash} has {found} bytes where {expected} were expected: the blob that lists it is damaged"
    )]
    ShortChunk {
        /// The chunk.
        hash: Hash,
        /// The length that was told.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// Bytes that are no reference or node.
    #[error("no reference to a blob, or a damaged one: a wrong {what}")]
    Decode {
        /// What is wrong.
        what: String,
    },
    /// A reference or file of a version that this program does not know.
    #[error("version {found} of {what}, and this program reads up to {known}: use a newer program")]
    UnsupportedVersion {
        /// What it is the version of.
        what: &'static str,
        /// The version.
        found: u16,
        /// The newest version that is known.
        known: u16,
    },
    /// More bytes than a blob may have.
    #[error("a blob of more than {max} bytes: cut it into several")]
    TooLarge {
        /// The most.
        max: u64,
    },
    /// A range that does not lie in the blob.
    #[error("bytes {from}..{to} of a blob that has {bytes}: ask for less")]
    Range {
        /// The first byte.
        from: u64,
        /// Behind the last.
        to: u64,
        /// The blob's length.
        bytes: u64,
    },
    /// What somebody sent of a blob does not fit its name.
    #[error("what was sent of {hash} has a wrong {what}, and was not taken: ask somebody else, or again")]
    Slice {
        /// The blob.
        hash: Hash,
        /// What is wrong.
        what: &'static str,
    },
    /// Sizes of chunks that content-defined chunking does not take.
    #[error("chunks of {min}, {average} and {max} bytes: {why}")]
    Chunking {
        /// The smallest.
        min: u32,
        /// The average.
        average: u32,
        /// The largest.
        max: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// The store's files could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What was to be put could not be read, or what was read not be written.
    #[error("the bytes of a blob: {0}")]
    Stream(#[source] io::Error),
    /// A text that is too long.
    #[error("{what} of {bytes} bytes: at most {max}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most.
        max: usize,
    },
    /// A name that no blob can have.
    #[error("a blob cannot be named `{}`: use a text without control characters that is not empty", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// What is pinned recursively is not pinned directly, too.
    #[error("{hash} is pinned recursively, which keeps more: take that pin away first to pin it directly")]
    Pinned {
        /// The blob.
        hash: Hash,
    },
    /// There is no pin to go from.
    #[error("{hash} is not pinned recursively: pin the new one")]
    NotPinned {
        /// The blob.
        hash: Hash,
    },
    /// Somebody else collects at the moment.
    #[error("what nobody needs is being collected already: wait until that has ended")]
    Collecting,
    /// What keeps names and pins, or what refers to blobs, failed.
    #[error("names, pins or references of blobs: {source}")]
    Wiring {
        /// What can be done about it.
        kind: ErrorKind,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process, or another part of this one, has the store open.
    #[error("the blobs in {dir} are open elsewhere: wait until that has ended", dir = dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A blob that is stored in a way that whoever was asked cannot read or write.
    #[error("a blob that is stored as {encoding}, which is not done here: use a program that does")]
    UnsupportedEncoding {
        /// How it is stored.
        encoding: BlobEncoding,
    },
    /// An adapter was given a reference to what lies with others.
    #[error(
        "adapter {adapter} takes no reference with the scheme `{scheme}`: ask the adapter that is registered for it"
    )]
    UnsupportedScheme {
        /// The adapter.
        adapter: String,
        /// The scheme of the reference's URI.
        scheme: String,
    },
    /// What an adapter keeps its objects in failed.
    #[error(
        "adapter {adapter} could not {operation}: {source}; {next}",
        next = if *can_repeat { "try again later" } else { "look at its settings and at what the other side says" }
    )]
    Backend {
        /// The adapter.
        adapter: String,
        /// What it was to do.
        operation: &'static str,
        /// Whether the same call may succeed later.
        can_repeat: bool,
        /// What the other side said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What an adapter keeps its objects in does not let us.
    #[error("adapter {adapter} may not {operation}: give it credentials with that right")]
    Unauthorized {
        /// The adapter.
        adapter: String,
        /// What it was to do.
        operation: &'static str,
    },
    /// What no name of an object begins with.
    #[error("no name begins with `{prefix}`: use at most 64 of 0-9 and a-f")]
    Prefix {
        /// The prefix.
        prefix: String,
    },
    /// Whoever asked for it gave up on it.
    #[error("cancelled before it was done: what was stored by then stays, ask again for the rest")]
    Cancelled,
    /// No adapter is there at all.
    #[error("no adapter for blobs is configured: register one")]
    AdapterNotConfigured,
    /// No adapter has that id or takes that scheme.
    #[error("no adapter `{name}` is registered: register it, or ask one of {}", known.join(", "))]
    AdapterNotRegistered {
        /// The id or scheme.
        name: String,
        /// The ids that are registered.
        known: Vec<String>,
    },
    /// An adapter has that id or takes that scheme already.
    #[error("`{name}` belongs to adapter {owner} already: give this one another id, or other schemes")]
    AdapterExists {
        /// The id or scheme.
        name: String,
        /// The id of who has it.
        owner: String,
    },
    /// An earlier failure made it unknown what the disk holds.
    #[error("the store takes nothing since {cause}: open it again, which looks at its files")]
    Poisoned {
        /// The failure.
        cause: String,
    },
}

impl BlobError {
    /// Tells whether there was no room on the disk.
    pub fn is_full_disk(&self) -> bool {
        let is_full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if is_full(source.kind()))
    }

    /// Tells whether what is stored of one object is wrong, or gone from where it was put, and not more than that.
    pub(crate) fn is_of_object(&self) -> bool {
        match self {
            Self::HashMismatch { .. } | Self::ShortChunk { .. } | Self::Decode { .. } => true,
            Self::Away { source, .. } => matches!(**source, Self::NotFound { .. }) || source.is_of_object(),
            _ => false,
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<crate::WiringError> for BlobError {
    fn from(error: crate::WiringError) -> Self {
        Self::Wiring { kind: error.kind, source: error.source }
    }
}

impl Classify for BlobError {
    fn kind(&self) -> ErrorKind {
        match self {
            // It is gone from where it was read back.
            Self::Away { source, .. } if matches!(**source, Self::NotFound { .. }) => ErrorKind::Corrupt,
            Self::Away { source, .. } => source.kind(),
            Self::NotFound { .. } | Self::AdapterNotRegistered { .. } => ErrorKind::NotFound,
            Self::HashMismatch { .. }
            | Self::ShortChunk { .. }
            | Self::Slice { .. }
            | Self::Decode { .. } => ErrorKind::Corrupt,
            Self::UnsupportedVersion { .. }
            | Self::TooLarge { .. }
            | Self::Range { .. }
            | Self::TooLong { .. }
            | Self::Name { .. }
            | Self::Chunking { .. }
            | Self::UnsupportedEncoding { .. }
            | Self::UnsupportedScheme { .. }
            | Self::Prefix { .. }
            | Self::AdapterNotConfigured
            | Self::NoAway { .. }
            | Self::UnsafePath { .. }
            | Self::TooManyEntries { .. }
            | Self::NoDirectory { .. }
            | Self::IsDirectory { .. }
            | Self::Overflow { .. }
            | Self::Backend { can_repeat: false, .. } => ErrorKind::Invalid,
            Self::AdapterExists { .. } | Self::Pinned { .. } | Self::NotPinned { .. } => ErrorKind::Conflict,
            Self::Unauthorized { .. } => ErrorKind::Denied,
            Self::Wiring { kind, .. } => *kind,
            Self::Io { source, .. } | Self::File { source, .. } | Self::Stream(source) => {
                Classify::kind(source)
            }
            Self::Poisoned { .. }
            | Self::Locked { .. }
            | Self::Collecting
            | Self::Cancelled
            | Self::Backend { can_repeat: true, .. } => ErrorKind::Unavailable,
        }
    }
}
