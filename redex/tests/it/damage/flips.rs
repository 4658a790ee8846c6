//! Every bit of every file of a node's directory, one after another: each is found, or shown to be harmless.
//!
//! `NETDB_FLIPS=FROM..TO` takes every bit of a range instead of one in [`STRIDE`]; bits are counted over all files in
//! the order of their names, and a range may end behind the last. `sim/flips` does that and keeps the sums.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use redex::{AppendRequest, ChannelEvents, Compression, Fault, Idempotency, OpenError, VerifyReport};

use super::stretches::{Frame, entries, frames};
use super::*;

/// One bit of so many is flipped unless a range is asked for; odd, so that every place of a byte has its turn.
const STRIDE: u64 = 61;
/// Of those, one in so many is checked in every way, the others once; in a range, all are checked in every way.
const THOROUGH: u64 = 8;
/// Bits that a thread takes at once.
const SHARE: u64 = 256;

/// What became of a flipped bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Verification has a fault that it did not have before, in this file or, for the key, in what it does not fit.
    Fault,
    /// Verification lists the file as derived, and every read is right.
    Derived,
    /// Nothing notices, and nothing but people reads the file: every read is right, and so is every later append.
    Unread,
}

impl Found {
    fn name(self) -> &'static str {
        match self {
            Self::Fault => "found",
            Self::Derived => "derived",
            Self::Unread => "unread",
        }
    }
}

/// A log with frames of every kind and every way to store a body in a segment of 64 KiB, and a segment behind it.
fn with_everything() -> Closed {
    let world = World::new();
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let storing = |compression| {
        let mut storing = options.clone();
        storing.compression = compression;
        storing
    };

    let store = world.open_with(&storing(Compression::None));
    append_with_all_fields(&store);
    append_blank(&store);
    append(store.main(), "b", &"plain ".repeat(300));
    store.close().unwrap();
    drop(store);
    for compression in [Compression::Lz4, Compression::Zstd] {
        let store = world.open_with(&storing(compression));
        let payloads: Vec<_> = (0..4).map(|number| format!("{{\"flight\":{number}}}").repeat(60)).collect();
        let events: Vec<_> = payloads.iter().map(|it| EventInput::new("flight", it.as_bytes())).collect();
        store.main().append(&channel("c"), &events).unwrap().wait(Ack::Durable).into_result().unwrap();
        store.close().unwrap();
    }
    // The fourth entry becomes a hole.
    world.disk.flip_bit(segment(&world.disk, 0), (entries(&world)[3].offset + 500) * 8);
    let mut store = world.open_with(&storing(Compression::None));
    assert_eq!(store.recovery().quarantined.len(), 1);
    let mut number = 0;
    while world.disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).count()
        < 2
    {
        append(store.main(), ["a", "b"][number % 2], &format!("{number}{}", "x".repeat(9_000)));
        number += 1;
        if number == 2 {
            store.close().unwrap();
            drop(store);
            store = world.open_with(&storing(Compression::None));
        }
    }
    append_with_all_fields(&store);
    store.close().unwrap();
    drop(store);
    assert_has_everything(&world);
    Closed::of(&world, &options)
}

fn append_with_all_fields(store: &Store) {
    let headers: &[(&str, &[u8])] = &[("content-type", b"application/json"), ("raw", &[0, 255])];
    let (a, b) = (channel("a"), channel("b"));
    let first = [EventInput::new("order.placed", b"{\"id\":2}").with_key("k").with_headers(headers)];
    let second = [EventInput::new("order.checked", b"{}").with_time(base::Timestamp::from_nanos(5))];
    let parts =
        [ChannelEvents { channel: &a, events: &first }, ChannelEvents { channel: &b, events: &second }];
    let number = store.main().producer("import").map_or(7, |producer| producer.number + 1);
    let key = format!("once {number}");
    let keys = [
        Idempotency::Key(&key),
        Idempotency::Producer { id: "import", number, digest: Some(base::Hash::of(b"lines")) },
    ];
    for idempotency in keys {
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        store.main().submit(&request).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
}

/// Its frame is stored escaped.
fn append_blank(store: &Store) {
    let zeros = vec![0; 2_000];
    let event = EventInput::new("blank", &zeros);
    store.main().append(&channel("b"), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
}

/// Without this the test could lose what it is there for.
fn assert_has_everything(world: &World) {
    let path = segment(&world.disk, 0);
    let bytes = world.disk.read(&path).unwrap();
    assert!((64 << 10..72 << 10).contains(&bytes.len()), "{} bytes", bytes.len());
    let frames = frames(world, &path);
    let kinds: BTreeSet<u8> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, BTreeSet::from([1, 2, 3, 4, 5]), "entry, state, footer, close, hole");
    let flags = |frame: &Frame| bytes[usize::try_from(frame.offset).unwrap() + 5];
    let flags: BTreeSet<u8> = frames.iter().map(flags).collect();
    assert!([0, 1, 2, 4].iter().all(|flag| flags.contains(flag)), "plain, escaped, lz4, zstd: {flags:?}");
}

/// A log, what verification says of it undamaged, and its files with the number of the first bit of each.
struct Target {
    closed: Closed,
    faults: Vec<Fault>,
    files: BTreeMap<u64, PathBuf>,
    bits: u64,
}

impl Target {
    fn new() -> Self {
        let closed = with_everything();
        let report = closed.world().verify();
        assert_eq!(report.derived, Vec::<PathBuf>::new());
        assert_eq!(report.faults.len(), 1, "the hole: {:?}", report.faults);
        let mut files = BTreeMap::new();
        let mut bits = 0;
        let mut all = closed.files("");
        // The lock names a process and a machine: its length is another in each run, so it is the last.
        all.sort_by_key(|(path, _)| path.ends_with("lock"));
        for (path, bytes) in all {
            files.insert(bits, path);
            bits += bytes * 8;
        }
        Self { closed, faults: report.faults, files, bits }
    }

    /// Returns the file that a bit lies in, and its number there.
    fn place(&self, bit: u64) -> (&Path, u64) {
        let (first, path) = self.files.range(..=bit).next_back().unwrap();
        (path, bit - first)
    }

    fn check(&self, bit: u64, thorough: bool) -> Found {
        let (path, bit) = self.place(bit);
        let name = path.strip_prefix(DIR).unwrap().to_string_lossy();
        if name.ends_with(".seg") || name.ends_with("superblock") {
            let check = if thorough { check_flip } else { check_flip_once };
            check(&self.closed, &self.faults, path, bit);
            return Found::Fault;
        }
        let line = format!("bit {bit} of {name}");
        let world = self.closed.world();
        world.disk.flip_bit(path, bit);
        let report = world.verify();
        match &*name {
            "identity" => self.check_identity(&world, &report, &line),
            "lock" => self.check_unread(&world, &report, &line),
            _ if name.contains("/quarantine/") => self.check_unread(&world, &report, &line),
            _ => {
                assert_eq!(report.derived, [path], "{line}");
                assert_eq!(report.faults, self.faults, "{line}");
                self.check_reads_and_appends(&world, &line);
                Found::Derived
            }
        }
    }

    fn check_identity(&self, world: &World, report: &VerifyReport, line: &str) -> Found {
        assert!(
            report.faults.iter().any(|fault| !self.faults.contains(fault)),
            "{line}: {:?}",
            report.faults
        );
        let opened = Store::open(Path::new(DIR), &world.doors, &self.closed.options);
        assert!(matches!(opened, Err(OpenError::IdentityMismatch { .. })), "{line}: {opened:?}");
        Found::Fault
    }

    fn check_unread(&self, world: &World, report: &VerifyReport, line: &str) -> Found {
        assert_eq!((&report.faults, &*report.derived), (&self.faults, &[][..]), "{line}");
        self.check_reads_and_appends(world, line);
        Found::Unread
    }

    /// Everything is there, to a reader and to a writer, and the log goes on where it ended.
    fn check_reads_and_appends(&self, world: &World, line: &str) {
        let all = self.closed.events.len();
        let reader = StoreReader::open(Path::new(DIR), &world.doors, &self.closed.options).unwrap();
        assert_eq!(read_skipping(&reader.main().view(), &self.closed.events).unwrap(), all, "{line}");
        let store = world.open_with(&self.closed.options);
        assert_eq!(*store.recovery(), redex::RecoveryReport::default(), "{line}");
        assert_eq!(read_skipping(&store.main().reader().view(), &self.closed.events).unwrap(), all, "{line}");
        for name in ["a", "b", "c"] {
            let last = self.closed.events.iter().rev().find(|event| event.channel.as_str() == name).unwrap();
            let appended = append(store.main(), name, "behind damage");
            assert_eq!(appended.at.first_seq(), Some(last.seq.next()), "{line}");
        }
    }
}

/// Flips bits on as many threads as there are processors; a thread that fails ends the test.
fn flip_all(target: &Target, range: &Range<u64>, stride: u64) -> BTreeMap<(String, Found), u64> {
    let next = AtomicU64::new(range.start);
    let sums = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(SHARE * stride, Ordering::Relaxed);
                    if first >= range.end {
                        break;
                    }
                    let last = range.end.min(first + SHARE * stride);
                    for bit in (first..last).step_by(usize::try_from(stride).unwrap()) {
                        let found = target.check(bit, stride == 1 || bit % (stride * THOROUGH) == 0);
                        let kind = kind(target.place(bit).0);
                        *sums.lock().unwrap().entry((kind, found)).or_insert(0) += 1;
                    }
                }
            });
        }
    });
    sums.into_inner().unwrap()
}

/// Names what a file is: segments and indexes by their ending, what is set aside by its directory.
fn kind(path: &Path) -> String {
    if path.parent().is_some_and(|parent| parent.ends_with("quarantine")) {
        return "quarantine".to_owned();
    }
    path.extension().or(path.file_name()).unwrap().to_string_lossy().into_owned()
}

#[test]
fn any_flipped_bit_of_a_whole_directory_is_found_or_harmless() {
    let started = started();
    let target = Target::new();
    let asked = asked_bits().map(|range| range.start..range.end.min(target.bits));
    let stride = if asked.is_some() { 1 } else { STRIDE };
    let range = asked.clone().unwrap_or(0..target.bits);
    let sums = flip_all(&target, &range, stride);
    for ((kind, found), count) in &sums {
        println!("{count:>8} {kind}: {}", found.name());
    }
    let of =
        |wanted| sums.iter().filter(|((_, found), _)| *found == wanted).map(|(_, count)| count).sum::<u64>();
    let (found, derived, unread) = (of(Found::Fault), of(Found::Derived), of(Found::Unread));
    let flips = found + derived + unread;
    assert_eq!(flips, range.end.saturating_sub(range.start).div_ceil(stride));
    let seconds = started.elapsed().as_secs();
    if asked.is_some() {
        // `sim/flips` takes this line.
        println!(
            "SUMMARY \"bits\":\"{}..{}\",\"of\":{},\"flips\":{flips},\"found\":{found},\"derived\":{derived},\
             \"unread\":{unread},\"seconds\":{seconds}",
            range.start, range.end, target.bits,
        );
    } else {
        println!("{flips} of {} bits flipped, {found} found, {seconds} s", target.bits);
        assert!(found > 0 && derived > 0 && unread > 0);
    }
}

fn asked_bits() -> Option<Range<u64>> {
    let text = std::env::var("NETDB_FLIPS").ok()?;
    let (from, to) = text.split_once("..").expect("NETDB_FLIPS is a range such as 0..4096");
    Some(from.parse().expect("a number")..to.parse().expect("a number"))
}

#[allow(clippy::disallowed_methods, reason = "the run's duration is reported, nothing depends on it")]
fn started() -> Instant {
    Instant::now()
}
