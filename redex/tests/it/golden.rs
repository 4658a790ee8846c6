//! Bytes of format 0 that were written once and are read since.
//!
//! `NETDB_GOLDEN=write cargo test -p netdb-redex golden` writes them anew, which is a change of the format.

#![allow(clippy::disallowed_methods, reason = "golden files are part of the tree, not of a log")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{CrashImage, Disk, SimulatedDisk};
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, Compression, EventInput, Idempotency, LogConfig,
    Placement, Retention, Selection, Store,
};

use crate::support::{DIR, World, append, channel, options};

const FILES: [&str; 4] = [
    "identity",
    "logs/main/superblock",
    "logs/main/0000000000-00000000000000000000.seg",
    "logs/main/0000000000-00000000000000000000.idx",
];

/// Files of a log that stopped in the middle of a redaction.
const ERASABLE: [&str; 3] =
    ["logs/main/superblock", "logs/main/0000000000-00000000000000000000.seg", "logs/main/redaction.due"];

/// Files of a node with two logs, between which a channel moved.
const TWO_LOGS: [&str; 6] = [
    "logs/main/superblock",
    "logs/main/0000000000-00000000000000000000.seg",
    "logs/audit/superblock",
    "logs/audit/config",
    "logs/audit/0000000000-00000000000000000000.seg",
    "logs/audit/0000000001-00000000000000000003.seg",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/format-0").join(name.replace('/', "_"))
}

/// Writes a log with something of everything: channels, headers, a key, a producer, a body of zeros, two
/// incarnations, a sealed segment.
fn written() -> World {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 16 << 10;
    let store = world.open_with(&small);
    append(store.main(), "orders", "{\"id\":1}");
    let (orders, audit) = (channel("orders"), channel("orders/audit"));
    let headers: &[(&str, &[u8])] = &[("content-type", b"application/json"), ("raw", &[0, 255])];
    let placed = [EventInput::new("order.placed", b"{\"id\":2}").with_key("k").with_headers(headers)];
    let checked = [EventInput::new("order.checked", b"{}").with_time(base::Timestamp::from_nanos(5))];
    let parts = [
        ChannelEvents { channel: &orders, events: &placed },
        ChannelEvents { channel: &audit, events: &checked },
    ];
    let keys = [
        Idempotency::Key("once"),
        Idempotency::Producer { id: "import", number: 7, digest: Some(base::Hash::of(b"lines")) },
    ];
    for idempotency in keys {
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        store.main().submit(&request).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    let zeros = vec![0; 2000];
    let event = EventInput::new("blank", &zeros);
    store.main().append(&channel("blank"), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    store.close().unwrap();
    drop(store);
    let store = world.open_with(&small);
    let filling = vec![b'x'; 5_000];
    let event = EventInput::new("fill", &filling);
    for _ in 0..2 {
        store.main().append(&channel("fill"), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    store.close().unwrap();
    world
}

/// Writes a log with an erasable channel, and stops where a redaction of it is due and not carried out yet.
fn redacted() -> World {
    let world = World::new();
    let store = world.open();
    let people = channel("people");
    let created = store.main().create_channel(&people, &ChannelConfig::of_erasable()).unwrap();
    created.wait(Ack::Durable).into_result().unwrap();
    for name in ["Ada", "Bob", "Eve"] {
        let event = EventInput::new("person.joined", name.as_bytes()).with_key(name);
        store.main().append(&people, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    store.main().redact(&people, 0..1, "asked for").unwrap();
    let due = Arc::new(Mutex::new(None));
    let left = Arc::clone(&due);
    world.disk.on_operation(Some(Box::new(move |operation, snapshot| {
        let names = snapshot.image(&CrashImage::All).files();
        if names.iter().any(|(path, _)| path.ends_with("redaction.due")) {
            left.lock().unwrap().get_or_insert_with(|| (operation.clone(), snapshot));
        }
    })));
    store.main().redact(&people, 2..3, "").unwrap();
    world.disk.on_operation(None);
    let (_, snapshot) = due.lock().unwrap().take().unwrap();
    let left = World::on(snapshot.image(&CrashImage::All), 3);
    // Without what was filled ahead.
    let path = Path::new(DIR).join(ERASABLE[1]);
    let mut bytes = left.disk.read(&path).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    left.disk.write(&path, &bytes);
    left
}

/// Writes a node with two logs: a channel left one, came to the other, and that one's second segment tells so.
fn written_over_two_logs() -> World {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 16 << 10;
    let store = world.open_with(&small);
    append(store.main(), "orders", "{\"id\":1}");
    let mut retention = Retention::of_bytes(1 << 30);
    retention.age = Some(std::time::Duration::from_secs(86_400));
    let config = LogConfig::keeping(retention).compressed(Compression::Lz4);
    let audit = redex::LogName::new("audit").unwrap();
    store.create_log(&audit, &config).unwrap();
    store.move_channel(&channel("orders"), &Placement::Log(audit)).unwrap();
    let filling: Vec<u8> =
        (0..16_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for payload in [&b"{\"id\":2}"[..], &filling[..16_000]] {
        put(&store, payload);
    }
    store.close().unwrap();
    world
}

fn put(store: &Store, payload: &[u8]) -> u64 {
    let event = EventInput::new("order.placed", payload);
    let ticket = store.append(&channel("orders"), &[event]).unwrap();
    ticket.wait(Ack::Durable).into_result().unwrap().at.first_seq().unwrap().0
}

fn check_bytes(world: &World, folder: &str, files: &[&str]) {
    for name in files {
        let bytes = world.disk.read(Path::new(DIR).join(name)).unwrap();
        let path = golden(&format!("{folder}{name}"));
        if std::env::var_os("NETDB_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let known = std::fs::read(&path).unwrap();
        let differs = known.iter().zip(&bytes).position(|(known, byte)| known != byte);
        assert_eq!((differs, known.len()), (None, bytes.len()), "{name}");
    }
}

fn read_back(folder: &str, files: &[&str]) -> World {
    let disk = SimulatedDisk::new();
    disk.create_directories(&Path::new(DIR).join("logs/main")).unwrap();
    for name in files {
        disk.write(Path::new(DIR).join(name), &std::fs::read(golden(&format!("{folder}{name}"))).unwrap());
    }
    World::on(disk, 2)
}

#[test]
fn the_bytes_of_format_0_do_not_change_by_accident() {
    check_bytes(&written(), "", &FILES);
    check_bytes(&written_over_two_logs(), "two/", &TWO_LOGS);
    check_bytes(&redacted(), "erasable/", &ERASABLE);
}

#[test]
fn two_logs_of_format_0_are_read() {
    let world = read_back("two/", &TWO_LOGS);
    world.disk.write(Path::new(DIR).join("identity"), &std::fs::read(golden("identity")).unwrap());
    let reports = redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default()).unwrap();
    assert!(reports.iter().all(|report| report.faults.is_empty()), "{reports:?}");
    let store = world.open();
    assert_eq!(store.log_of(&channel("orders")).reader().name(), "audit");
    let config = store.config(&redex::LogName::new("audit").unwrap()).unwrap();
    assert_eq!((config.compression, config.retention.bytes), (Compression::Lz4, Some(1 << 30)));
    assert_eq!(put(&store, b"{}"), 3);
    let events = store.reader().view().read(&Selection::channel(&channel("orders"))).unwrap();
    assert_eq!(events.map(|event| event.unwrap().seq.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn files_of_format_0_are_read() {
    let world = read_back("", &FILES);
    let report = world.verify();
    assert_eq!((report.faults, report.events), (vec![], 8));
    let store = world.open();
    let view = store.main().reader().view();
    let kinds: Vec<_> = view.read(&Selection::default()).unwrap().map(|event| event.unwrap().kind).collect();
    let expected = ["test.happened", "order.placed", "order.checked", "order.placed", "order.checked"];
    assert_eq!(kinds, [&expected[..], &["blank", "fill", "fill"]].concat());
    let placed = view.read(&Selection::channel(&channel("orders"))).unwrap().nth(1).unwrap().unwrap();
    assert_eq!((placed.key.as_deref(), &*placed.headers[1].1), (Some("k"), &[0, 255][..]));
    assert_eq!(store.main().producer("import").map(|producer| producer.number), Some(7));
}

#[test]
fn a_redaction_of_format_0_that_is_due_is_finished() {
    let world = read_back("erasable/", &ERASABLE);
    world.disk.write(Path::new(DIR).join("identity"), &std::fs::read(golden("identity")).unwrap());
    let report = world.verify();
    assert_eq!((report.faults, report.events, report.redacted), (vec![], 3, 2));
    let store = world.open();
    assert_eq!(store.recovery().finished_redactions, 1);
    let read = store.main().reader().view().read(&Selection::default()).unwrap();
    let keys: Vec<_> = read.map(|event| event.unwrap().key).collect();
    assert_eq!(keys, [None, Some("Bob".to_owned()), None]);
}
