//! Redactions under way: the file that tells what is written over redacted events, and the numbers that readers see
//! redacted whatever their bytes still say.
//!
//! The file is prepared before the redaction is on record, and due once it is durable there. So a crash leaves either
//! nothing of a redaction, or one that opening finishes. FORMAT.md has the rules.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base::{ChannelName, Disk, LogId, OpenMode, Seq};

use crate::codec::control::RedactionRecord;
use crate::codec::redo::{self, Redo};
use crate::codec::segment_header::file_name;

const PREPARED: &str = "redaction.prepared";
const DUE: &str = "redaction.due";

/// Numbers of events that were redacted, by channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redacted(BTreeMap<ChannelName, Ranges>);

/// What readers of a log see redacted, whatever they read before it was; shared by all of them.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    any: AtomicBool,
    redacted: RwLock<Arc<Redacted>>,
}

impl Masks {
    pub(crate) fn add(&self, record: &RedactionRecord) {
        let mut redacted = self.redacted.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut redacted).add(record);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Returns what is redacted; `None` when nothing is.
    pub(crate) fn get(&self) -> Option<Arc<Redacted>> {
        let any = self.any.load(Ordering::SeqCst);
        any.then(|| Arc::clone(&self.redacted.read().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn has(&self, channel: &ChannelName, seq: Seq) -> bool {
        self.get().is_some_and(|redacted| redacted.has(channel, seq.0))
    }
}

/// Numbers as ranges in rising order that do not touch, by their beginnings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Redacted {
    pub(crate) fn add(&mut self, record: &RedactionRecord) {
        let ranges = self.0.entry(record.channel.clone()).or_default();
        record.ranges.iter().for_each(|range| ranges.add(range.clone()));
    }

    pub(crate) fn has(&self, channel: &ChannelName, seq: u64) -> bool {
        self.0.get(channel).is_some_and(|ranges| ranges.has(seq))
    }
}

impl Ranges {
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        while let Some((first, last)) = self.0.range(..=end).next_back().map(|(first, last)| (*first, *last))
            && last >= start
        {
            self.0.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.0.insert(start, end);
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// Returns the first number of a range that is not there.
    pub(crate) fn first_missing(&self, range: Range<u64>) -> Option<u64> {
        let known = self.0.range(..=range.start).next_back().map_or(0, |(_, end)| *end);
        let missing = known.max(range.start);
        (missing < range.end).then_some(missing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(start, end)| *start..*end)
    }
}

impl Redo {
    /// Writes what is due over bytes of a segment that were read from `begin` on. Tells whether there was anything.
    pub(crate) fn patch(&self, segment: u64, begin: u64, bytes: &mut [u8]) -> bool {
        let mut patched = false;
        for patch in self.patches.iter().filter(|patch| patch.segment == segment) {
            let end = begin + bytes.len() as u64;
            let from = patch.offset.max(begin);
            let to = (patch.offset + patch.bytes.len() as u64).min(end);
            if from < to {
                let place = |at: u64| usize::try_from(at).expect("it lies in what is in memory");
                bytes[place(from - begin)..place(to - begin)]
                    .copy_from_slice(&patch.bytes[place(from - patch.offset)..place(to - patch.offset)]);
                patched = true;
            }
        }
        patched
    }
}

/// Reads the redaction that is due in a log's directory; `None` when there is none that reads.
pub(crate) fn due(disk: &dyn Disk, dir: &Path, log: LogId) -> Option<Redo> {
    read(disk, &dir.join(DUE), log)
}

/// Reads the redaction that is prepared in a log's directory.
pub(crate) fn prepared(disk: &dyn Disk, dir: &Path, log: LogId) -> Option<Redo> {
    read(disk, &dir.join(PREPARED), log)
}

/// Returns the files of a redaction under way that do not read.
pub(crate) fn damaged(disk: &dyn Disk, dir: &Path, log: LogId) -> Vec<PathBuf> {
    let paths = [PREPARED, DUE].map(|name| dir.join(name));
    let is_damaged = |path: &PathBuf| disk.exists(path).unwrap_or(false) && read(disk, path, log).is_none();
    paths.into_iter().filter(is_damaged).collect()
}

fn read(disk: &dyn Disk, path: &Path, log: LogId) -> Option<Redo> {
    if !disk.exists(path).ok()? {
        return None;
    }
    let file = disk.open(path, OpenMode::Read).ok()?;
    let bytes = base::read_to_end(&*file, usize::MAX).ok()?;
    redo::decode(&bytes).ok().filter(|redo| redo.log == log)
}

/// Prepares a redaction that is not on record yet.
///
/// *Durability*: it survives a power failure once this returns.
pub(crate) fn prepare(disk: &dyn Disk, dir: &Path, redo: &Redo) -> io::Result<()> {
    base::create_atomically(disk, &dir.join(PREPARED), OpenMode::Create, &redo::encode(redo))
}

/// Lets go of a redaction that is not on record.
pub(crate) fn drop_prepared(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    remove(disk, dir, PREPARED)
}

/// Makes the prepared redaction due: it is durable on record.
pub(crate) fn make_due(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.rename(&dir.join(PREPARED), &dir.join(DUE))?;
    disk.sync_directory(dir)
}

/// Writes what is due over the redacted events, and lets go of it. May be repeated, and begun anew behind a crash.
pub(crate) fn finish(disk: &dyn Disk, dir: &Path, redo: &Redo) -> io::Result<()> {
    let mut patches = redo.patches.as_slice();
    while let Some(first) = patches.first() {
        let same = patches.iter().take_while(|patch| patch.segment == first.segment).count();
        let (own, rest) = patches.split_at(same);
        let path = dir.join(file_name(first.segment, first.first_index));
        // What was given up meanwhile holds no events any more.
        if disk.exists(&path)? {
            let file = disk.open(&path, OpenMode::Write)?;
            own.iter().try_for_each(|patch| base::write_all_at(&*file, &patch.bytes, patch.offset))?;
            file.sync_data()?;
        }
        patches = rest;
    }
    remove(disk, dir, DUE)
}

/// Finishes what an earlier process made due. What does not read is set aside, since the bytes that it should have
/// replaced cannot be told. Returns what was finished.
pub(crate) fn finish_due(disk: &dyn Disk, dir: &Path, log: LogId) -> io::Result<Option<Redo>> {
    for path in damaged(disk, dir, log) {
        let quarantine = dir.join("quarantine");
        disk.create_directories(&quarantine)?;
        let mut copy = 0;
        let mut target = quarantine.join("redaction-0.bin");
        while disk.exists(&target)? {
            copy += 1;
            target = quarantine.join(format!("redaction-{copy}.bin"));
        }
        disk.rename(&path, &target)?;
        disk.sync_directory(&quarantine)?;
        disk.sync_directory(dir)?;
        tracing::error!(path = %path.display(), "a redaction under way is damaged and set aside: redact again");
    }
    let Some(redo) = due(disk, dir, log) else { return Ok(None) };
    finish(disk, dir, &redo)?;
    Ok(Some(redo))
}

/// Decides on what an earlier process prepared: on record, it is finished; else nothing of it happened.
pub(crate) fn settle_prepared(
    disk: &dyn Disk,
    dir: &Path,
    log: LogId,
    redactions: u64,
) -> io::Result<Option<Redo>> {
    let Some(redo) = prepared(disk, dir, log) else { return Ok(None) };
    if redactions < redo.number {
        drop_prepared(disk, dir)?;
        return Ok(None);
    }
    make_due(disk, dir)?;
    finish(disk, dir, &redo)?;
    Ok(Some(redo))
}

fn remove(disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<()> {
    match disk.remove(&dir.join(name)) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| disk.sync_directory(dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_agree_with_a_set_of_numbers() {
        let random = base::SeededRandom::new(3);
        for _ in 0..200 {
            let (mut ranges, mut set) = (Ranges::default(), std::collections::BTreeSet::new());
            for _ in 0..8 {
                let start = random.below(40);
                let range = start..start + 1 + random.below(9);
                ranges.add(range.clone());
                set.extend(range);
            }
            assert!((0..60).all(|number| ranges.has(number) == set.contains(&number)));
            let known: Vec<_> = ranges.iter().collect();
            assert!(known.windows(2).all(|pair| pair[0].end < pair[1].start), "{known:?}");
            for start in 0..50 {
                let wanted = start..start + 7;
                let missing = wanted.clone().find(|number| !set.contains(number));
                assert_eq!(ranges.first_missing(wanted), missing);
            }
        }
    }
}
