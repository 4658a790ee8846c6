//! Where the logs of a node lie.

use std::path::{Path, PathBuf};

use base::Disk;

use super::MAIN;
use crate::LogName;
use crate::codec::superblock::{LogKind, Superblock};
use crate::error::{Corruption, OpenError};

/// Returns the directory of all logs.
pub(crate) fn logs_dir(dir: &Path) -> PathBuf {
    dir.join("logs")
}

/// Returns the directory of a log.
pub(crate) fn log_dir(dir: &Path, name: &str) -> PathBuf {
    logs_dir(dir).join(name)
}

/// Returns the names of the logs besides `main` that were made whole, in their order: those with a superblock.
pub(crate) fn log_names(dir: &Path, disk: &dyn Disk) -> Result<Vec<LogName>, OpenError> {
    let logs = logs_dir(dir);
    let mut names = Vec::new();
    for name in disk.list(&logs).map_err(OpenError::io(&logs))? {
        let Ok(name) = LogName::new(&name) else { continue };
        let superblock = logs.join(name.as_str()).join("superblock");
        if name.as_str() != MAIN && disk.exists(&superblock).unwrap_or(false) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the names of those that this node puts in order; consensus has the others opened by itself.
pub(crate) fn local_log_names(dir: &Path, disk: &dyn Disk) -> Result<Vec<LogName>, OpenError> {
    let mut names = log_names(dir, disk)?;
    // One that does not read is met, and told of, by who opens it.
    let is_local = |name: &LogName| {
        let superblock = crate::log::read_superblock(disk, &log_dir(dir, name.as_str()));
        superblock.map_or(true, |(superblock, _)| superblock.kind != LogKind::Replicated)
    };
    names.retain(is_local);
    Ok(names)
}

/// Refuses a log's directory under another name: a copy beside the original would be a second history of one key.
pub(crate) fn check_name(superblock: &Superblock, log_dir: &Path, name: &str) -> Result<(), OpenError> {
    if superblock.name == name {
        return Ok(());
    }
    Err(OpenError::Corrupt(Corruption {
        file: log_dir.join("superblock"),
        offset: 72,
        expected: format!("the log `{name}`"),
        found: format!("the log `{}`: a log has one directory, of its own name", superblock.name),
    }))
}
