//! The bytes on disk, one file per structure; `FORMAT.md` is their document.
//!
//! Decoders take bytes from anywhere and never panic: every length is checked before it is used.

pub(crate) mod append;
pub(crate) mod block;
pub(crate) mod compression;
pub(crate) mod control;
pub(crate) mod entry;
pub(crate) mod erasable;
pub(crate) mod escape;
pub(crate) mod event;
pub(crate) mod footer;
pub(crate) mod frame;
pub(crate) mod local;
pub(crate) mod log_config;
pub(crate) mod promised;
pub(crate) mod redo;
pub(crate) mod segment_header;
pub(crate) mod state;
pub(crate) mod superblock;
pub(crate) mod visible;

#[cfg(test)]
mod robustness;

pub(crate) use base::wire::{Cursor, Malformed, Put};

/// The version of every structure in this directory; any other is refused by name.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// What a whole file says of its format that this version of the software does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Version(u16),
    Features(u16),
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "format version {version}"),
            Self::Features(features) => write!(f, "format features {features:#06x}"),
        }
    }
}
