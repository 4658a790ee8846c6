//! Footers that list too little, too much, or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Disk, Doors, ManualClock, Position, SeededRandom, SimulatedDisk, Timestamp};

use super::footer;
use super::*;
use crate::codec::footer::{Footer, decode_footer, encode_footer};
use crate::codec::frame::{self, FrameKind, Place};
use crate::codec::segment_header;
use crate::frames::SegmentBytes;
use crate::{Ack, ChannelConfig, EventInput, FlusherMode, LogOptions, Store, VerifyOptions};

const DIR: &str = "/node";

struct World {
    disk: SimulatedDisk,
    doors: Doors,
    options: LogOptions,
}

fn hash(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn hashes(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Hash> {
    numbers.into_iter().map(hash).collect()
}

impl World {
    /// Makes a log of several segments, whose events refer to a blob each; those with even numbers can be redacted.
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let doors = Doors {
            clock: Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000))),
            random: Arc::new(SeededRandom::new(1)),
            disk: Arc::new(disk.clone()),
        };
        let mut options = LogOptions { flusher: FlusherMode::Manual, ..LogOptions::default() };
        options.segment_bytes = 16 << 10;
        let world = Self { disk, doors, options };
        let store = world.open();
        let names = ["people", "photos"].map(|name| base::ChannelName::new(name).unwrap());
        store.main().create_channel(&names[0], &ChannelConfig::of_erasable()).unwrap().wait(Ack::Durable);
        for number in 0..12 {
            let references = [BlobReference { hash: hash(number), bytes: 1 }];
            let event = EventInput::new("blob.used", &[b'x'; 5_000]).with_blobs(&references);
            let ticket = store.main().append(&names[number as usize % 2], &[event]).unwrap();
            ticket.wait(Ack::Durable).into_result().unwrap();
        }
        store.close().unwrap();
        world
    }

    fn open(&self) -> Store {
        Store::open(Path::new(DIR), &self.doors, &self.options).unwrap()
    }

    fn sealed(&self) -> Vec<PathBuf> {
        let files = self.disk.files().into_iter().map(|(path, _)| path);
        let mut segments: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
        segments.sort();
        segments.pop();
        assert!(segments.len() > 2);
        segments
    }

    /// Replaces the footer of a sealed segment by another one, with its checksums right.
    fn alter(&self, path: &Path, change: impl FnOnce(&mut Footer)) {
        let mut bytes = self.disk.read(path).unwrap();
        let (header, _) = segment_header::decode(&bytes).unwrap();
        let view = SegmentBytes { log: header.log, segment: header.number, begin: 0, bytes: &bytes };
        let frame = footer::last_frame(view).unwrap();
        let mut footer = decode_footer(&frame.body().unwrap()).unwrap();
        change(&mut footer);
        let place = Place { log: header.log, segment: header.number, offset: frame.offset };
        let (index, synced, offset) =
            (frame.header.index, frame.header.synced_through, frame.offset as usize);
        let mut replaced = Vec::new();
        frame::encode(&mut replaced, place, FrameKind::Footer, index, synced, &encode_footer(&footer));
        bytes.truncate(offset);
        bytes.extend_from_slice(&replaced);
        self.disk.write(path, &bytes);
        // It is derived, and of a segment of another length.
        let _ = self.disk.remove(&path.with_extension("idx"));
    }

    fn faults(&self) -> Vec<(PathBuf, String, String)> {
        let report = crate::verify(Path::new(DIR), &self.doors, &VerifyOptions::default()).unwrap();
        report.faults.into_iter().map(|fault| (fault.file, fault.expected, fault.found)).collect()
    }

    fn visit(&self) -> BTreeSet<Hash> {
        let (store, mut visited) = (self.open(), BTreeSet::new());
        store
            .main()
            .reader()
            .blob_references(&mut |hash| {
                visited.insert(*hash);
            })
            .unwrap();
        visited
    }
}

#[test]
fn what_is_listed_is_sorted_and_each_once() {
    let mut references = References::default();
    references.add(Some(&[hash(2), hash(1)]));
    references.add(Some(&[]));
    references.add(Some(&[hash(1)]));
    let mut expected = vec![hash(1), hash(2)];
    expected.sort();
    assert_eq!(references.list(), Some(expected));
    assert_eq!(References::default().list(), Some(Vec::new()));
}

#[test]
fn too_many_are_not_listed_and_neither_is_what_is_not_known_as_a_whole() {
    let all: Vec<_> = (0..LISTED_REFERENCES_MAX as u64).map(hash).collect();
    let mut references = References::default();
    references.add(Some(&all));
    references.add(Some(&all[..9]));
    assert_eq!(references.list().map(|list| list.len()), Some(LISTED_REFERENCES_MAX));
    references.add(Some(&[hash(LISTED_REFERENCES_MAX as u64)]));
    assert_eq!(references.list(), None);
    let mut references = References::default();
    references.add(None);
    references.add(Some(&[hash(1)]));
    assert_eq!(references, References::unlisted());
}

#[test]
fn footers_list_what_events_of_channels_refer_to_that_are_not_erasable() {
    let world = World::new();
    let mut listed = BTreeSet::new();
    for path in world.sealed() {
        world.alter(&path, |footer| listed.extend(footer.references.clone().unwrap()));
    }
    assert!(listed.len() > 3 && listed.is_subset(&hashes((0..12).filter(|number| number % 2 == 1))));
    assert_eq!(world.faults(), []);
    assert_eq!(world.visit(), hashes(0..12));
}

#[test]
fn footers_of_before_lists_are_read_and_their_segments_too() {
    let world = World::new();
    for path in world.sealed() {
        world.alter(&path, |footer| footer.references = None);
    }
    assert_eq!(world.faults(), []);
    assert_eq!(world.visit(), hashes(0..12));
}

#[test]
fn a_list_that_lacks_a_blob_or_has_another_is_a_fault() {
    for (more, expected) in [(true, "lists 2 blobs"), (false, "lists blob")] {
        let world = World::new();
        let path = &world.sealed()[1];
        let mut own = Vec::new();
        world.alter(path, |footer| {
            let listed = footer.references.as_mut().unwrap();
            own = listed.clone();
            match more {
                true => listed.push(hash(99)),
                false => drop(listed.pop()),
            }
            listed.sort();
        });
        assert_eq!(own.len(), 2);
        let faults = world.faults();
        let [(file, said, found)] = &faults[..] else { panic!("{faults:?}") };
        assert!(file == path && said.contains(expected), "{faults:?}");
        let named = if more { found } else { said };
        assert!(named.contains(&if more { hash(99) } else { own[1] }.to_string()), "{faults:?}");
    }
}

#[test]
fn a_footer_is_found_at_the_end_of_its_segment_however_long_it_is() {
    let world = World::new();
    let path = world.sealed().remove(0);
    for count in [0, 1, 511, 600, 5_000, 40_000] {
        let mut many: Vec<_> = (0..count).map(hash).collect();
        many.sort();
        world.alter(&path, |footer| footer.references = Some(many.clone()));
        let store = world.open();
        let segments = &store.main().reader().shared.segments;
        let found = footer::read(segments, &segments.all()[0]).unwrap().unwrap();
        assert_eq!(found.references, Some(many), "{count}");
        let newest = segments.last().unwrap();
        assert!(footer::read(segments, &newest).unwrap().is_none(), "it is not sealed");
    }
}

#[test]
fn a_footer_that_stops_short_of_the_next_segment_is_not_relied_on() {
    let world = World::new();
    let path = world.sealed().remove(0);
    world.alter(&path, |footer| {
        footer.references = Some(Vec::new());
        footer.standing.next_index = base::Index(1);
    });
    assert_eq!(world.visit(), hashes(0..12), "the entries are read");
    assert!(Position::ZERO < world.open().main().reader().visible());
}
