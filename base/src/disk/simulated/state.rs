//! What a simulated disk holds, and what each operation does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::image::{Contents, Image, Inode};
use super::operation::{Fault, Operation};
use super::pending::{Pending, with_dependencies};
use super::snapshot::{CrashImage, Snapshot, Unsynced};
use crate::ManualClock;

/// The error of an operation that finds no space: `ENOSPC`.
const ENOSPC: i32 = 28;

/// An open file: which one, since which start of the disk.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) inode: Inode,
    start: u64,
    /// Shared with [`State::open_files`], which thereby knows that the file is in use.
    _open: Arc<()>,
}

/// The disk: `durable` with all of `pending` gives what programs see (`volatile`), but for what failed syncs
/// have lost.
#[derive(Debug)]
pub(super) struct State {
    volatile: Image,
    durable: Arc<Image>,
    pending: Arc<Vec<Pending>>,
    /// What would be there if the last syncs, from the oldest remembered on, had done nothing.
    unsynced: VecDeque<Unsynced>,
    /// How many syncs are remembered.
    syncs_remembered: usize,
    /// What slow operations take their time on.
    clock: Option<Arc<ManualClock>>,
    open_files: BTreeMap<Inode, Arc<()>>,
    inodes_made: u64,
    operations: Vec<Operation>,
    faults: BTreeMap<u64, Fault>,
    /// The most that all lengths may add up to.
    capacity: Option<u64>,
    powered: bool,
    /// How often the disk was started again; files opened before are void.
    start: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new(Image::default())
    }
}

impl State {
    pub(super) fn new(image: Image) -> Self {
        let inodes_made = image.named().map(|inode| inode.0 + 1).max().unwrap_or(0);
        Self {
            volatile: image.clone(),
            durable: Arc::new(image),
            pending: Arc::default(),
            unsynced: VecDeque::new(),
            syncs_remembered: 0,
            clock: None,
            open_files: BTreeMap::new(),
            inodes_made,
            operations: Vec::new(),
            faults: BTreeMap::new(),
            capacity: None,
            powered: true,
            start: 0,
        }
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.durable), Arc::clone(&self.pending), self.unsynced.clone())
    }

    /// Gives an operation its number and remembers it.
    pub(super) fn count(&mut self, operation: Operation) -> Operation {
        let operation = Operation { ordinal: self.operations.len() as u64, ..operation };
        self.operations.push(operation.clone());
        operation
    }

    pub(super) fn inject(&mut self, ordinal: u64, fault: Fault) {
        self.faults.insert(ordinal, fault);
    }

    pub(super) fn take_fault(&mut self, ordinal: u64) -> Option<Fault> {
        self.faults.remove(&ordinal)
    }

    pub(super) fn power_off(&mut self) {
        self.powered = false;
    }

    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(io::Error::other("the power of the simulated disk is off")) }
    }

    pub(super) fn restart(&mut self, survivors: &CrashImage) {
        let image = self.snapshot().survivors(survivors);
        *self = Self {
            operations: std::mem::take(&mut self.operations),
            faults: std::mem::take(&mut self.faults),
            capacity: self.capacity,
            syncs_remembered: self.syncs_remembered,
            clock: self.clock.take(),
            start: self.start + 1,
            ..Self::new(image)
        };
    }

    /// Returns what programs see.
    ///
    /// # Errors
    ///
    /// When the power is off.
    pub(super) fn seen(&self) -> io::Result<&Image> {
        self.check_power()?;
        Ok(&self.volatile)
    }

    /// Returns the contents of an open file; `None` while it is empty.
    ///
    /// # Errors
    ///
    /// When the power is off, or has been since the file was opened.
    pub(super) fn opened(&self, handle: &Handle) -> io::Result<Option<&Contents>> {
        self.check_handle(handle)?;
        Ok(self.volatile.contents(handle.inode))
    }

    pub(super) fn check_handle(&self, handle: &Handle) -> io::Result<()> {
        self.check_power()?;
        if handle.start == self.start {
            Ok(())
        } else {
            Err(io::Error::other("the file was opened before the simulated disk started again: open it anew"))
        }
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<Handle> {
        let inode = *self.seen()?.tree.file(path)?;
        Ok(self.handle(inode))
    }

    pub(super) fn create(&mut self, path: &Path, must_be_new: bool) -> io::Result<Handle> {
        if let Some(inode) = self.volatile.tree.find_or_place(path, must_be_new)? {
            return Ok(self.handle(*inode));
        }
        let inode = self.new_inode();
        self.change(Pending::Create { path: path.to_owned(), inode })?;
        Ok(self.handle(inode))
    }

    pub(super) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        self.volatile.tree.create_directories(path)?;
        for unsynced in &mut self.unsynced {
            Arc::make_mut(&mut unsynced.durable).tree.create_directories(path)?;
        }
        Arc::make_mut(&mut self.durable).tree.create_directories(path)
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        self.volatile.tree.rename(&from, &to)?;
        self.leave_pending(Pending::Rename { from, to });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: PathBuf) -> io::Result<()> {
        self.volatile.tree.remove(&path)?;
        self.leave_pending(Pending::Remove { path });
        Ok(())
    }

    /// Writes as many of `bytes` as there is space for.
    pub(super) fn write(&mut self, inode: Inode, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let reach = self.volatile.length(inode).saturating_add(self.free_bytes());
        let fitting = usize::try_from(reach.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = bytes.len().min(fitting);
        if bytes.is_empty() {
            return Ok(0);
        }
        if count == 0 {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.change(Pending::Write { inode, offset, bytes: bytes[..count].into() })?;
        Ok(count)
    }

    pub(super) fn set_length(&mut self, inode: Inode, bytes: u64) -> io::Result<()> {
        if bytes.saturating_sub(self.volatile.length(inode)) > self.free_bytes() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.change(Pending::SetLength { inode, bytes })
    }

    /// Makes the contents of a file durable.
    pub(super) fn sync(&mut self, inode: Inode) {
        self.remember_unsynced();
        let marks = self.pending.iter().map(|change| change.inode() == Some(inode)).collect();
        self.make_durable(marks);
    }

    /// Forgets what is pending for a file's contents: programs still see it, no sync will reach it.
    pub(super) fn lose(&mut self, inode: Inode) {
        self.unsynced.clear();
        Arc::make_mut(&mut self.pending).retain(|change| change.inode() != Some(inode));
    }

    pub(super) fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        self.volatile.tree.check_directory(path)?;
        self.remember_unsynced();
        self.make_durable(with_dependencies(&self.pending, |change| change.is_synced_with(path)));
        self.forget_unreachable();
        Ok(())
    }

    pub(super) fn fill_up(&mut self, free_bytes: Option<u64>) {
        self.capacity = free_bytes.map(|free| self.used_bytes().saturating_add(free));
    }

    pub(super) fn remember_syncs(&mut self, syncs: usize) {
        self.syncs_remembered = syncs;
        self.forget_syncs();
    }

    pub(super) fn take_time_on(&mut self, clock: Option<Arc<ManualClock>>) {
        self.clock = clock;
    }

    pub(super) fn take_time(&self, time: Duration) {
        let clock = self.clock.as_ref().expect("a slow operation needs a clock: see take_time_on");
        clock.advance(time);
    }

    /// Returns the file at this place among those that have names, counted round.
    pub(super) fn named_at(&self, place: usize) -> Option<Inode> {
        let count = self.volatile.named().count();
        self.volatile.named().nth(place.checked_rem(count)?)
    }

    pub(super) fn flip_bit(&mut self, path: &Path, bit_offset: u64) {
        let inode = *self.volatile.tree.get(path).expect("the file whose bit is to be flipped exists");
        assert!(self.volatile.flip_bit(inode, bit_offset), "{} ends before bit {bit_offset}", path.display());
        self.unsynced.clear();
        Arc::make_mut(&mut self.durable).flip_bit(inode, bit_offset);
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let files = self.volatile.tree.files();
        files.map(|(path, inode)| (path.clone(), self.volatile.length(*inode))).collect()
    }

    pub(super) fn read_all(&self, path: &Path) -> Option<Vec<u8>> {
        self.volatile.read_all(path)
    }

    /// Puts a file in place in both images; whatever is pending for it is settled.
    pub(super) fn tamper(&mut self, path: &Path, bytes: &[u8]) {
        let parent = path.parent().expect("a file is written, not a directory");
        self.create_directories(parent).expect("no file is in the way of the directory");
        let known =
            self.volatile.tree.find_or_place(path, false).expect("a file is written, not a directory");
        let inode = known.copied().unwrap_or_else(|| self.new_inode());
        self.make_durable(with_dependencies(&self.pending, |change| change.paths().any(|name| name == path)));
        self.lose(inode);
        let mut contents = Contents::default();
        contents.write_at(bytes, 0).expect("bytes that are in memory fit into a file");
        let durable = Arc::make_mut(&mut self.durable);
        for image in [&mut self.volatile, durable] {
            image.tree.insert(path.to_owned(), inode);
            image.replace(inode, contents.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.open_files.len()
    }

    #[cfg(test)]
    pub(super) fn contents_count(&self) -> usize {
        self.volatile.contents_count() + self.durable.contents_count()
    }

    /// Shows a change to programs and leaves it pending.
    fn change(&mut self, change: Pending) -> io::Result<()> {
        self.volatile.apply(&change)?;
        self.leave_pending(change);
        Ok(())
    }

    fn leave_pending(&mut self, change: Pending) {
        for unsynced in &mut self.unsynced {
            Arc::make_mut(&mut unsynced.pending).push(change.clone());
        }
        Arc::make_mut(&mut self.pending).push(change);
    }

    /// Keeps what there is before a sync, as long as so many syncs are remembered.
    fn remember_unsynced(&mut self) {
        if self.syncs_remembered > 0 {
            let (durable, pending) = (Arc::clone(&self.durable), Arc::clone(&self.pending));
            self.unsynced.push_back(Unsynced { durable, pending });
            self.forget_syncs();
        }
    }

    fn forget_syncs(&mut self) {
        while self.unsynced.len() > self.syncs_remembered {
            self.unsynced.pop_front();
        }
    }

    /// Moves the marked changes, in order, from pending to durable.
    fn make_durable(&mut self, marks: Vec<bool>) {
        if !marks.contains(&true) {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        let mut marks = marks.into_iter();
        Arc::make_mut(&mut self.pending).retain(|change| {
            let marked = marks.next() == Some(true);
            if marked {
                durable.apply(change).expect("what programs already see is not too large");
            }
            !marked
        });
    }

    /// Frees the contents that no name can lead to any more and no program has open.
    fn forget_unreachable(&mut self) {
        self.open_files.retain(|_, open| Arc::strong_count(open) > 1);
        let created = self.pending.iter().filter_map(|change| match change {
            Pending::Create { inode, .. } => Some(*inode),
            _ => None,
        });
        let mut kept: BTreeSet<Inode> = created.chain(self.open_files.keys().copied()).collect();
        kept.extend(self.volatile.named().chain(self.durable.named()));
        self.volatile.keep_only(&kept);
        Arc::make_mut(&mut self.durable).keep_only(&kept);
        let gone = |change: &Pending| change.inode().is_some_and(|inode| !kept.contains(&inode));
        if self.pending.iter().any(gone) {
            Arc::make_mut(&mut self.pending).retain(|change| !gone(change));
        }
    }

    fn new_inode(&mut self) -> Inode {
        self.inodes_made += 1;
        Inode(self.inodes_made - 1)
    }

    fn handle(&mut self, inode: Inode) -> Handle {
        let open = Arc::clone(self.open_files.entry(inode).or_default());
        Handle { inode, start: self.start, _open: open }
    }

    fn used_bytes(&self) -> u64 {
        let lengths = self.volatile.named().map(|inode| self.volatile.length(inode));
        lengths.fold(0, u64::saturating_add)
    }

    fn free_bytes(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }
}
