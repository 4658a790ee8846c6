//! Writing the newest segment: frames behind a tail, with zeros written ahead of them.

use std::io;
use std::sync::Arc;

use base::{DiskFile, write_all_at};

use crate::limits::{FILL_STEP_BYTES_MAX, FILL_STEP_BYTES_MIN, SECTOR_BYTES};

/// Bytes of the largest single write; a multiple of the sector. Operating systems cut larger ones anywhere.
const WRITE_BYTES_MAX: usize = 1 << 30;

/// The open segment file of a writer.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub number: u64,
    file: Arc<dyn DiskFile>,
    /// Where the next frame begins.
    tail: u64,
    /// The file's length; everything from the tail to here is zeros.
    length: u64,
    fill_step: u64,
    fill_max: u64,
}

impl SegmentWriter {
    /// Goes on at `tail` of a file that holds zeros, or nothing, behind it.
    pub(crate) fn new(
        number: u64,
        file: Arc<dyn DiskFile>,
        tail: u64,
        length: u64,
        segment_bytes: u64,
    ) -> Self {
        Self { number, file, tail, length, fill_step: FILL_STEP_BYTES_MIN, fill_max: segment_bytes }
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Returns where the space ends that frames can be written to without asking for more.
    pub(crate) fn filled(&self) -> u64 {
        self.length
    }

    /// Writes whole frames behind the tail.
    ///
    /// When this fails, the bytes have been taken back, durably, and the tail stands where it stood; only when
    /// taking them back fails too, the second value says so.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), (io::Error, Option<io::Error>)> {
        let end = self.tail + frames.len() as u64;
        if end > self.length {
            self.fill(end);
        }
        let mut written = self.write(frames);
        if matches!(written, Ok(Written::Part)) {
            written = self.take_back(end).and_then(|()| self.write(frames));
        }
        let cause = match written {
            Ok(Written::Whole) => {
                self.tail = end;
                self.length = self.length.max(end);
                return Ok(());
            }
            // What makes writes to a file short is a lack of space.
            Ok(Written::Part) => io::ErrorKind::StorageFull.into(),
            Err(cause) => cause,
        };
        Err((cause, self.take_back(end).err()))
    }

    /// Writes frames so that a crash leaves each sector whole or not at all; stops at a write that ends within
    /// a sector, since half a sector does not look unwritten.
    fn write(&self, frames: &[u8]) -> io::Result<Written> {
        let sector = SECTOR_BYTES as u64;
        let mut rest = frames;
        let mut offset = self.tail;
        while !rest.is_empty() {
            let piece = rest.len().min(WRITE_BYTES_MAX - (offset % sector) as usize);
            match self.file.write_at(&rest[..piece], offset) {
                Ok(count) => {
                    rest = &rest[count.min(piece)..];
                    offset += count as u64;
                    if count == 0 || (!rest.is_empty() && !offset.is_multiple_of(sector)) {
                        return Ok(Written::Part);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Written::Whole)
    }

    /// Writes zeros up to a step behind `end`, so that syncs need not record a new length each time. A disk
    /// that has no room for them may still have room for the frames.
    fn fill(&mut self, end: u64) {
        let target = (end + self.fill_step).min(self.fill_max.max(end));
        self.fill_step = (self.fill_step * 2).min(FILL_STEP_BYTES_MAX);
        let old = self.length;
        match write_zeros(&*self.file, old, target) {
            Ok(()) => self.length = target,
            Err(cause) => {
                tracing::debug!(%cause, "no room to fill ahead");
                self.fill_step = FILL_STEP_BYTES_MIN;
                self.length = self.file.set_length(old).and(Ok(old)).unwrap_or(target);
            }
        }
    }

    /// Takes back a write that reached at most to `end`. This is durable before anything else is written here:
    /// else a crash could leave what was rejected, or a mixture of it and what came later.
    fn take_back(&mut self, end: u64) -> io::Result<()> {
        let length = self.file.length()?;
        if length > self.length {
            self.file.set_length(self.length)?;
        }
        write_zeros(&*self.file, self.tail, end.min(self.length))?;
        self.file.sync_data()
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts off what is behind the tail.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        self.file.set_length(self.tail)?;
        self.length = self.tail;
        Ok(())
    }
}

/// How much of some frames a file took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    Part,
}

/// Writes zeros from `from` to below `to`, front to back.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 256 << 10];
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
        write_all_at(file, &ZEROS[..count], at)?;
        at += count as u64;
    }
    Ok(())
}
