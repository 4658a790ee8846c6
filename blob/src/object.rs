//! What the store keeps: bytes under the hash that names them.

use base::Hash;

/// What the hash of a node is derived with, so that no content has the name of a node.
const NODE_CONTEXT: &str = "netdb 2026-11-22 blob node";
/// What the hash of a directory is derived with.
const DIRECTORY_CONTEXT: &str = "netdb 2026-11-22 blob directory";

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// Content: named by its BLAKE3 hash, which is what `b3sum` prints.
    Chunk,
    /// A list of chunks or nodes: named by a hash of its own kind.
    Node,
    /// Names, and what stands under them: named by a hash of its own kind.
    Directory,
}

impl ObjectKind {
    /// Returns the name of these bytes.
    pub fn name_of(self, bytes: &[u8]) -> Hash {
        match self {
            Self::Chunk => Hash::of(bytes),
            Self::Node => derived(NODE_CONTEXT, bytes),
            Self::Directory => derived(DIRECTORY_CONTEXT, bytes),
        }
    }

    /// Returns the name used in output: `chunk`, `list` or `directory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Node => "list",
            Self::Directory => "directory",
        }
    }

    pub(crate) fn as_u8(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Node => 2,
            Self::Directory => 11,
        }
    }

    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Chunk),
            2 => Some(Self::Node),
            11 => Some(Self::Directory),
            _ => None,
        }
    }
}

fn derived(context: &str, bytes: &[u8]) -> Hash {
    blake3::Hasher::new_derive_key(context).update(bytes).finalize().into()
}
