//! The small files beside the segments: the superblock's copies, and what is derived.

use std::path::Path;

use base::OpenMode;

use super::Verifier;
use crate::codec::superblock;
use crate::codec::visible::{self, VISIBLE_BYTES};

impl Verifier<'_> {
    pub(super) fn superblock_fault(&mut self, path: &Path) {
        let offset = self.damaged_copy(path);
        self.fault(path, offset, "two equal copies of the superblock", "a damaged copy");
    }

    pub(super) fn damaged_copy(&self, path: &Path) -> u64 {
        let copy = superblock::SUPERBLOCK_BYTES / 2;
        let read = self
            .disk
            .open(path, OpenMode::Read)
            .and_then(|file| base::read_to_end(&*file, superblock::SUPERBLOCK_BYTES));
        let first = read.ok().and_then(|bytes| bytes.get(..copy).map(<[u8]>::to_vec));
        let good = first.is_some_and(|first| superblock::is_copy(&first, 0));
        if good { copy as u64 } else { 0 }
    }

    /// Notes a `visible` file that does not read; it is derived.
    pub(super) fn check_visible(&mut self, live: bool) {
        let path = self.log_dir.join("visible");
        let read = self
            .disk
            .open(&path, OpenMode::Read)
            .and_then(|file| base::read_to_end(&*file, 2 * VISIBLE_BYTES));
        match read {
            Ok(bytes) if bytes.len() == VISIBLE_BYTES && visible::decode(&bytes).is_ok() => {}
            Ok(bytes) if bytes.is_empty() => {}
            Ok(_) if !live => self.report.derived.push(path),
            _ => {}
        }
    }

    /// Notes an index file that does not read; it is derived.
    pub(super) fn check_index(&mut self, path: &Path, segment_bytes: u64, number: u64) {
        let path = path.with_extension("idx");
        let owner = crate::index::file::IndexOwner { log: self.report.log, segment: number, segment_bytes };
        let read = self.disk.open(&path, OpenMode::Read);
        let Ok(bytes) = read.and_then(|file| base::read_to_end(&*file, usize::MAX)) else { return };
        if !crate::index::file::is_whole(&bytes, owner) {
            self.report.derived.push(path);
        }
    }
}
