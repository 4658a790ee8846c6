//! References to blobs: what is told to somebody else, so that they can fetch and verify one.

use std::fmt;

use base::Hash;
use base::wire::Malformed;

use crate::BlobError;
use crate::blobs::{BlobForm, BlobInfo};
use crate::limits::{
    CHUNK_BYTES_MAX, FAN_OUT, FLAT_BYTES_MAX, MANIFEST_CHUNKS_MAX, REFERENCE_BYTES_MAX, SHARDS_MAX,
    TREE_BYTES_MAX, TREE_DEPTH_MAX,
};

mod codec;
mod text;

/// The scheme of what lies in our own storage: its URI is `netdb:` and the name.
pub const OWN_SCHEME: &str = "netdb";

/// Characters of a scheme, at most.
const SCHEME_MAX: usize = 32;

/// Bytes of an encoded reference without its URI.
const FIXED_BYTES: usize = 60;

/// A reference to a blob: portable, with all that is needed to fetch and verify it.
///
/// It has one encoding as bytes ([`encode`](Self::encode), `FORMAT.md` has the layout) and one as text ([`fmt::Display`] and
/// [`std::str::FromStr`]):
///
/// ```text
/// blob:small:HASH:BYTES
/// blob:manifest:HASH:BYTES:CHUNKS
/// blob:tree:HASH:BYTES:DEPTH
/// ```
///
/// Behind it stands `?rs=K,M` where it is stored as Reed-Solomon shards, and `?at=URI` or `&at=URI`, always last and without any
/// escapes, where it does not lie in our own storage. Whether bytes are a reference is never guessed from them: whoever stores one
/// says so beside it.
///
/// # Examples
///
/// ```
/// let hash = base::Hash::of(b"one");
/// let reference = blob::BlobRef::small(hash, 3)?.with_uri("s3://archive/blobs")?;
/// assert_eq!(reference.to_string(), format!("blob:small:{hash}:3?at=s3://archive/blobs"));
/// assert_eq!(reference.to_string().parse::<blob::BlobRef>()?, reference);
/// assert_eq!(blob::BlobRef::decode(&reference.encode())?, reference);
/// # Ok::<(), blob::BlobError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobRef {
    form: ReferenceForm,
    hash: Hash,
    bytes: u64,
    encoding: BlobEncoding,
    /// Where it lies; `None` for our own storage.
    location: Option<Box<str>>,
}

/// What the object is that a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceForm {
    /// A chunk, which is the blob.
    Small,
    /// A list of all chunks.
    Manifest {
        /// How many.
        chunks: u32,
    },
    /// A tree of lists.
    Tree {
        /// Levels of lists.
        depth: u8,
    },
}

/// How the chunks of a blob are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BlobEncoding {
    /// As they are.
    #[default]
    Replicated,
    /// In stripes of shards, of which any `k` give back all.
    ReedSolomon {
        /// Shards of data in a stripe.
        k: u8,
        /// Shards of parity in a stripe.
        m: u8,
    },
}

impl fmt::Display for BlobEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicated => f.write_str("whole chunks"),
            Self::ReedSolomon { k, m } => write!(f, "Reed-Solomon shards ({k} of data, {m} of parity)"),
        }
    }
}

impl BlobRef {
    /// Refers to a blob that is one chunk, of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn small(hash: Hash, bytes: u64) -> Result<Self, BlobError> {
        Self::new(ReferenceForm::Small, hash, bytes)
    }

    /// Refers to a blob in our own storage.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] for more bytes than its form can have; [`BlobError::Decode`] for fewer, and for a count of chunks
    /// or a depth that cannot be.
    pub fn new(form: ReferenceForm, hash: Hash, bytes: u64) -> Result<Self, BlobError> {
        let max = form.bytes_max();
        if bytes > max {
            return Err(BlobError::TooLarge { max });
        }
        let reference = Self { form, hash, bytes, encoding: BlobEncoding::Replicated, location: None };
        reference.checked().map_err(malformed)
    }

    /// Refers to the same blob, where it lies elsewhere; `netdb:` and its name say that it lies in our own storage.
    ///
    /// # Errors
    ///
    /// [`BlobError::Decode`] for what is no URI, is too long for a reference, or names something else in our own storage.
    pub fn with_uri(mut self, uri: &str) -> Result<Self, BlobError> {
        self.location = (uri != own_uri(&self.hash)).then(|| uri.into());
        self.checked().map_err(malformed)
    }

    /// Refers to the same blob, stored in another way.
    ///
    /// # Errors
    ///
    /// [`BlobError::Decode`] for counts of shards that cannot be.
    pub fn with_encoding(mut self, encoding: BlobEncoding) -> Result<Self, BlobError> {
        self.encoding = encoding;
        self.checked().map_err(malformed)
    }

    /// Returns what the object is that it names.
    pub fn form(&self) -> ReferenceForm {
        self.form
    }

    /// Returns the blob's name: the BLAKE3 hash of its content where it is one chunk, else that of the list of its parts.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns the blob's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how its chunks are stored.
    pub fn encoding(&self) -> BlobEncoding {
        self.encoding
    }

    /// Returns where it lies.
    pub fn uri(&self) -> String {
        self.location.as_deref().map_or_else(|| own_uri(&self.hash), str::to_owned)
    }

    /// Returns the scheme of where it lies.
    pub fn scheme(&self) -> &str {
        self.location.as_deref().and_then(|uri| uri.split_once(':')).map_or(OWN_SCHEME, |(scheme, _)| scheme)
    }

    /// Tells whether it lies in our own storage.
    pub fn is_own(&self) -> bool {
        self.location.is_none()
    }

    /// Returns what an event says of it: name and length.
    pub fn event_fields(&self) -> (Hash, u64) {
        (self.hash, self.bytes)
    }

    /// Checks that its chunks are stored as they are, for whoever cannot do anything else.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsupportedEncoding`].
    pub fn require_replicated(&self) -> Result<(), BlobError> {
        match self.encoding {
            BlobEncoding::Replicated => Ok(()),
            encoding => Err(BlobError::UnsupportedEncoding { encoding }),
        }
    }

    /// Returns its bytes, at most 1 KiB.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the bytes of a reference.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsupportedVersion`]; [`BlobError::Decode`] for anything that [`encode`](Self::encode) does not make.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        codec::decode(bytes)
    }

    /// Returns it if all of it can be.
    fn checked(self) -> Result<Self, Malformed> {
        self.form.check(self.bytes)?;
        if let BlobEncoding::ReedSolomon { k, m } = self.encoding
            && (k == 0 || m == 0 || u16::from(k) + u16::from(m) > SHARDS_MAX)
        {
            return Err(Malformed::new("count of shards"));
        }
        match self.location.as_deref().is_none_or(is_foreign_uri) {
            true => Ok(self),
            false => Err(Malformed::new("URI")),
        }
    }
}

impl TryFrom<&BlobInfo> for BlobRef {
    type Error = BlobError;

    /// Refers to a blob that is here.
    ///
    /// # Errors
    ///
    /// [`BlobError::IsDirectory`]; as [`BlobRef::new`], never for what a store tells of blobs that it made.
    fn try_from(info: &BlobInfo) -> Result<Self, BlobError> {
        let form = match info.form {
            BlobForm::Small => ReferenceForm::Small,
            BlobForm::Manifest { chunks, .. } => ReferenceForm::Manifest { chunks },
            BlobForm::Tree { depth, .. } => ReferenceForm::Tree { depth },
            BlobForm::Directory { .. } => return Err(BlobError::IsDirectory { hash: info.hash }),
        };
        Self::new(form, info.hash, info.bytes)
    }
}

impl ReferenceForm {
    /// Returns the name used in output: `small`, `manifest` or `tree`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Manifest { .. } => "manifest",
            Self::Tree { .. } => "tree",
        }
    }

    /// Returns the most bytes that a blob of this form can have.
    pub fn bytes_max(self) -> u64 {
        let chunk = CHUNK_BYTES_MAX as u64;
        match self {
            Self::Small => chunk,
            Self::Manifest { chunks } => chunk.saturating_mul(chunks.into()).min(FLAT_BYTES_MAX),
            Self::Tree { depth } => {
                let lists = (FAN_OUT as u64).saturating_pow(u32::from(depth).saturating_sub(1));
                lists.saturating_mul(MANIFEST_CHUNKS_MAX as u64 * chunk).min(TREE_BYTES_MAX)
            }
        }
    }

    /// Checks that a blob of so many bytes can have this form. No chunk of a list is empty.
    fn check(self, bytes: u64) -> Result<(), Malformed> {
        let bytes_min = match self {
            Self::Small => 0,
            Self::Manifest { chunks } if (1..=MANIFEST_CHUNKS_MAX as u32).contains(&chunks) => chunks.into(),
            Self::Manifest { .. } => return Err(Malformed::new("count of chunks")),
            Self::Tree { depth } if (1..=TREE_DEPTH_MAX).contains(&depth) => 1,
            Self::Tree { .. } => return Err(Malformed::new("depth")),
        };
        match (bytes_min..=self.bytes_max()).contains(&bytes) {
            true => Ok(()),
            false => Err(Malformed::new("count of bytes")),
        }
    }
}

fn own_uri(hash: &Hash) -> String {
    format!("{OWN_SCHEME}:{hash}")
}

/// Tells whether a text says where something lies that does not lie in our own storage.
fn is_foreign_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
        && scheme.len() <= SCHEME_MAX
        && scheme != OWN_SCHEME;
    is_scheme
        && !rest.is_empty()
        && rest.bytes().all(|c| c.is_ascii_graphic())
        && uri.len() <= REFERENCE_BYTES_MAX - FIXED_BYTES
}

fn malformed(malformed: Malformed) -> BlobError {
    BlobError::Decode { what: malformed.to_string() }
}

#[cfg(test)]
mod tests;
