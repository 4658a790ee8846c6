//! Damage: flipped bits, lost copies, corrupt stretches. It is found and named, what is read is right or an error,
//! and the log opens and goes on.
//!
//! `NETDB_FLIP_ALL=1` flips every bit of the larger logs, too; `flips.rs` has a range of its own.

use std::path::{Path, PathBuf};

use base::{CrashImage, Seq, SimulatedDisk, Snapshot};
use redex::{
    Ack, Bounds, Event, EventInput, Fault, LogOptions, LogView, ReadError, Selection, Store, StoreReader,
};

use crate::support::{DIR, World, all, append, channel, options};

mod flips;
mod stretches;
mod verdicts;

const LOG: &str = "/node/logs/main";

/// A log that was closed cleanly, and what is in it.
struct Closed {
    snapshot: Snapshot,
    /// What a crash behind the close leaves: without index files, which are not synced, or all.
    survivors: CrashImage,
    events: Vec<Event>,
    options: LogOptions,
}

impl Closed {
    fn new(options: LogOptions, fill: impl FnOnce(&World, &Store)) -> Self {
        let world = World::new();
        let store = world.open_with(&options);
        fill(&world, &store);
        store.close().unwrap();
        drop(store);
        assert_eq!(world.verify().faults, []);
        Self::of(&world, &options)
    }

    /// A log that is closed, and what is read of it, over holes.
    fn of(world: &World, options: &LogOptions) -> Self {
        let snapshot = world.disk.snapshot();
        let everything = Selection { skip_holes: true, ..Selection::default() };
        let events = world.open_with(options).main().reader().view().read(&everything).unwrap();
        let events = events.map(Result::unwrap).collect();
        Self { snapshot, survivors: CrashImage::All, events, options: options.clone() }
    }

    fn without_index_files(self) -> Self {
        Self { survivors: CrashImage::None, ..self }
    }

    fn world(&self) -> World {
        World::on(self.snapshot.image(&self.survivors), 77)
    }

    /// Returns the files of a kind with their lengths.
    fn files(&self, ending: &str) -> Vec<(PathBuf, u64)> {
        let all = self.snapshot.image(&self.survivors).files();
        all.into_iter().filter(|(path, _)| path.to_string_lossy().ends_with(ending)).collect()
    }
}

/// Reads everything, in several ways: what is there is right, and nothing is left out silently. Returns what
/// became of the simplest.
fn read(view: &LogView, expected: &[Event]) -> Result<(), ReadError> {
    for name in ["a", "b", "c"] {
        if view.channel(&channel(name)).unwrap().is_none() {
            // Its creation was lost; whoever reads everything is told.
            continue;
        }
        let of_channel: Vec<_> =
            expected.iter().filter(|event| event.channel.as_str() == name).cloned().collect();
        let selection = Selection::channel(&channel(name));
        let middle = of_channel.len() / 2;
        let first = of_channel.get(middle).map_or(0, |event| event.seq.0);
        let later = Selection { seqs: Bounds::from(first), ..selection.clone() };
        let _ = read_selected(view, &later, of_channel[middle..].iter());
        let _ = read_selected(view, &selection, of_channel.iter());
        let _ = read_selected(view, &Selection { reverse: true, ..selection }, of_channel.iter().rev());
    }
    let backward = Selection { reverse: true, ..Selection::default() };
    let _ = read_selected(view, &backward, expected.iter().rev());
    read_selected(view, &Selection::default(), expected.iter())
}

fn read_selected<'a>(
    view: &LogView,
    selection: &Selection,
    mut expected: impl ExactSizeIterator<Item = &'a Event>,
) -> Result<(), ReadError> {
    for event in view.read(selection)? {
        assert_eq!(Some(&event?), expected.next(), "wrong or missing event: {selection:?}");
    }
    assert_eq!(expected.len(), 0, "events are missing: {selection:?}");
    Ok(())
}

/// Reads over holes: nothing that is read is wrong.
fn read_skipping(view: &LogView, expected: &[Event]) -> Result<usize, ReadError> {
    let selection = Selection { skip_holes: true, ..Selection::default() };
    let mut expected = expected.iter();
    let mut found = 0;
    for event in view.read(&selection)? {
        let event = event?;
        assert!(expected.any(|known| *known == event), "{event:?} was never written");
        found += 1;
    }
    Ok(found)
}

/// Flips a bit of a segment or a superblock. `known` is what verification says without that.
fn check_flip(closed: &Closed, known: &[Fault], path: &Path, bit: u64) {
    let line = format!("bit {bit} of {}", path.display());
    let world = closed.world();
    world.disk.flip_bit(path, bit);
    check_found(&world, known, path, bit);
    // Readers without a writer come first, since a writer repairs.
    match StoreReader::open(Path::new(DIR), &world.doors, &closed.options) {
        Ok(reader) => {
            let _ = read(&reader.main().view(), &closed.events);
            let _ = read_skipping(&reader.main().view(), &closed.events);
        }
        Err(error) => assert!(matches!(error, redex::OpenError::Corrupt(_)), "{line}: {error}"),
    }
    let store = world.open_with(&closed.options);
    let first = read(&store.main().reader().view(), &closed.events);
    let skipped = read_skipping(&store.main().reader().view(), &closed.events);
    drop(store);
    let store = world.open_with(&closed.options);
    let (quarantined, repaired) = (&store.recovery().quarantined, &store.recovery().repaired);
    assert!(quarantined.is_empty() && repaired.is_empty(), "{line}: {:?}", store.recovery());
    let again = read(&store.main().reader().view(), &closed.events);
    assert_eq!(format!("{again:?}"), format!("{first:?}"), "{line}");
    let again = read_skipping(&store.main().reader().view(), &closed.events);
    assert_eq!(format!("{again:?}"), format!("{skipped:?}"), "{line}");
    for name in ["a", "b"] {
        let last = closed.events.iter().rev().find(|event| event.channel.as_str() == name);
        let next = last.map_or(Seq(0), |event| event.seq.next());
        let appended = append(store.main(), name, "behind damage");
        assert!(appended.at.first_seq() >= Some(next), "{line}: a number of {name} was given out again");
    }
}

/// The same with one opening for writing and one way to read, for many bits in a build that is not optimised.
fn check_flip_once(closed: &Closed, known: &[Fault], path: &Path, bit: u64) {
    let world = closed.world();
    world.disk.flip_bit(path, bit);
    check_found(&world, known, path, bit);
    let store = world.open_with(&closed.options);
    let _ = read_skipping(&store.main().reader().view(), &closed.events);
}

/// Verification has a fault that it did not have before, in the file and not behind the bit.
fn check_found(world: &World, known: &[Fault], path: &Path, bit: u64) {
    let faults = world.verify().faults;
    let named = |fault: &&Fault| fault.file == path && fault.offset <= bit / 8 && !known.contains(fault);
    assert!(faults.iter().any(|fault| named(&fault)), "bit {bit} of {}: {faults:?}", path.display());
}

fn flip(closed: &Closed, ending: &str, stride: u64) -> u64 {
    let stride = if std::env::var_os("NETDB_FLIP_ALL").is_some() { 1 } else { stride };
    let mut count = 0;
    for (path, bytes) in closed.files(ending) {
        for bit in (0..bytes * 8).step_by(usize::try_from(stride).unwrap()) {
            check_flip(closed, &[], &path, bit);
            count += 1;
        }
    }
    count
}

#[test]
fn any_flipped_bit_of_a_small_log_is_found_and_never_read() {
    let closed = Closed::new(options(), |_, store| {
        append(store.main(), "a", "first");
        append(store.main(), "b", "second");
    });
    let count = flip(&closed, "superblock", 5) + flip(&closed, ".seg", 7);
    println!("{count} bits flipped");
}

#[test]
fn any_flipped_bit_of_many_segments_is_found_and_never_read() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let closed = Closed::new(options, |_, store| {
        for number in 0..9 {
            append(store.main(), "a", &format!("{number}{}", "x".repeat(9_000)));
            let zeros = vec![0; 12_000];
            let ticket = store.main().append(&channel("b"), &[EventInput::new("zeros", &zeros)]).unwrap();
            ticket.wait(Ack::Written);
        }
    });
    assert!(closed.files(".seg").len() > 2);
    let count = flip(&closed, ".seg", 4_441);
    let count = count + flip(&closed.without_index_files(), ".seg", 4_447);
    println!("{count} bits flipped");
}

#[test]
fn damage_in_derived_files_is_listed_and_changes_nothing() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let closed = Closed::new(options, |_, store| {
        for number in 0..6 {
            append(store.main(), "a", &format!("{number}{}", "x".repeat(30_000)));
        }
    });
    let mut files = closed.files(".idx");
    assert!(files.len() > 1);
    files.extend(closed.files("visible"));
    for (path, bytes) in files {
        for bit in (0..bytes * 8).step_by(331) {
            let world = closed.world();
            world.disk.flip_bit(&path, bit);
            let report = world.verify();
            assert_eq!(report.faults, [], "bit {bit} of {}", path.display());
            assert_eq!(report.derived, std::slice::from_ref(&path), "bit {bit}");
            let reader = StoreReader::open(Path::new(DIR), &world.doors, &closed.options).unwrap();
            read(&reader.main().view(), &closed.events).unwrap();
            read_channel(&reader.main().view(), "a", &closed.events);
            let store = world.open_with(&closed.options);
            read(&store.main().reader().view(), &closed.events).unwrap();
            read_channel(&store.main().reader().view(), "a", &closed.events);
        }
    }
}

fn read_channel(view: &LogView, name: &str, expected: &[Event]) {
    let events: Vec<_> =
        view.read(&Selection::channel(&channel(name))).unwrap().map(Result::unwrap).collect();
    assert!(events.iter().eq(expected.iter().filter(|event| event.channel.as_str() == name)));
}

/// Ends a file where it is damaged in a way that no crash leaves.
fn zero(disk: &SimulatedDisk, path: &Path, from: u64, to: u64) {
    let mut bytes = disk.read(path).unwrap();
    bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].fill(0);
    disk.write(path, &bytes);
}

fn segment(disk: &SimulatedDisk, number: usize) -> PathBuf {
    let files = disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
    files.map(|(path, _)| path).nth(number).unwrap()
}

#[test]
fn both_copies_of_a_header_or_a_state_frame_are_made_anew() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let closed = Closed::new(options, |_, store| {
        for number in 0..4 {
            append(store.main(), "a", &format!("{number}{}", "x".repeat(30_000)));
        }
    });
    // Segment header; both state frames, of which the first begins at 1,024; everything in front of the entries.
    for (from, to) in [(0, 1_024), (1_030, 1_700), (0, 1_600)] {
        let world = closed.world();
        let path = segment(&world.disk, 1);
        zero(&world.disk, &path, from, to);
        let faults = world.verify().faults;
        assert!(faults.iter().any(|fault| fault.file == path), "{faults:?}");
        let store = world.open_with(&closed.options);
        assert!(store.recovery().repaired.contains(&path), "{:?}", store.recovery());
        assert_eq!(store.recovery().quarantined, []);
        read(&store.main().reader().view(), &closed.events).unwrap();
        append(store.main(), "a", "behind");
        drop(store);
        assert_eq!(world.verify().faults, []);
    }
}

#[test]
fn a_file_of_another_format_is_refused_and_left_as_it_is() {
    let closed = Closed::new(options(), |_, store| drop(append(store.main(), "a", "1")));
    let mut paths = closed.files(".seg");
    paths.extend(closed.files("superblock"));
    let versions = [(8, "format version 7"), (10, "format features 0x0007")];
    for ((path, _), (place, named)) in paths.iter().flat_map(|path| versions.map(|version| (path, version))) {
        let world = closed.world();
        let mut bytes = world.disk.read(path).unwrap();
        for copy in bytes[..1_024].chunks_mut(512) {
            copy[place..place + 2].copy_from_slice(&7u16.to_le_bytes());
            let crc = crc32fast::hash(&copy[..508]);
            copy[508..].copy_from_slice(&crc.to_le_bytes());
        }
        world.disk.write(path, &bytes);
        let error = Store::open(Path::new(DIR), &world.doors, &closed.options).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("format version 1") && text.contains(named), "{text}");
        assert!(matches!(error, redex::OpenError::Format { .. }), "{error:?}");
        assert_eq!(world.disk.read(path).unwrap(), bytes);
        let verified = redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default());
        let text = format!("{verified:?}");
        assert!(text.contains("format version 1") && text.contains(named), "{text}");
    }
}

/// A write that goes astray may bring both copies of another segment's header at once.
#[test]
fn the_header_of_another_segment_is_damage_like_any_other() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let payload = "x".repeat(40_000);
    let closed = Closed::new(options, |_, store| {
        for _ in 0..3 {
            append(store.main(), "a", &payload);
        }
    });
    let segments = closed.files(".seg");
    let ((first, _), (newest, _)) = (&segments[0], segments.last().unwrap());
    assert_ne!(first, newest);
    let world = closed.world();
    let header = world.disk.read(first).unwrap()[..1_024].to_vec();
    let mut bytes = world.disk.read(newest).unwrap();
    bytes[..1_024].copy_from_slice(&header);
    world.disk.write(newest, &bytes);
    assert_ne!(world.verify().faults, []);

    let store = world.open_with(&closed.options);
    assert_eq!(store.recovery().repaired, std::slice::from_ref(newest));
    let events = store.main().reader().view().read(&Selection::default()).unwrap();
    assert_eq!(events.map(Result::unwrap).collect::<Vec<_>>(), closed.events);
    drop(store);
    assert_eq!(world.verify().faults, []);
}
