//! Changes that a crash may undo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::image::Inode;

/// A change that programs see and that no sync has made durable yet.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    Write { inode: Inode, offset: u64, bytes: Arc<[u8]> },
    SetLength { inode: Inode, bytes: u64 },
}

impl Pending {
    /// Returns the file whose content changes; `None` when names change.
    pub(super) fn inode(&self) -> Option<Inode> {
        match self {
            Self::Write { inode, .. } | Self::SetLength { inode, .. } => Some(*inode),
            Self::Create { .. } | Self::Rename { .. } | Self::Remove { .. } => None,
        }
    }

    /// Returns the names that change.
    ///
    /// A change of names depends on every earlier one that has a name in common with it: the later one is
    /// never durable without the earlier one. Changes without a common name can be done in either order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let (first, second) = match self {
            Self::Create { path, .. } | Self::Remove { path } => (Some(path), None),
            Self::Rename { from, to } => (Some(from), Some(to)),
            Self::Write { .. } | Self::SetLength { .. } => (None, None),
        };
        first.into_iter().chain(second).map(PathBuf::as_path)
    }

    /// Tells whether syncing `directory` makes this change durable.
    pub(super) fn is_synced_with(&self, directory: &Path) -> bool {
        match self {
            Self::Create { path, .. } | Self::Remove { path } | Self::Rename { to: path, .. } => {
                path.parent() == Some(directory)
            }
            Self::Write { .. } | Self::SetLength { .. } => false,
        }
    }
}

/// Marks the changes of names that are wanted, and those that they depend on.
pub(super) fn with_dependencies(pending: &[Pending], wanted: impl Fn(&Pending) -> bool) -> Vec<bool> {
    let mut needed = BTreeSet::new();
    let mut marks = vec![false; pending.len()];
    for (change, mark) in pending.iter().zip(&mut marks).rev() {
        *mark = wanted(change) || change.paths().any(|path| needed.contains(path));
        if *mark {
            needed.extend(change.paths());
        }
    }
    marks
}
