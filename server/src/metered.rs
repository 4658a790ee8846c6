//! A disk that measures its syncs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use netdb::base::{Clock, Disk, DiskFile, DiskLock, Doors, OpenMode, Space};

use crate::metrics::Metrics;

/// Returns doors whose disk measures syncs of contents.
pub(crate) fn doors(doors: &Doors, metrics: &Arc<Metrics>) -> Doors {
    let meter = Meter { clock: Arc::clone(&doors.clock), metrics: Arc::clone(metrics) };
    let disk = MeteredDisk { disk: Arc::clone(&doors.disk), meter };
    Doors { disk: Arc::new(disk), ..doors.clone() }
}

#[derive(Debug, Clone)]
struct Meter {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct MeteredDisk {
    disk: Arc<dyn Disk>,
    meter: Meter,
}

#[derive(Debug)]
struct MeteredFile {
    file: Arc<dyn DiskFile>,
    meter: Meter,
}

impl Disk for MeteredDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(MeteredFile { file, meter: self.meter.clone() }))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.disk.create_directories(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        self.disk.space(path)
    }

    fn is_volatile(&self) -> bool {
        self.disk.is_volatile()
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_locked(path)
    }
}

impl DiskFile for MeteredFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let began = self.meter.clock.monotonic();
        let synced = self.file.sync_data();
        let took = self.meter.clock.monotonic().saturating_sub(began);
        self.meter.metrics.synced(took, synced.is_ok());
        synced
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_length(bytes)
    }
}
