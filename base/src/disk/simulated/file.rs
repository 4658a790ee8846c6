//! An open file of a simulated disk.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::super::{DiskFile, bad_descriptor};
use super::SimulatedDisk;
use super::image::Contents;
use super::operation::{Fault, Operation, OperationKind};
use super::state::{Handle, State};

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
            let count = Fault::limit(fault, bytes.len());
            state.write(self.handle.inode, &bytes[..count], offset)
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
