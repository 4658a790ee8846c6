//! An open file of a simulated disk.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::super::{DiskFile, bad_descriptor};
use super::SimulatedDisk;
use super::image::Contents;
use super::operation::{Fault, Operation, OperationKind};
use super::state::{Handle, State};
use super::torn::SECTOR_BYTES;

pub(super) struct SimulatedFile {
    disk: SimulatedDisk,
    handle: Handle,
    /// The name that the file was opened by.
    path: PathBuf,
    writable: bool,
}

impl SimulatedFile {
    pub(super) fn new(disk: SimulatedDisk, handle: Handle, path: PathBuf, writable: bool) -> Self {
        Self { disk, handle, path, writable }
    }

    fn perform<R>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut State, Option<Fault>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.disk.state().check_handle(&self.handle)?;
        self.disk.perform(operation, |state, fault| {
            state.check_handle(&self.handle)?;
            apply(state, fault)
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(bad_descriptor()) }
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let contents = state.opened(&self.handle)?;
        Ok(contents.map_or(0, |contents| contents.read_at(buffer, offset)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let operation = Operation {
            offset,
            bytes: bytes.len() as u64,
            ..Operation::new(OperationKind::Write, &self.path)
        };
        self.perform(operation, |state, fault| {
            Fault::check(fault)?;
            let inode = self.handle.inode;
            match fault {
                Some(Fault::Misdirected { offset }) => state.write(inode, bytes, offset),
                Some(Fault::Misfiled { file }) => {
                    let other = state.named_at(file).unwrap_or(inode);
                    state.write(other, bytes, offset)
                }
                Some(Fault::SwappedSectors { first, second }) => {
                    state.write(inode, &swapped(bytes, offset, first, second), offset)
                }
                _ => state.write(inode, &bytes[..Fault::limit(fault, bytes.len())], offset),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let operation = Operation::new(OperationKind::Sync, &self.path);
        self.perform(operation, |state, fault| {
            if let Err(error) = Fault::check(fault) {
                state.lose(self.handle.inode);
                return Err(error);
            }
            state.sync(self.handle.inode);
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.disk.state();
        Ok(state.opened(&self.handle)?.map_or(0, Contents::length))
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        let operation = Operation { bytes, ..Operation::new(OperationKind::SetLength, &self.path) };
        self.perform(operation, |state, fault| {
            Fault::check(fault)?;
            state.set_length(self.handle.inode, bytes)
        })
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedFile({})", self.path.display())
    }
}

/// Returns what a write brings whose whole sectors `first` and `second` change places.
fn swapped(bytes: &[u8], offset: u64, first: usize, second: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let sector = usize::try_from(SECTOR_BYTES).expect("a sector fits in memory");
    let begin = usize::try_from(offset.next_multiple_of(SECTOR_BYTES) - offset).expect("less than a sector");
    let count = bytes.len().saturating_sub(begin) / sector;
    if count >= 2 {
        let (first, second) = (begin + first % count * sector, begin + second % count * sector);
        for at in 0..sector {
            bytes.swap(first + at, second + at);
        }
    }
    bytes
}
