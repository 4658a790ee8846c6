//! Directories of format 1 that were written once and are read for ever.
//!
//! What stands in `testdata/format-1` is never written again: [`FROZEN`] is the hash of all of it. A new scenario is
//! written by `NETDB_GOLDEN=write cargo test -p netdb-redex --test it golden`, which leaves files alone that are there.
//! Today's software must read each directory, and, where no compressor has a say, write the same bytes.

#![allow(clippy::disallowed_methods, reason = "golden files are part of the tree, not of a log")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{
    CrashImage, Disk, Identity, Index, NodeId, Position, SeededRandom, Seq, SimulatedDisk, Slot, Term,
};
use redex::{
    Ack, AppendRequest, BlobReference, ChannelConfig, ChannelEvents, Completion, Compression, EntryContent,
    EventInput, Idempotency, LogConfig, LogName, Placement, ReadError, ReplicaEntry, ReplicaIdentity,
    ReplicaLog, Retention, Selection, Store, Vote,
};

use crate::support::{DIR, World, all, append, channel, options};

/// The BLAKE3 hash of the names and bytes of all golden files. It changes only when a scenario is added.
const FROZEN: &str = "5d339f68fd191ff303893e468fc212e32e48f0979b908876d368a1357b64ae02";

/// A directory that was written once.
struct Scenario {
    name: &'static str,
    write: fn() -> World,
    check: fn(&World),
    /// What verification finds wrong with it.
    faults: &'static [&'static str],
    /// Whether the bytes depend on nothing but the format.
    exact: bool,
}

impl Scenario {
    const fn exact(name: &'static str, write: fn() -> World, check: fn(&World)) -> Self {
        Self { name, write, check, faults: &[], exact: true }
    }

    /// Written before footers listed what events refer to.
    const fn unlisted(name: &'static str, write: fn() -> World, check: fn(&World)) -> Self {
        Self { exact: false, ..Self::exact(name, write, check) }
    }
}

const SCENARIOS: [Scenario; 15] = [
    Scenario::unlisted("main", something_of_everything, check_everything),
    Scenario::exact("redaction-due", redaction_due, check_redaction),
    Scenario::unlisted("two-logs", two_logs, check_two_logs),
    Scenario::unlisted("keyed", keyed, check_keyed),
    // Written before state frames kept what consensus wrote, which was before anything could make a replicated log.
    Scenario { exact: false, ..Scenario::exact("replica", replica, check_replica) },
    Scenario::exact("replica-members", replica, check_members),
    Scenario {
        faults: &["a record of entries that were lost to corruption"],
        ..Scenario::exact("hole", hole, check_hole)
    },
    Scenario::exact("adopted", adopted, check_adopted),
    Scenario::unlisted("trimmed", trimmed, check_trimmed),
    Scenario { exact: false, ..Scenario::exact("compressed", compressed, check_compressed) },
    Scenario::exact("main-listed", something_of_everything, check_everything),
    Scenario::exact("two-logs-listed", two_logs, check_two_logs),
    Scenario::exact("keyed-listed", keyed, check_keyed),
    Scenario::exact("trimmed-listed", trimmed, check_trimmed),
    Scenario::exact("references", references, check_references),
];

fn folder(scenario: &Scenario) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/format-1").join(scenario.name)
}

/// Returns the files below a folder, by their names from there.
fn golden(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display())) {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(&path).unwrap();
                    files.push((path.strip_prefix(folder).unwrap().to_owned(), bytes));
                }
            }
        }
    }
    files.sort();
    files
}

/// Returns the files that a scenario leaves, but for those that are written anew at each opening, and those without which a
/// directory is read, too: the empty one whose name says that it held a replica, and entries that were cut off of one.
fn left(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    let anew = ["lock", "visible", "promised"];
    let kept = files.filter(|path| !anew.iter().any(|name| path.ends_with(name)));
    let kept = kept.filter(|path| !path.iter().any(|part| part == "replicas" || part == "cut-off"));
    let mut files: Vec<_> = kept
        .map(|path| (path.strip_prefix(DIR).unwrap().to_owned(), world.disk.read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn read_back(scenario: &Scenario) -> World {
    let disk = SimulatedDisk::new();
    for (name, bytes) in golden(&folder(scenario)) {
        let path = Path::new(DIR).join(name);
        disk.create_directories(path.parent().unwrap()).unwrap();
        disk.write(path, &bytes);
    }
    World::on(disk, 2)
}

fn verified(world: &World) -> Vec<redex::VerifyReport> {
    redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default()).unwrap()
}

#[test]
fn what_is_written_is_what_was_written_byte_for_byte() {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.exact) {
        let names =
            |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (known, written) = (golden(&folder(scenario)), left(&(scenario.write)()));
        assert_eq!(names(&known), names(&written), "{}", scenario.name);
        for ((name, known), (_, written)) in known.iter().zip(&written) {
            let differs = known.iter().zip(written).position(|(known, byte)| known != byte);
            assert_eq!(
                (differs, known.len()),
                (None, written.len()),
                "{}: {}",
                scenario.name,
                name.display()
            );
        }
    }
}

#[test]
fn directories_of_format_1_are_read() {
    for scenario in &SCENARIOS {
        let world = read_back(scenario);
        for report in verified(&world) {
            let faults: Vec<_> = report.faults.iter().map(|fault| fault.found.as_str()).collect();
            assert_eq!(faults, scenario.faults, "{}: {}", scenario.name, report.name);
        }
        (scenario.check)(&world);
    }
}

#[test]
fn golden_files_stay_as_they_are() {
    if std::env::var_os("NETDB_GOLDEN").is_some_and(|value| value == "write") {
        for scenario in SCENARIOS.iter().filter(|scenario| !folder(scenario).exists()) {
            for (name, bytes) in left(&(scenario.write)()) {
                let path = folder(scenario).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in SCENARIOS.iter().flat_map(|scenario| {
        golden(&folder(scenario))
            .into_iter()
            .map(|(name, bytes)| (Path::new(scenario.name).join(name), bytes))
    }) {
        hasher.update(name.to_str().unwrap().as_bytes()).update(&[0]);
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        FROZEN,
        "format 1 is frozen: its files are not written again; a format that is written otherwise is another one"
    );
}

/// Writes a log with something of everything: channels, headers, a key, a producer, a body of zeros, two
/// incarnations, a sealed segment.
fn something_of_everything() -> World {
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
fn redaction_due() -> World {
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
    let path = Path::new(DIR).join("logs/main/0000000000-00000000000000000000.seg");
    let mut bytes = left.disk.read(&path).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    left.disk.write(&path, &bytes);
    left
}

/// Writes a node with two logs: a channel left one, came to the other, and that one's second segment tells so.
fn two_logs() -> World {
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

fn check_two_logs(world: &World) {
    let store = world.open();
    assert_eq!(store.log_of(&channel("orders")).reader().name(), "audit");
    let config = store.config(&LogName::new("audit").unwrap()).unwrap();
    assert_eq!((config.compression, config.retention.bytes), (Compression::Lz4, Some(1 << 30)));
    assert_eq!(put(&store, b"{}"), 3);
    let events = store.reader().view().read(&Selection::channel(&channel("orders"))).unwrap();
    assert_eq!(events.map(|event| event.unwrap().seq.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

fn check_everything(world: &World) {
    assert_eq!(world.verify().events, 8);
    let store = world.open();
    let view = store.main().reader().view();
    let kinds: Vec<_> = view.read(&Selection::default()).unwrap().map(|event| event.unwrap().kind).collect();
    let expected = ["test.happened", "order.placed", "order.checked", "order.placed", "order.checked"];
    assert_eq!(kinds, [&expected[..], &["blank", "fill", "fill"]].concat());
    let placed = view.read(&Selection::channel(&channel("orders"))).unwrap().nth(1).unwrap().unwrap();
    assert_eq!((placed.key.as_deref(), &*placed.headers[1].1), (Some("k"), &[0, 255][..]));
    assert_eq!(store.main().producer("import").map(|producer| producer.number), Some(7));
}

fn check_redaction(world: &World) {
    let report = world.verify();
    assert_eq!((report.events, report.redacted), (3, 2));
    let store = world.open();
    assert_eq!(store.recovery().finished_redactions, 1);
    let read = store.main().reader().view().read(&Selection::default()).unwrap();
    let keys: Vec<_> = read.map(|event| event.unwrap().key).collect();
    assert_eq!(keys, [None, Some("Bob".to_owned()), None]);
}

/// Writes a keyed log whose newest segment's state frames hold keys.
fn keyed() -> World {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 16 << 10;
    let store = world.open_with(&small);
    let name = LogName::new("settings").unwrap();
    let log = store.create_keyed_log(&name).unwrap();
    let of = channel("settings");
    store.create_channel(&of, &ChannelConfig::default(), &Placement::Log(name)).unwrap();
    let put = |key: &str, payload: &[u8]| {
        let event = EventInput::new("set", payload).with_key(key);
        log.append(&of, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    };
    put("colour", b"red");
    put("size", b"9");
    put("weight", b"3");
    put("weight", b"");
    for number in 0..12_u8 {
        put("filling", &[number; 5_000]);
    }
    put("colour", b"blue");
    for _ in 0..4 {
        world.clock.advance(std::time::Duration::from_millis(200));
        log.flush_step();
    }
    store.close().unwrap();
    world
}

fn check_keyed(world: &World) {
    let store = world.open();
    let log = store.log_of(&channel("settings"));
    assert!(log.reader().view().begins() > Position::ZERO);
    let keyed = log.reader().view().keyed().unwrap();
    let of = channel("settings");
    let payload = |key: &str| keyed.get(&of, key).map(|event| event.payload.to_vec());
    assert_eq!(payload("colour"), Some(b"blue".to_vec()));
    assert_eq!((payload("size"), payload("filling")), (Some(b"9".to_vec()), Some(vec![11; 5_000])));
}

/// The key of the leaders of the replicated log.
fn leader() -> Arc<Identity> {
    let disk = base::MemoryDisk::new();
    Arc::new(Identity::create(&disk, Path::new("identity"), &SeededRandom::new(7)).unwrap())
}

fn open_replica(world: &World) -> ReplicaLog {
    let mut small = options();
    small.segment_bytes = 16 << 10;
    let log = base::LogId::from_bytes([7; 16]);
    let identity = ReplicaIdentity { log, origin: leader().origin(), name: "main".to_owned() };
    ReplicaLog::open(Path::new(DIR), &identity, &world.doors, &small).unwrap()
}

fn slot(term: u64, index: u64) -> Slot {
    Slot { term: Term(term), node: NodeId(1), index: Index(index) }
}

/// Writes a replicated log: entries of consensus and of two leaderships, some of them cut off, votes, a marker.
fn replica() -> World {
    let world = World::new();
    let log = open_replica(&world);
    let consensus = |term, index, bytes: &'static [u8]| ReplicaEntry {
        slot: slot(term, index),
        content: EntryContent::Consensus(bytes.into()),
    };
    let append = |entries: &[ReplicaEntry]| log.append(entries, Completion::ignored()).unwrap();
    let propose = |term, payloads: &[&str]| {
        let mut proposer = log.proposer(Term(term), NodeId(1), leader());
        for payload in payloads {
            let events = [EventInput::new("order.placed", payload.as_bytes())];
            let of = channel("orders");
            let parts = [ChannelEvents { channel: &of, events: &events }];
            proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
            append(&proposer.seal());
        }
    };
    log.save_vote(Vote { term: Term(1), node: NodeId(1), committed: true }).unwrap();
    append(&[consensus(1, 0, b"members")]);
    propose(1, &["one", "two", "lost", "lost, too"]);
    log.truncate_after(Some(Index(2))).unwrap();
    log.save_vote(Vote { term: Term(3), node: NodeId(1), committed: false }).unwrap();
    append(&[consensus(3, 3, b"")]);
    propose(3, &["three"]);
    log.save_committed(Some(slot(3, 4))).unwrap();
    log.close().unwrap();
    drop(log);
    world
}

fn check_replica(world: &World) {
    let log = open_replica(world);
    assert_eq!(log.vote(), Some(Vote { term: Term(3), node: NodeId(1), committed: false }));
    assert_eq!((log.committed(), log.state().last), (Some(slot(3, 4)), Some(slot(3, 4))));
    let entries = log.entries(Index::ZERO..Index(u64::MAX), u64::MAX).unwrap();
    let slots: Vec<_> = entries.iter().map(|entry| (entry.slot.term.0, entry.slot.index.0)).collect();
    assert_eq!(slots, [(1, 0), (1, 1), (1, 2), (3, 3), (3, 4)]);
    assert!(matches!(&entries[0].content, EntryContent::Consensus(bytes) if bytes == "members"));
    let events = log.reader().view().read(&Selection::channel(&channel("orders"))).unwrap();
    let payloads: Vec<_> = events.map(|event| event.unwrap().payload).collect();
    assert_eq!(payloads, ["one", "two", "three"]);
}

fn check_members(world: &World) {
    check_replica(world);
    assert_eq!(open_replica(world).consensus(), [(slot(1, 0), "members".into())]);
}

/// Writes a log that lost an entry in its middle, and went on.
fn hole() -> World {
    let world = World::new();
    let store = world.open();
    for payload in ["one", "two", "three"] {
        append(store.main(), "orders", payload);
    }
    store.close().unwrap();
    drop(store);
    let path = Path::new(DIR).join("logs/main/0000000000-00000000000000000000.seg");
    let at = world.disk.read(&path).unwrap().windows(3).position(|part| part == b"two").unwrap();
    world.disk.flip_bit(&path, 8 * at as u64);
    let store = world.open();
    append(store.main(), "orders", "four");
    store.close().unwrap();
    world
}

fn check_hole(world: &World) {
    let store = world.open();
    assert_eq!(append(store.main(), "orders", "five").at.first_seq(), Some(Seq(4)));
    let view = store.main().reader().view();
    let orders = Selection::channel(&channel("orders"));
    let lost = view.read(&orders).unwrap().find_map(Result::err);
    assert!(matches!(lost, Some(ReadError::Hole { first: Index(1), last: Index(1) })), "{lost:?}");
    let kept = Selection { skip_holes: true, ..orders };
    let payloads: Vec<_> = view.read(&kept).unwrap().map(|event| event.unwrap().payload).collect();
    assert_eq!(payloads, ["one", "three", "four", "five"]);
}

/// Writes a log whose entries nobody had signed when it ended, and that went on.
fn adopted() -> World {
    let world = World::new();
    let store = world.open();
    let write = |payload: &[u8]| {
        let event = EventInput::new("order.placed", payload);
        store.main().append(&channel("orders"), &[event]).unwrap().wait(Ack::Written).into_result().unwrap();
    };
    append(store.main(), "orders", "one");
    write(b"two");
    write(b"three");
    let world = World::on(world.disk.snapshot().image(&CrashImage::All), 3);
    let store = world.open();
    append(store.main(), "orders", "four");
    store.close().unwrap();
    world
}

fn check_adopted(world: &World) {
    let report = world.verify();
    let adopted: Vec<_> = report.incarnations.iter().map(|incarnation| incarnation.adopted).collect();
    assert_eq!((adopted, report.unsigned), (vec![2, 0], 0));
    assert_eq!(all(world.open().main(), "orders"), ["one", "two", "three", "four"]);
}

/// Writes a log that gave up its beginning.
fn trimmed() -> World {
    let world = World::new();
    let mut keeping = options();
    keeping.segment_bytes = 16 << 10;
    keeping.retention = Retention::of_bytes(40 << 10);
    let store = world.open_with(&keeping);
    append(store.main(), "rare", "early");
    for number in 0..10 {
        append(store.main(), "often", &format!("{number}{}", "x".repeat(8_000)));
        world.clock.advance(std::time::Duration::from_millis(200));
        store.main().flush_step();
    }
    store.close().unwrap();
    world
}

fn check_trimmed(world: &World) {
    let store = world.open();
    let view = store.main().reader().view();
    assert!(view.begins() > Position::ZERO);
    assert_eq!(all(store.main(), "rare"), Vec::<String>::new());
    let info = view.channel(&channel("often")).unwrap().unwrap();
    assert!(info.first_seq > Seq::ZERO && info.next_seq == Seq(10), "{info:?}");
    let seqs: Vec<_> = all(store.main(), "often").iter().map(|payload| payload[..1].to_owned()).collect();
    assert_eq!(seqs.last().map(String::as_str), Some("9"));
    assert_eq!(seqs.len() as u64, 10 - info.first_seq.0);
}

/// Writes two logs with compressed entries.
fn compressed() -> World {
    let world = World::new();
    let store = world.open();
    for (name, compression) in [("quick", Compression::Lz4), ("small", Compression::Zstd)] {
        let log = LogName::new(name).unwrap();
        store.create_log(&log, &LogConfig::default().compressed(compression)).unwrap();
        let of = channel(name);
        store.create_channel(&of, &ChannelConfig::default(), &Placement::Log(log)).unwrap();
        let event = EventInput::new("filled", &[b'x'; 5_000]);
        store.append(&of, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    store.close().unwrap();
    world
}

fn check_compressed(world: &World) {
    for (name, bytes) in world.disk.files() {
        assert!(bytes < 4_500, "{} has {bytes} bytes", name.display());
    }
    let store = world.open();
    for name in ["quick", "small"] {
        assert_eq!(all(&store.log_of(&channel(name)), name), ["x".repeat(5_000)]);
    }
}

/// Writes a log whose events refer to blobs: in a sealed segment and in the newest one, of a channel that can be redacted
/// and of others.
fn references() -> World {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 16 << 10;
    let store = world.open_with(&small);
    let people = channel("people");
    let created = store.main().create_channel(&people, &ChannelConfig::of_erasable()).unwrap();
    created.wait(Ack::Durable).into_result().unwrap();
    for number in 0..7_u8 {
        let references =
            [number, 0].map(|number| BlobReference { hash: base::Hash::of(&[number]), bytes: 1 });
        let of = if number == 2 { people.clone() } else { channel("photos") };
        let event = EventInput::new("blob.used", &[b'x'; 3_000]).with_blobs(&references);
        store.main().append(&of, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    store.close().unwrap();
    world
}

fn check_references(world: &World) {
    let store = world.open();
    assert!(store.main().reader().view().segments().len() > 1);
    let mut visited = std::collections::BTreeSet::new();
    store
        .main()
        .reader()
        .blob_references(&mut |hash| {
            visited.insert(*hash);
        })
        .unwrap();
    assert_eq!(visited, (0..7_u8).map(|number| base::Hash::of(&[number])).collect());
}
