//! Where the crates below meet: each implements a small trait of another.

mod journal;
#[cfg(feature = "cluster")]
mod link;
mod references;

pub(crate) use journal::{ReadJournal, SystemJournal};
#[cfg(feature = "cluster")]
pub(crate) use link::{Book, MeshLink};
pub(crate) use references::{BlobDirectory, References};
