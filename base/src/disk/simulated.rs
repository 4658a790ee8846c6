//! A file system in memory that crashes and fails on demand.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::locks::Locks;
use super::tree::normalized;
use super::{Disk, DiskFile, DiskLock, OpenMode};
use crate::{Hash, ManualClock};

mod file;
mod image;
mod operation;
mod pending;
mod snapshot;
mod state;
mod torn;

pub use operation::{Fault, Operation, OperationKind};
pub use snapshot::{CrashImage, Snapshot};

use file::SimulatedFile;
use image::Image;
use state::State;

type Hook = Box<dyn FnMut(&Operation, Snapshot) + Send>;

/// A file system in memory that keeps what programs see apart from what a power failure leaves, so that a
/// crash can be taken before any operation, and any operation can fail. Cloning shares it.
///
/// *Durability*: file contents survive from [`DiskFile::sync_data`] on, names from [`Disk::sync_directory`] on
/// their parent on, directories once [`Disk::create_directories`] returns. A rename into another directory
/// survives from the sync of the target's parent on. Everything else is pending: which part of it a crash
/// leaves is for a [`CrashImage`] to say.
///
/// Every call that changes or syncs something, whether it succeeds or not, is an [`Operation`] with a number.
/// Equal calls give equal numbers, so that a run can be repeated with a fault, or a crash, at each of them.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use base::{CrashImage, Disk, OpenMode, SimulatedDisk};
///
/// let disk = SimulatedDisk::new();
/// let file = disk.open(Path::new("log"), OpenMode::Create)?;
/// disk.sync_directory(Path::new(""))?;
/// file.write_at(b"event", 0)?;
/// let crash = disk.snapshot();
/// assert_eq!(crash.image(&CrashImage::None).read("log"), Some(vec![]));
/// assert_eq!(crash.image(&CrashImage::All).read("log"), Some(b"event".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Shared>);

/// Lock order: `hook`, then `state`. The hook is called without `state`, so that it can look at the disk.
#[derive(Default)]
struct Shared {
    /// Held during a whole operation: operations are applied one after the other.
    hook: Mutex<Option<Hook>>,
    state: Mutex<State>,
    locks: Locks,
}

impl SimulatedDisk {
    /// Makes an empty disk without faults and without a limit on its space.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_image(image: Image) -> Self {
        let state = Mutex::new(State::new(image));
        Self(Arc::new(Shared { state, ..Shared::default() }))
    }

    /// Returns all operations so far, in order.
    pub fn operations(&self) -> Vec<Operation> {
        self.state().operations().to_vec()
    }

    /// Returns the number of operations so far, which is the ordinal of the next one.
    pub fn operation_count(&self) -> u64 {
        self.state().operations().len() as u64
    }

    /// Makes the operation with this ordinal fail; replaces the fault that was set for it.
    ///
    /// A fault for an operation that is already past has no effect.
    pub fn inject(&self, ordinal: u64, fault: Fault) {
        self.state().inject(ordinal, fault);
    }

    /// Lets the disk take `free_bytes` more than it holds now; `None` takes the limit away.
    ///
    /// Space is counted by the lengths of the files that have names, holes included: a write within a file
    /// needs none, removing and cutting give it back. A write that does not fit is cut short; when nothing
    /// fits, it fails with the kind [`StorageFull`](io::ErrorKind::StorageFull).
    pub fn fill_up(&self, free_bytes: Option<u64>) {
        self.state().fill_up(free_bytes);
    }

    /// Inverts one bit of a file, in what is read and, where it has been synced, in what a crash leaves.
    /// Bit 0 is the lowest of the first byte.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it ends before that bit.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit_offset: u64) {
        self.state().flip_bit(&normalized(path.as_ref()), bit_offset);
    }

    /// Exchanges two sectors of 512 bytes of a file, in what is read, and from now on in what a crash leaves;
    /// the rest of what is pending for the file is settled. Sectors are counted from 0.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it ends before one of the sectors does.
    pub fn swap_sectors(&self, path: impl AsRef<Path>, first: usize, second: usize) {
        let path = path.as_ref();
        let mut bytes = self.read(path).expect("the file whose sectors are to be swapped exists");
        let sector = torn::SECTOR_BYTES as usize;
        for at in 0..sector {
            bytes.swap(first * sector + at, second * sector + at);
        }
        self.write(path, &bytes);
    }

    /// Has the disk remember what is durable and pending before each of the last `syncs` syncs, for
    /// [`CrashImage::LyingSyncs`]; 0, as in a new disk, remembers nothing and costs nothing.
    ///
    /// It begins anew at a restart, a failed sync, and when bits, sectors or files are changed from outside.
    pub fn remember_syncs(&self, syncs: usize) {
        self.state().remember_syncs(syncs);
    }

    /// Sets the clock that [slow](Fault::Slow) operations take their time on.
    pub fn take_time_on(&self, clock: Option<Arc<ManualClock>>) {
        self.state().take_time_on(clock);
    }

    /// Sets a function that is called before each operation is applied, with the operation and the disk as a
    /// crash would find it at that moment; `None` takes it away. It is not called for operations after the
    /// power went off.
    ///
    /// The function may look at the disk and inject faults, even for the operation at hand. It must not
    /// perform operations on this disk or set another function: either waits for itself for ever.
    pub fn on_operation(&self, hook: Option<Hook>) {
        *self.hook() = hook;
    }

    /// Returns the disk as a crash would find it now: what is durable, and what is pending. Cheap.
    pub fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// Switches the power off: every call fails until [`restart`](Self::restart).
    pub fn power_off(&self) {
        self.state().power_off();
    }

    /// Crashes, if the power is still on, and starts again with what `survivors` leaves.
    ///
    /// Files that were opened before stay unusable; locks are given back. Operations are counted on; faults
    /// and the limit on space stay.
    pub fn restart(&self, survivors: &CrashImage) {
        let _hook = self.hook();
        self.state().restart(survivors);
        self.0.locks.release_all();
    }

    /// Returns the files that programs see, with their lengths in bytes, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.state().files()
    }

    /// Returns what programs see in a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.state().read_all(&normalized(path.as_ref()))
    }

    /// Puts a file in place, durably and past everything pending for it, without counting as an operation.
    /// Missing directories are made.
    ///
    /// # Panics
    ///
    /// When the path is a directory's, or leads through a file.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.state().tamper(&normalized(path.as_ref()), bytes);
    }

    /// Hashes what is durable: directories, and the paths, lengths and bytes of files. Two disks have the
    /// same digest when a program that starts after a crash cannot tell them apart.
    pub fn digest(&self) -> Hash {
        self.state().durable().digest()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hook(&self) -> MutexGuard<'_, Option<Hook>> {
        self.0.hook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, shows it to the hook, and applies it unless a fault decides otherwise.
    fn perform<R>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut State, Option<Fault>) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut hook = self.hook();
        let (operation, snapshot) = {
            let mut state = self.state();
            state.check_power()?;
            (state.count(operation), hook.is_some().then(|| state.snapshot()))
        };
        if let (Some(hook), Some(snapshot)) = (hook.as_mut(), snapshot) {
            hook(&operation, snapshot);
        }
        let mut state = self.state();
        let fault = state.take_fault(operation.ordinal);
        match fault {
            Some(Fault::PowerOff) => state.power_off(),
            Some(Fault::Slow { time }) => state.take_time(time),
            _ => {}
        }
        state.check_power()?;
        apply(&mut state, fault)
    }

    /// Opens a file that may have to be made, which is an operation.
    fn create(&self, path: PathBuf, must_be_new: bool) -> io::Result<Arc<SimulatedFile>> {
        self.perform(Operation::new(OperationKind::Create, &path), |state, fault| {
            Fault::check(fault)?;
            let handle = state.create(&path, must_be_new)?;
            Ok(Arc::new(SimulatedFile::new(self.clone(), handle, path, true)))
        })
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimulatedDisk")
            .field("files", &state.files())
            .field("operations", &state.operations().len())
            .finish_non_exhaustive()
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let path = normalized(path);
        let writable = match mode {
            OpenMode::Read => false,
            OpenMode::Write => true,
            OpenMode::Create | OpenMode::CreatePrivate => return Ok(self.create(path, true)?),
            OpenMode::OpenOrCreate => return Ok(self.create(path, false)?),
        };
        let handle = self.state().open(&path)?;
        Ok(Arc::new(SimulatedFile::new(self.clone(), handle, path, writable)))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let path = normalized(path);
        self.perform(Operation::new(OperationKind::CreateDirectories, &path), |state, fault| {
            Fault::check(fault)?;
            state.create_directories(&path)
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.state().seen()?.tree.list(&normalized(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().seen()?.tree.exists(&normalized(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normalized(from), normalized(to));
        self.perform(Operation::new(OperationKind::Rename, &to), |state, fault| {
            Fault::check(fault)?;
            state.rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normalized(path);
        self.perform(Operation::new(OperationKind::Remove, &path), |state, fault| {
            Fault::check(fault)?;
            state.remove(path.clone())
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path = normalized(path);
        self.perform(Operation::new(OperationKind::SyncDirectory, &path), |state, fault| {
            Fault::check(fault)?;
            state.sync_directory(&path)
        })
    }

    /// Making the file, when it does not exist, is an operation; taking the lock is none.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let path = normalized(path);
        let exists = self.state().seen()?.tree.get(&path).is_some();
        if !exists {
            self.create(path.clone(), false)?;
        }
        self.0.locks.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let path = normalized(path);
        Ok(self.state().seen()?.tree.exists(&path) && self.0.locks.is_locked(&path))
    }
}

#[cfg(test)]
mod tests;
