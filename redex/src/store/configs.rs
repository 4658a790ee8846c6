//! The file that says what a log keeps and how it is stored.

use std::path::{Path, PathBuf};

use base::{Disk, OpenMode};

use crate::LogConfig;
use crate::codec::log_config::{self, LOG_CONFIG_BYTES};
use crate::error::{Corruption, OpenError};
use crate::log::unknown_format;

/// Returns the file's path.
pub(crate) fn config_path(log_dir: &Path) -> PathBuf {
    log_dir.join("config")
}

/// Reads a log's configuration, if it has one; returns how many of its copies are good, too.
pub(crate) fn read_config(disk: &dyn Disk, log_dir: &Path) -> Result<Option<(LogConfig, usize)>, OpenError> {
    let path = config_path(log_dir);
    if !disk.exists(&path).map_err(OpenError::io(&path))? {
        return Ok(None);
    }
    let file = disk.open(&path, OpenMode::Read).map_err(OpenError::io(&path))?;
    let bytes = base::read_to_end(&*file, 2 * LOG_CONFIG_BYTES).map_err(OpenError::io(&path))?;
    let read = log_config::decode(&bytes).map_err(|malformed| match log_config::foreign_format(&bytes) {
        Some(found) => unknown_format(&path, found),
        None => OpenError::Corrupt(Corruption {
            file: path,
            offset: 0,
            expected: "a configuration".to_owned(),
            found: format!(
                "a wrong {malformed} in both copies; without the file everything is kept, in a log for any channels"
            ),
        }),
    });
    read.map(|(config, good)| Some((config, if bytes.len() == LOG_CONFIG_BYTES { good } else { 1 })))
}

/// Writes a log's configuration in place of the one that is there. What is there stays whole until the new one is
/// durable.
pub(super) fn write_config(disk: &dyn Disk, log_dir: &Path, config: &LogConfig) -> Result<(), OpenError> {
    let path = config_path(log_dir);
    let temporary = path.with_extension("tmp");
    let replaced = || {
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::Create)?;
        base::write_all_at(&*file, &log_config::encode(config), 0)?;
        file.sync_data()?;
        drop(file);
        disk.rename(&temporary, &path)?;
        disk.sync_directory(log_dir)
    };
    replaced().map_err(OpenError::io(&path))
}
