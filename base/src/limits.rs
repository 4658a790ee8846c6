//! Every limit of this crate, in one place.

/// Longest channel name, in bytes.
pub const CHANNEL_NAME_BYTES_MAX: usize = 255;

/// Length of an identity file: the ed25519 seed and nothing else.
pub const IDENTITY_BYTES: usize = 32;
