//! Small objects, many in a file. A pack is a log of records; which object stands where is kept in memory, and is read from
//! the packs, or from the derived index of one that is full.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Disk, DiskFile, Hash, OpenMode, Timestamp};

use super::index::{Elsewhere, Index, Place};
use super::pack_index;
use super::record::{
    PACK_HEADER_BYTES, RECORD_BYTES, Record, VERSION, What, encode_pack_header, pack_version,
};
use super::reserve::Reserve;
use super::scan::{Scanned, scan};
use crate::BlobError;
use crate::limits::PACK_BYTES;
use crate::object::ObjectKind;

/// Packs that are kept open to be read.
const OPEN_MAX: usize = 64;

/// The packs of a store.
#[derive(Debug)]
pub(super) struct Packs {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    state: Mutex<State>,
    /// Held during a sync. Lock order: this one, then `state`.
    syncing: Mutex<()>,
    reserve: Reserve,
}

#[derive(Debug)]
pub(super) struct State {
    pub index: Index,
    pub writer: Writer,
    /// Bytes that were written since the store was opened, and how many of them are durable.
    written: u64,
    synced: u64,
    /// Packs that are open to be read.
    pub open: VecDeque<(u32, Arc<dyn DiskFile>)>,
    poison: Option<String>,
}

/// The pack that is written to.
#[derive(Debug)]
pub(super) struct Writer {
    pub number: u32,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// Bytes of it that are durable.
    synced: u32,
    records: Vec<(Record, u64)>,
}

impl Packs {
    /// Opens the packs in a directory, which is there. What a crash left of the newest one is cut off.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: PathBuf, reserve: Reserve) -> Result<Self, BlobError> {
        let numbers = numbers(&**disk, &dir)?;
        let mut index = Index::new();
        let mut newest = None;
        for (at, number) in numbers.iter().enumerate() {
            let is_newest = at + 1 == numbers.len();
            let records = match is_newest {
                true => {
                    let writer = Writer::take_up(disk, &dir, *number)?;
                    newest.insert(writer).records.clone()
                }
                false => pack_index::load_or_make(&**disk, &dir, *number)?,
            };
            records.iter().for_each(|(record, offset)| index.note(*number, record, *offset));
        }
        let writer = match newest {
            Some(writer) => writer,
            None => Writer::create(&**disk, &dir, 0)?,
        };
        let open = VecDeque::new();
        let state = State { index, writer, written: 0, synced: 0, open, poison: None };
        let (state, syncing) = (Mutex::new(state), Mutex::default());
        Ok(Self { disk: Arc::clone(disk), dir, state, syncing, reserve })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where an object stands.
    pub(super) fn find(&self, name: &Hash) -> Option<Place> {
        self.state().index.find(name)
    }

    /// Tells whether somebody put an object as a blob.
    pub(super) fn is_whole(&self, name: &Hash) -> bool {
        self.state().index.whole(name).is_some()
    }

    /// Returns what was put as a blob, and when it last was, in no order.
    pub(super) fn whole(&self) -> Vec<(Hash, Timestamp)> {
        self.state().index.all_whole().map(|(name, whole)| (*name, whole.put_at)).collect()
    }

    /// Returns how many objects there are.
    pub(super) fn len(&self) -> usize {
        self.state().index.len()
    }

    /// Returns the objects of one of the parts of the index for which `wanted` says so.
    pub(super) fn shard(&self, shard: usize, wanted: impl Fn(&Hash, &Place) -> bool) -> Vec<(Hash, Place)> {
        let state = self.state();
        let objects = state.index.shard(shard).filter(|(name, place)| wanted(name, place));
        objects.map(|(name, place)| (*name, *place)).collect()
    }

    /// Adds an object, in place of one of its name that may be damaged.
    pub(super) fn add(
        &self,
        kind: ObjectKind,
        name: Hash,
        content: &[u8],
        put_at: Timestamp,
    ) -> Result<(), BlobError> {
        self.append(Record::of(What::Object(kind), name, content, put_at), content)
    }

    /// Notes that an object was put as a blob.
    pub(super) fn add_whole(&self, name: Hash, put_at: Timestamp) -> Result<(), BlobError> {
        if self.state().index.whole(&name).is_some_and(|whole| whole.put_at >= put_at) {
            return Ok(());
        }
        self.append(Record::of(What::PutWhole, name, &[], put_at), &[])
    }

    /// Takes an object out, here and as a blob; tells whether there was anything of it.
    pub(super) fn remove(&self, name: Hash, now: Timestamp) -> Result<bool, BlobError> {
        let mut state = self.state();
        let is_here = state.index.find(&name).is_some() || state.index.whole(&name).is_some();
        if is_here {
            self.append_removal(&mut state, Record::of(What::Removed, name, &[], now))?;
        }
        let lies = state.index.elsewhere(&name).filter(|lies| lies.bytes.is_some());
        if let Some(lies) = lies {
            // A crash between the two leaves a chunk that nobody needs.
            self.append_removal(&mut state, Record::of(What::Sent, name, &[], lies.put_at))?;
        }
        Ok(is_here || lies.is_some())
    }

    /// Returns what lies of a chunk elsewhere.
    pub(super) fn elsewhere(&self, name: &Hash) -> Option<Elsewhere> {
        self.state().index.elsewhere(name)
    }

    /// Returns what lies elsewhere, in no order.
    pub(super) fn all_elsewhere(&self) -> Vec<(Hash, Elsewhere)> {
        self.state().index.all_elsewhere().map(|(name, lies)| (*name, *lies)).collect()
    }

    /// Notes that something of a chunk may lie elsewhere, which nobody relies on.
    pub(super) fn note_sent(&self, name: Hash, put_at: Timestamp) -> Result<(), BlobError> {
        self.append(Record::of(What::Sent, name, &[], put_at), &[])
    }

    /// Notes that a chunk was read back from elsewhere.
    pub(super) fn note_away(&self, name: Hash, bytes: u32, put_at: Timestamp) -> Result<(), BlobError> {
        self.append(Record::away(name, bytes, put_at), &[])
    }

    /// Notes that nothing of a chunk lies elsewhere any more.
    pub(super) fn note_not_sent(&self, name: Hash, now: Timestamp) -> Result<(), BlobError> {
        self.append(Record::of(What::NotSent, name, &[], now), &[])
    }

    /// Gives up the copy of an object in a pack; tells whether there was one.
    pub(super) fn free(&self, name: Hash, now: Timestamp) -> Result<bool, BlobError> {
        let mut state = self.state();
        let is_packed = state.index.find(&name).is_some();
        if is_packed {
            self.append_removal(&mut state, Record::of(What::Freed, name, &[], now))?;
        }
        Ok(is_packed)
    }

    /// Returns the bytes of all packs.
    pub(super) fn bytes(&self) -> u64 {
        self.state().index.bytes()
    }

    /// Notes that an object is no blob any more; tells whether it was one.
    pub(super) fn remove_whole(&self, name: Hash, now: Timestamp) -> Result<bool, BlobError> {
        let mut state = self.state();
        let is_blob = state.index.whole(&name).is_some();
        if is_blob {
            self.append_removal(&mut state, Record::of(What::NoBlob, name, &[], now))?;
        }
        Ok(is_blob)
    }

    /// Appends what takes something back, on a full disk, too.
    fn append_removal(&self, state: &mut State, record: Record) -> Result<(), BlobError> {
        match self.append_to(state, record, &[]) {
            Err(error) if error.is_full_disk() && self.reserve.give_up() => {
                self.append_to(state, record, &[])
            }
            appended => appended,
        }
    }

    /// Keeps room for the next time that the disk is full.
    pub(super) fn keep_room(&self) {
        self.reserve.fill();
    }

    fn append(&self, record: Record, content: &[u8]) -> Result<(), BlobError> {
        self.append_to(&mut self.state(), record, content)
    }

    pub(super) fn append_to(
        &self,
        state: &mut State,
        mut record: Record,
        content: &[u8],
    ) -> Result<(), BlobError> {
        state.check()?;
        if state.writer.end >= PACK_BYTES {
            self.roll(state)?;
        }
        let writer = &mut state.writer;
        record.synced = writer.synced;
        let bytes = record.encode(content);
        let (number, offset) = (writer.number, writer.end);
        if let Err(source) = base::write_all_at(&*writer.file, &bytes, offset) {
            // What was written of it is written over, or cut off when the store is opened.
            let _ = writer.file.set_length(offset);
            return Err(BlobError::Io { path: pack_path(&self.dir, number), source });
        }
        writer.end += bytes.len() as u64;
        writer.records.push((record, offset));
        state.written += bytes.len() as u64;
        state.index.note(number, &record, offset);
        Ok(())
    }

    /// Goes on in a new pack; the one before is durable then, and indexed.
    pub(super) fn roll(&self, state: &mut State) -> Result<(), BlobError> {
        let number = state.writer.number;
        let path = pack_path(&self.dir, number);
        if let Err(cause) = state.writer.file.sync_data() {
            return Err(state.poisoned(&path, cause));
        }
        state.synced = state.written;
        pack_index::write(&*self.disk, &self.dir, number, state.writer.end, &state.writer.records);
        state.writer = Writer::create(&*self.disk, &self.dir, number + 1)?;
        Ok(())
    }

    /// Makes everything durable that was added before; those who ask at the same time share a sync.
    pub(super) fn sync(&self) -> Result<(), BlobError> {
        let wanted = self.state().written;
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, number, end, written) = {
            let state = self.state();
            state.check()?;
            if state.synced >= wanted {
                return Ok(());
            }
            let writer = &state.writer;
            (Arc::clone(&writer.file), writer.number, writer.end, state.written)
        };
        let synced = file.sync_data();
        let mut state = self.state();
        match synced {
            Ok(()) => {
                state.synced = state.synced.max(written);
                if state.writer.number == number {
                    state.writer.synced = state.writer.synced.max(end as u32);
                }
                Ok(())
            }
            Err(cause) => Err(state.poisoned(&pack_path(&self.dir, number), cause)),
        }
    }

    /// Reads the content of an object, unverified.
    pub(super) fn read(&self, place: &Place) -> Result<Vec<u8>, BlobError> {
        let path = pack_path(&self.dir, place.pack);
        let file = self.file(place.pack)?;
        let mut content = vec![0; place.bytes as usize];
        base::read_exact_at(&*file, &mut content, place.offset + RECORD_BYTES as u64)
            .map_err(BlobError::io(&path))?;
        Ok(content)
    }

    /// Returns the file that an object stands in, and where its content begins there.
    pub(super) fn whereabouts(&self, place: &Place) -> (PathBuf, u64) {
        (pack_path(&self.dir, place.pack), place.offset + RECORD_BYTES as u64)
    }

    fn file(&self, number: u32) -> Result<Arc<dyn DiskFile>, BlobError> {
        let mut state = self.state();
        if state.writer.number == number {
            return Ok(Arc::clone(&state.writer.file));
        }
        if let Some((_, file)) = state.open.iter().find(|(open, _)| *open == number) {
            return Ok(Arc::clone(file));
        }
        let path = pack_path(&self.dir, number);
        let file = self.disk.open(&path, OpenMode::Read).map_err(BlobError::io(&path))?;
        if state.open.len() == OPEN_MAX {
            state.open.pop_front();
        }
        state.open.push_back((number, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads all packs, and tells of each object in them with its content, and of stretches that do not read.
    pub(super) fn visit(
        &self,
        mut object: impl FnMut(&Record, &[u8]),
        mut damaged: impl FnMut(PathBuf, Range<u64>),
    ) -> Result<(), BlobError> {
        for number in numbers(&*self.disk, &self.dir)? {
            let path = pack_path(&self.dir, number);
            let end = {
                let state = self.state();
                (state.writer.number == number).then_some(state.writer.end)
            };
            let file = self.disk.open(&path, OpenMode::Read).map_err(BlobError::io(&path))?;
            let most = end.map_or(usize::MAX, |end| end as usize);
            let bytes = base::read_to_end(&*file, most).map_err(BlobError::io(&path))?;
            if pack_version(&bytes, number) != Some(VERSION) {
                damaged(path.clone(), 0..PACK_HEADER_BYTES);
            }
            let Scanned { records, damaged: stretches, end } = scan(&bytes);
            for (record, offset) in &records {
                let from = *offset as usize + RECORD_BYTES;
                if let What::Object(_) = record.what {
                    object(record, bytes.get(from..from + record.bytes as usize).unwrap_or_default());
                }
            }
            let rest = (end < bytes.len() as u64).then_some(end..bytes.len() as u64);
            stretches.into_iter().chain(rest).for_each(|range| damaged(path.clone(), range));
        }
        Ok(())
    }

    /// Makes everything durable, and says so in the newest pack, so that nothing of it is looked at when it is opened.
    pub(super) fn close(&self) -> Result<(), BlobError> {
        self.sync()?;
        let mut state = self.state();
        let closed = |(record, _): &(Record, u64)| record.what == What::Closed;
        if state.writer.records.last().is_some_and(closed) || state.writer.records.is_empty() {
            return Ok(());
        }
        let mut record = Record::of(What::Closed, Hash::ZERO, &[], Timestamp::from_nanos(0));
        record.synced = state.writer.end as u32;
        let (path, end) = (pack_path(&self.dir, state.writer.number), state.writer.end);
        let bytes = record.encode(&[]);
        base::write_all_at(&*state.writer.file, &bytes, end).map_err(BlobError::io(&path))?;
        state.writer.records.push((record, end));
        state.writer.end += bytes.len() as u64;
        if let Err(cause) = state.writer.file.sync_data() {
            return Err(state.poisoned(&path, cause));
        }
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<(), BlobError> {
        match &self.poison {
            Some(cause) => Err(BlobError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Takes nothing more: after a failed sync nobody knows what the disk holds.
    fn poisoned(&mut self, path: &Path, cause: std::io::Error) -> BlobError {
        let cause = format!("a failed sync of {} ({cause})", path.display());
        tracing::error!(%cause, "the blob store takes nothing more until it is opened again");
        BlobError::Poisoned { cause: self.poison.get_or_insert(cause).clone() }
    }
}

impl Writer {
    fn create(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Self, BlobError> {
        let path = pack_path(dir, number);
        base::create_atomically(disk, &path, OpenMode::Create, &encode_pack_header(number))
            .map_err(BlobError::io(&path))?;
        let file = disk.open(&path, OpenMode::Write).map_err(BlobError::io(&path))?;
        let (end, synced) = (PACK_HEADER_BYTES, PACK_HEADER_BYTES as u32);
        Ok(Self { number, file, end, synced, records: Vec::new() })
    }

    /// Goes on in the newest pack of a store. What was not surely synced is written once more.
    fn take_up(disk: &Arc<dyn Disk>, dir: &Path, number: u32) -> Result<Self, BlobError> {
        let path = pack_path(dir, number);
        let file = disk.open(&path, OpenMode::Write).map_err(BlobError::io(&path))?;
        let bytes = base::read_to_end(&*file, usize::MAX).map_err(BlobError::io(&path))?;
        check_header(&path, &bytes, number)?;
        let Scanned { records, damaged, end } = scan(&bytes);
        if !damaged.is_empty() {
            tracing::error!(file = %path.display(), ?damaged, "stretches of a pack do not read: what stood there is missing");
        }
        let is_closed = records.last().is_some_and(|(record, _)| record.what == What::Closed);
        let length = bytes.len() as u64;
        if end < length {
            tracing::warn!(file = %path.display(), from = end, "what a crash left of an object was cut off");
            file.set_length(end).map_err(BlobError::io(&path))?;
        }
        if !is_closed || end != length {
            // A sync that failed before may have left pages that read well and never were written.
            base::write_all_at(&*file, &bytes[..end.min(length) as usize], 0)
                .map_err(BlobError::io(&path))?;
            file.sync_data().map_err(BlobError::io(&path))?;
        }
        Ok(Self { number, file, end, synced: end as u32, records })
    }
}

pub(super) fn pack_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.pack"))
}

pub(super) fn check_header(path: &Path, bytes: &[u8], number: u32) -> Result<(), BlobError> {
    match pack_version(bytes, number) {
        Some(VERSION) => Ok(()),
        Some(found) => Err(BlobError::UnsupportedVersion { what: "a pack", found, known: VERSION }),
        None => Err(BlobError::Decode { what: format!("header of the pack {}", path.display()) }),
    }
}

fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, BlobError> {
    let names = disk.list(dir).map_err(BlobError::io(dir))?;
    // One name each, so that no pack is taken for another.
    let number = |name: &String| {
        let number = name.strip_suffix(".pack")?.parse().ok()?;
        pack_path(Path::new(""), number).to_str().is_some_and(|path| path == name).then_some(number)
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
