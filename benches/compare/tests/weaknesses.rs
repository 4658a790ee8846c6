//! What net-mesh 0.46 cannot do, each shown on it, with what happens here in the same case. `redex/docs/parity.md` names
//! the tests of ours that hold without it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "the peer knows no other disk than the machine's")]

use std::path::{Path, PathBuf};

use base::{ChannelName, Doors, LogId, SystemRandom};
use futures::StreamExt as _;
use net::adapter::net::channel::ChannelName as PeerName;
use net::adapter::net::redex::{Redex, RedexFile, RedexFileConfig};
use redex::{Ack, EventInput, LogOptions, OpenError, ReadError, Rejection, Retention, Selection, Store};

/// A directory that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("netdb-compare-{}", LogId::random(&SystemRandom)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays in the machine's directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The peer expects to be inside of a runtime.
fn inside<R>(act: impl FnOnce() -> R) -> R {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    act()
}

fn peer_name() -> PeerName {
    PeerName::new("orders").unwrap()
}

fn peer_config() -> RedexFileConfig {
    RedexFileConfig::default().with_persistent(true)
}

fn peer(dir: &Path, config: RedexFileConfig) -> (Redex, RedexFile) {
    let redex = Redex::new().with_persistent_dir(dir);
    let file = redex.open_file(&peer_name(), config).unwrap();
    (redex, file)
}

fn fill(file: &RedexFile, count: usize) {
    for number in 0..count {
        file.append(payload(number).as_bytes()).unwrap();
    }
}

fn ours(dir: &Path, options: &LogOptions) -> Store {
    Store::open(dir, &Doors::system(), options).unwrap()
}

fn orders() -> ChannelName {
    ChannelName::new("orders").unwrap()
}

fn append(store: &Store, payload: &str) {
    let event = EventInput::new("order.placed", payload.as_bytes());
    store.main().append(&orders(), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
}

fn read(store: &Store) -> Result<Vec<String>, ReadError> {
    let events = store.main().reader().view().read(&Selection::channel(&orders()))?;
    events.map(|event| Ok(String::from_utf8(event?.payload.to_vec()).unwrap())).collect()
}

fn payload(number: usize) -> String {
    format!("{number:04} {}", "x".repeat(200))
}

/// Every file below a directory, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// The file that holds a text, and where in it.
fn place_of(dir: &Path, text: &str) -> (PathBuf, usize) {
    let find = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        at.map(|at| (path, at))
    };
    files(dir).into_iter().find_map(find).unwrap()
}

#[test]
fn weakness_4_a_second_writer_is_let_in() {
    let scratch = Scratch::new();
    inside(|| {
        let (_one, first) = peer(scratch.path(), peer_config());
        let (_two, second) = peer(scratch.path(), peer_config());
        // Both give out number 0.
        assert_eq!(
            (first.append(b"of the first").unwrap(), second.append(b"of the second").unwrap()),
            (0, 0)
        );
    });
    let scratch = Scratch::new();
    let _first = ours(scratch.path(), &LogOptions::default());
    let second = Store::open(scratch.path(), &Doors::system(), &LogOptions::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
}

#[test]
fn weaknesses_7_and_8_damage_is_dropped_in_silence() {
    let scratch = Scratch::new();
    inside(|| {
        let (redex, file) = peer(scratch.path(), peer_config());
        fill(&file, 100);
        file.sync().unwrap();
        redex.close_file(&peer_name()).unwrap();
        drop((redex, file));
        let (damaged, at) = place_of(scratch.path(), &payload(50));
        flip(&damaged, at + 100);
        let (_redex, file) = peer(scratch.path(), peer_config());
        // It opens, says nothing, and one event is missing from the middle.
        assert_eq!(file.read_range(0, 100).len(), 99);
        assert!(file.read_one(50).is_none());
    });
    let scratch = Scratch::new();
    let store = ours(scratch.path(), &LogOptions::default());
    (0..100).for_each(|number| append(&store, &payload(number)));
    store.close().unwrap();
    drop(store);
    let (damaged, at) = place_of(scratch.path(), &payload(50));
    flip(&damaged, at + 100);
    let store = ours(scratch.path(), &LogOptions::default());
    assert_eq!(store.recovery().quarantined.len(), 1, "opening tells what it set aside");
    assert!(
        matches!(read(&store), Err(ReadError::Hole { .. })),
        "and a read across it does not pass it over"
    );
    let skipping = Selection { skip_holes: true, ..Selection::channel(&orders()) };
    assert_eq!(store.main().reader().view().read(&skipping).unwrap().count(), 99);
}

#[test]
fn weakness_9_numbers_begin_anew_when_everything_was_evicted() {
    let scratch = Scratch::new();
    inside(|| {
        let config = || peer_config().with_retention_max_bytes(1);
        let (redex, file) = peer(scratch.path(), config());
        fill(&file, 10);
        file.sweep_retention();
        assert!(file.is_empty());
        redex.close_file(&peer_name()).unwrap();
        drop((redex, file));
        let (_redex, file) = peer(scratch.path(), config());
        assert_eq!(file.append(b"next").unwrap(), 0, "a number that was given out already");
    });
    let scratch = Scratch::new();
    let mut options = LogOptions::default();
    options.segment_bytes = 16 << 10;
    options.retention = Retention::of_bytes(1);
    let store = ours(scratch.path(), &options);
    let mut count = 0;
    while store
        .main()
        .reader()
        .view()
        .channel(&orders())
        .unwrap()
        .is_none_or(|channel| channel.first_seq.0 == 0)
    {
        append(&store, &payload(count));
        count += 1;
    }
    store.close().unwrap();
    drop(store);
    let store = ours(scratch.path(), &options);
    let event = EventInput::new("order.placed", b"next");
    let at = store.main().append(&orders(), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap().at;
    assert_eq!(at.first_seq().map(|seq| seq.0), Some(count as u64));
}

#[test]
fn weakness_12_a_tail_of_a_long_history_ends() {
    inside(|| {
        let redex = Redex::new();
        let file = redex.open_file(&peer_name(), RedexFileConfig::default()).unwrap();
        fill(&file, 5_000);
        let seen = futures::executor::block_on(async {
            let tail = file.tail(0);
            futures::pin_mut!(tail);
            let mut seen = 0;
            while let Some(Ok(_)) = tail.next().await {
                seen += 1;
                if seen == 5_000 {
                    break;
                }
            }
            seen
        });
        assert!(seen < 5_000, "{seen} events came before it ended");
    });
    let store = Store::open("node".as_ref(), &Doors::memory(), &LogOptions::default()).unwrap();
    (0..5_000).for_each(|number| append(&store, &payload(number)));
    let mut tail = store.main().reader().tail(Selection::channel(&orders()));
    let mut seen = 0;
    while seen < 5_000 {
        let batch = tail.next_batch().unwrap();
        seen += batch.len();
    }
    assert_eq!(seen, 5_000);
}

#[test]
fn weakness_14_evicted_and_never_written_look_alike() {
    inside(|| {
        let redex = Redex::new();
        let config = RedexFileConfig::default().with_retention_max_events(5);
        let file = redex.open_file(&peer_name(), config).unwrap();
        fill(&file, 10);
        file.sweep_retention();
        assert!(file.read_one(0).is_none() && file.read_one(99).is_none());
    });
    let mut options = LogOptions::default();
    options.segment_bytes = 16 << 10;
    options.retention = Retention::of_bytes(1);
    let store = Store::open("node".as_ref(), &Doors::memory(), &options).unwrap();
    let mut tail = store.main().reader().tail(Selection::channel(&orders()));
    append(&store, &payload(0));
    assert_eq!(tail.next_batch().unwrap().len(), 1);
    let mut count = 1;
    while store.main().reader().view().begins().0 == 0 {
        append(&store, &payload(count));
        count += 1;
    }
    // Whoever follows is told where the log begins now; who asks for what never was gets nothing.
    assert!(matches!(tail.next_batch(), Err(ReadError::Trimmed { .. })));
    let beyond = Selection { seqs: redex::Bounds::from(1 << 40), ..Selection::channel(&orders()) };
    assert_eq!(store.main().reader().view().read(&beyond).unwrap().count(), 0);
}

#[test]
fn weakness_16_later_settings_are_ignored() {
    inside(|| {
        let redex = Redex::new();
        let first = redex.open_file(&peer_name(), RedexFileConfig::default().with_retention_max_events(5));
        let again = redex.open_file(&peer_name(), RedexFileConfig::default().with_retention_max_events(500));
        assert_eq!(
            first.unwrap().config().retention_max_events,
            again.unwrap().config().retention_max_events
        );
    });
    let store = Store::open("node".as_ref(), &Doors::memory(), &LogOptions::default()).unwrap();
    let of = |content_type: &str| {
        let mut config = redex::ChannelConfig::default();
        config.content_type = Some(content_type.to_owned());
        store.main().create_channel(&orders(), &config).unwrap().wait(Ack::Durable).into_result()
    };
    of("application/json").unwrap();
    let refused = of("text/plain").unwrap_err();
    let redex::AppendError::Rejected { reason, .. } = refused else { panic!("{refused}") };
    assert!(matches!(reason, Rejection::ConfigMismatch { .. }));
}
