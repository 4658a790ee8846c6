//! A log in memory whose files are altered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{
    ChannelName, Disk, Doors, ManualClock, MemoryDisk, OpenMode, SeededRandom, Timestamp, read_to_end,
    write_all_at,
};
use redex::{
    Ack, AppendRequest, Bounds, ChannelEvents, EventInput, FlusherMode, Idempotency, Log, LogOptions,
    Selection, Store, VerifyOptions,
};

pub(crate) const DIR: &str = "/node";
const LAST: &[u8] = b"behind the damage";

/// The files of a directory.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

pub(crate) fn options() -> LogOptions {
    let mut options = LogOptions::default();
    options.flusher = FlusherMode::Manual;
    options.segment_bytes = 16 << 10;
    options.cache_bytes = 1 << 20;
    options
}

pub(crate) fn doors(files: &Files) -> Doors {
    let disk = MemoryDisk::new();
    for (path, bytes) in files {
        disk.create_directories(path.parent().expect("a file lies in a folder")).expect("memory has room");
        let file = disk.open(path, OpenMode::OpenOrCreate).expect("memory has room");
        write_all_at(&*file, bytes, 0).expect("memory has room");
    }
    Doors {
        clock: Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000))),
        random: Arc::new(SeededRandom::new(1)),
        disk: Arc::new(disk),
    }
}

pub(crate) fn read_files(disk: &dyn Disk) -> Files {
    let log = Path::new(DIR).join("logs").join("main");
    let names = disk.list(&log).expect("the log is there").into_iter().map(|name| log.join(name));
    let paths = std::iter::once(Path::new(DIR).join("identity")).chain(names);
    let read = |path: PathBuf| {
        let file = disk.open(&path, OpenMode::Read).ok()?;
        Some((path, read_to_end(&*file, 1 << 20).expect("memory is readable")))
    };
    paths.filter_map(read).filter(|(_, bytes)| !bytes.is_empty()).collect()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("the name is allowed")
}

/// Appends one event durably and returns the index of its entry; `None` when the log refuses.
fn append(log: &Log, name: &str, payload: &[u8]) -> Option<u64> {
    let headers = [("h", &b"1"[..])];
    let event = EventInput::new("test.happened", payload).with_key("key").with_headers(&headers);
    let ticket = log.append(&channel(name), &[event]).ok()?;
    Some(ticket.wait(Ack::Durable).into_result().ok()?.at.index.0)
}

/// Makes a log of two segments with something of everything: the first sealed, the newest open or closed cleanly.
///
/// # Panics
///
/// When a sound log cannot be written.
pub fn sound(closed: bool) -> Files {
    let doors = doors(&Vec::new());
    let store = Store::create(Path::new(DIR), &doors, &options()).expect("an empty disk takes a log");
    let log = store.main();
    for number in 0..8 {
        assert!(append(log, "a", &[number; 2500]).is_some() && append(log, "b/c", &[0; 600]).is_some());
    }
    let (a, event) = (channel("a"), EventInput::new("keyed", b"x"));
    for idempotency in [Idempotency::Key("key"), Idempotency::Producer { id: "p", number: 3, digest: None }] {
        let parts = [ChannelEvents { channel: &a, events: std::slice::from_ref(&event) }];
        let request = AppendRequest { parts: &parts, conditions: &[], idempotency };
        let ticket = log.submit(&request).expect("the request is sound");
        ticket.wait(Ack::Durable).into_result().expect("memory has room");
    }
    if closed {
        store.close().expect("memory has room");
    }
    read_files(&*doors.disk)
}

/// What became of altered files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The log was refused.
    Refused,
    /// It was opened, but takes no appends.
    ReadOnly,
    /// It goes on.
    GoesOn,
}

/// Verifies the files, opens them, reads and writes, and opens them again. Nothing of it may panic; a log that was
/// opened and written must open again, and give what was appended.
///
/// # Panics
///
/// When a log that was opened does not go on.
pub fn use_files(files: &Files) -> Outcome {
    let (dir, doors) = (Path::new(DIR), doors(files));
    let every = VerifyOptions { channel: Some(channel("a")), all_signatures: true };
    let _ = redex::verify(dir, &doors, &every);
    let Ok(store) = Store::open(dir, &doors, &options()) else { return Outcome::Refused };
    read_from(store.main(), 0);
    let Some(index) = append(store.main(), "a", LAST) else { return Outcome::ReadOnly };
    store.close().expect("memory has room");
    drop(store);
    let store = Store::open(dir, &doors, &options()).expect("what was repaired and closed opens");
    // A whole frame whose events do not decode is an error to whoever reads over it, so the reading begins behind.
    let read = read_from(store.main(), index);
    assert!(read.iter().any(|payload| payload == LAST), "an acknowledged event is lost");
    read_from(store.main(), 0);
    let _ = redex::verify(dir, &doors, &every);
    store.close().expect("memory has room");
    Outcome::GoesOn
}

/// Reads forwards and backwards what can be read from an entry on.
fn read_from(log: &Log, index: u64) -> Vec<Vec<u8>> {
    let view = log.reader().view();
    let mut payloads = Vec::new();
    for reverse in [false, true] {
        let indexes = Bounds::from(index);
        let selection = Selection { reverse, indexes, skip_holes: true, ..Selection::default() };
        let Ok(events) = view.read(&selection) else { continue };
        // A reader that does not get on gives up.
        payloads.extend(events.take(1000).flatten().map(|event| event.payload.to_vec()));
    }
    payloads
}
