//! Blobs beside a database: events that refer to them, names and pins that outlast the process, and what is collected.

use std::sync::Arc;
use std::time::Duration;

use netdb::base::{CrashImage, Doors, Hash, ManualClock, SeededRandom, SimulatedDisk, Timestamp};
use netdb::blob::{Chunking, CollectOptions, PinMode};
use netdb::{BlobDurability, ErrorKind, EventInput, NetDb, PublishOptions, Seq};
use redex::BlobReference;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn doors(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Doors {
    Doors {
        clock: Arc::clone(clock) as _,
        random: Arc::new(SeededRandom::new(7)),
        disk: Arc::new(disk.clone()),
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)))
}

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> NetDb {
    NetDb::builder().directory("data").doors(doors(disk, clock)).open().unwrap()
}

fn content(nth: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ nth).collect()
}

/// Has everything go that may.
fn collect(db: &NetDb) -> netdb::blob::Collected {
    let options = CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
    db.blobs().unwrap().collect(options).unwrap()
}

#[test]
fn what_events_refer_to_stays_over_reopenings_and_everything_else_is_collected() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let db = open(&disk, &clock);
    let (blobs, scans) = (db.blobs().unwrap(), db.channel("scans").unwrap());
    let published: Vec<_> = (0..5)
        .map(|nth| {
            let event = EventInput::new("scan.taken", b"").with_key("machine");
            let content = content(nth, 20_000 + 300_000 * usize::from(nth % 2));
            blobs.publish(&scans, event, &content[..], PublishOptions::default()).unwrap().blob.unwrap()
        })
        .collect();
    let garbage = blobs.put(&content(99, 9_000)[..], Chunking::Fixed).unwrap();
    clock.advance(3 * DAY);
    drop(blobs);
    db.close().unwrap();
    drop((db, scans));

    let db = open(&disk, &clock);
    let collected = collect(&db);
    assert_eq!((collected.removed, collected.missing.len()), (1, 0), "{collected:?}");
    let blobs = db.blobs().unwrap();
    assert!(!blobs.store().exists(&garbage.hash).unwrap());
    let events: Vec<_> = db.channel("scans").unwrap().read(Seq(0)).unwrap().map(Result::unwrap).collect();
    for ((nth, event), info) in (0..).zip(&events).zip(&published) {
        assert_eq!(event.blobs, [BlobReference { hash: info.hash, bytes: info.bytes }]);
        assert!(blobs.content(event).unwrap() == content(nth, info.bytes as usize));
    }
    assert_eq!(events.len(), 5);
}

#[test]
fn an_event_that_refers_to_what_is_not_here_is_refused() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let db = open(&disk, &clock);
    let scans = db.channel("scans").unwrap();
    let append = |hash: Hash, bytes: u64| {
        let references = [BlobReference { hash, bytes }];
        scans.append_all(&[EventInput::new("scan.taken", b"").with_blobs(&references)])
    };
    let refused = append(Hash::of(b"nothing"), 7).unwrap_err();
    assert!(refused.to_string().contains(&Hash::of(b"nothing").to_string()), "{refused}");
    assert!(matches!(refused.kind(), ErrorKind::NotFound | ErrorKind::Conflict), "{refused}");
    assert!(disk.files().iter().all(|(path, _)| !path.starts_with("data/blobs")), "no store was made for it");

    let info = db.blobs().unwrap().put(&b"content"[..], Chunking::Fixed).unwrap();
    append(info.hash, 8).unwrap_err();
    append(info.hash, 7).unwrap();
    db.close().unwrap();
    drop(db);
    drop(scans);

    // The first append opens the store that is there.
    let db = open(&disk, &clock);
    let references = [BlobReference { hash: info.hash, bytes: 7 }];
    let event = EventInput::new("scan.taken", b"").with_blobs(&references);
    db.channel("scans").unwrap().append_all(&[event]).unwrap();
    assert_eq!(collect(&db).removed, 0);
}

#[test]
fn pins_and_names_outlast_a_power_failure_and_are_one_change() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let db = open(&disk, &clock);
    let blobs = db.blobs().unwrap();
    let put = |nth: u8| blobs.put(&content(nth, 5_000)[..], Chunking::Fixed).unwrap().hash;
    let [first, second, third, fourth] = [1, 2, 3, 4].map(put);
    blobs.pin(&first, PinMode::Recursive, Some("the first")).unwrap();
    blobs.pins().update(&first, &second, false).unwrap();
    blobs.pins().set_name("models/current", &third).unwrap();
    blobs.pins().lease(&fourth, 2 * DAY).unwrap();
    disk.power_off();
    drop((blobs, db));
    disk.restart(&CrashImage::None);

    clock.advance(DAY);
    let db = open(&disk, &clock);
    let blobs = db.blobs().unwrap();
    let pins = blobs.pins().list(None, 10);
    assert_eq!(pins.len(), 1);
    assert_eq!((pins[0].0, pins[0].1.label.as_deref()), (second, Some("the first")));
    assert_eq!(blobs.pins().name("models/current").unwrap().hash, third);
    assert_eq!(collect(&db).removed, 1, "the first");
    clock.advance(2 * DAY);
    assert_eq!(collect(&db).removed, 1, "the lease of the fourth has ended");
    assert!(blobs.unpin(&second).unwrap() && !blobs.unpin(&second).unwrap());
    assert_eq!(collect(&db).removed, 1);
    assert_eq!(blobs.store().list(), [third]);
}

#[test]
fn small_content_stands_in_the_event_and_more_copies_than_there_are_nodes_are_refused() {
    let db = NetDb::in_memory().unwrap();
    let (blobs, notes) = (db.blobs().unwrap(), db.channel("notes").unwrap());
    let event = EventInput::new("note.taken", b"ignored");
    let options = PublishOptions { inline_bytes: 5, ..PublishOptions::default() };
    assert_eq!(blobs.publish(&notes, event, &b"small"[..], options).unwrap().blob, None);
    assert!(blobs.publish(&notes, event, &b"larger"[..], options).unwrap().blob.is_some());
    let unsynced = PublishOptions { durability: BlobDurability::BestEffort, ..options };
    assert!(blobs.publish(&notes, event, &b"not waited for"[..], unsynced).unwrap().blob.is_some());
    let copies = PublishOptions { durability: BlobDurability::Replicated(2), ..options };
    let refused = blobs.publish(&notes, event, &b"for two"[..], copies).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let events: Vec<_> = notes.read(Seq(0)).unwrap().map(Result::unwrap).collect();
    let read: Vec<_> = events.iter().map(|event| blobs.content(event).unwrap()).collect();
    assert_eq!(read, [&b"small"[..], b"larger", b"not waited for"]);
    assert!((&events[0].payload[..], events[0].blobs.len()) == (b"small", 0));
    assert!((&events[1].payload[..], events[1].blobs.len()) == (b"", 1));
    assert!(!blobs.store().exists(&Hash::of(b"for two")).unwrap());
}
