//! Every limit of this crate, in one place.

/// Bytes of a chunk where blobs are cut at fixed places; the last one may be shorter.
pub const FIXED_CHUNK_BYTES: usize = 4 << 20;

/// Bytes of a chunk at most, wherever it is cut.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Chunks that one manifest lists at most; a larger blob is a tree.
pub const MANIFEST_CHUNKS_MAX: usize = 8_192;

/// Bytes of a blob that is one chunk or a manifest, at most.
pub const FLAT_BYTES_MAX: u64 = 16 << 30;

/// Bytes of a blob that is a tree, at most.
pub const TREE_BYTES_MAX: u64 = 128 << 50;

/// Children of a node in a tree, and chunks of a leaf, at most.
pub const FAN_OUT: usize = 128;

/// Levels of nodes in a tree, at most.
pub const TREE_DEPTH_MAX: u8 = 4;

/// Bytes of a node at most: the largest manifest.
pub const NODE_BYTES_MAX: usize = 64 + 40 * MANIFEST_CHUNKS_MAX;

/// Levels of directories below a directory, at most.
pub const DIRECTORY_LEVELS_MAX: u16 = 1_000;

/// Longest name in a directory, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// Longest target of a symbolic link, in bytes.
pub const LINK_BYTES_MAX: usize = 4_095;

/// Bytes of an encoded reference, at most.
pub const REFERENCE_BYTES_MAX: usize = 1 << 10;

/// Shards of data and parity together in a Reed-Solomon stripe, at most.
pub const SHARDS_MAX: u16 = 255;

/// Objects below this are packed, many in a file; others are files of their own.
pub(crate) const PACKED_BYTES_MAX: usize = 256 << 10;

/// Bytes of a pack at which the next one begins.
pub(crate) const PACK_BYTES: u64 = 64 << 20;

/// Longest label of a pin, in bytes.
pub const LABEL_BYTES_MAX: usize = 255;

/// Longest name of a blob, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
