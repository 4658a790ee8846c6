//! What a database knows of its cluster before it takes part in it.

use std::path::{Path, PathBuf};

use base::{Disk, ErrorKind};

use crate::Error;

/// The log of a cluster that models are folded from; every member holds it.
pub const MODELS_LOG: &str = "models";

/// Returns the folder of what a node keeps about its cluster.
pub(crate) fn directory(dir: &Path) -> PathBuf {
    dir.join("cluster")
}

/// Returns the file that says which cluster a directory belongs to, and as which node.
pub(crate) fn member_path(dir: &Path) -> PathBuf {
    directory(dir).join("member")
}

/// Tells whether a directory says that it belongs to a cluster, readable or not.
pub(crate) fn says_member(dir: &Path, disk: &dyn Disk) -> Result<bool, Error> {
    let path = member_path(dir);
    disk.exists(&path)
        .map_err(|cause| Error::new(ErrorKind::Unavailable, format!("read `{}`: {cause}", path.display())))
}
