//! The arguments of `blob`.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use netdb::base::Hash;
use netdb::blob::{Chunking, ContentSizes};

#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    /// Puts a file, or standard input, as a blob.
    #[command(after_help = "Examples:\n  net-db blob put model.safetensors\n  \
        tar c photos | net-db blob put - --chunking content")]
    Put(PutArguments),
    /// Writes a blob, every byte of it verified.
    #[command(after_help = "Examples:\n  net-db blob get 3f1c...9a --out model.safetensors\n  \
        net-db blob get 3f1c...9a --range 0..4096 | xxd")]
    Get(GetArguments),
    /// Describes a blob.
    #[command(after_help = "Example:\n  net-db blob stat 3f1c...9a")]
    Stat(NamedBlob),
    /// Tells whether a blob is here: exit code 0, or 3.
    #[command(after_help = "Example:\n  net-db blob exists 3f1c...9a && echo here")]
    Exists(NamedBlob),
    /// Lists what was put.
    #[command(after_help = "Example:\n  net-db blob ls --format table")]
    Ls,
    /// Lists the chunks of a blob.
    #[command(after_help = "Example:\n  net-db blob tree 3f1c...9a")]
    Tree(NamedBlob),
    /// Tells which chunk of a blob holds a byte.
    #[command(after_help = "Example:\n  net-db blob path 3f1c...9a --offset 5000000")]
    Path(PathArguments),
    /// Reads and verifies everything that is stored; exit code 5 when something is damaged.
    #[command(after_help = "Example:\n  net-db blob verify")]
    Verify,
}

/// A blob by its name.
#[derive(Debug, Args)]
pub(crate) struct NamedBlob {
    /// Its name.
    #[arg(value_parser = hash)]
    pub(crate) hash: Hash,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// The file, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Where chunks end: each 4 MiB, or where the content says, so that versions of a file have chunks in common.
    #[arg(long, value_enum, default_value = "fixed")]
    pub(crate) chunking: ChunkingName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChunkingName {
    Fixed,
    Content,
}

impl ChunkingName {
    pub(crate) fn chunking(self) -> Chunking {
        match self {
            Self::Fixed => Chunking::Fixed,
            Self::Content => Chunking::Content(ContentSizes::default()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// The file that it is written to, which appears once it is whole [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// These bytes of it only, such as 4096..8192; the end may be left out.
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,
}

#[derive(Debug, Args)]
pub(crate) struct PathArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// The byte, from 0.
    #[arg(long)]
    pub(crate) offset: u64,
}

fn hash(text: &str) -> Result<Hash, String> {
    let parsed = blake3::Hash::from_hex(text).map(Hash::from);
    parsed.map_err(|_| "a blob is named by 64 hexadecimal digits: `net-db blob ls` lists them".to_owned())
}

/// Reads a range; one without an end ends at the largest number.
fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range: write FROM..TO, or FROM..");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let range = number(from)?..if to.is_empty() { u64::MAX } else { number(to)? };
    if range.start <= range.end { Ok(range) } else { Err(wrong()) }
}
