//! Blobs beside a database: events that refer to them, names and pins that outlast the process, and what is collected.

use std::sync::Arc;
use std::time::Duration;

use netdb::base::{CrashImage, Doors, Hash, ManualClock, SeededRandom, SimulatedDisk, Timestamp};
use netdb::blob::{Chunking, CollectOptions, PinMode};
use netdb::{BlobDurability, ErrorKind, EventInput, KeepOptions, Keeper, NetDb, PublishOptions, Seq};
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

#[cfg(feature = "sql")]
mod sql {
    use netdb::blob::PutTreeOptions;
    use netdb::meshdb::output::{Format, Output};

    use super::*;

    /// Answers a statement as lines of CSV, without the names of the columns.
    fn rows(db: &NetDb, sql: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(db.sql(sql)).unwrap();
        let mut text = Vec::new();
        let mut output = Output::new(Format::Csv, answer.schema(), &mut text);
        answer.batches().iter().for_each(|batch| output.write(batch).unwrap());
        output.finish().unwrap();
        let text = String::from_utf8(text).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn blobs_pins_and_chunks_are_tables_that_show_what_is_there() {
        let (disk, clock) = (SimulatedDisk::new(), clock());
        let db = open(&disk, &clock);
        let all = "select * from blobs";
        // Asking makes nothing.
        assert_eq!(rows(&db, all), Vec::<String>::new());
        assert_eq!(rows(&db, "select count(*) from pins, system.chunks"), ["0"]);
        assert!(db.existing_blobs().unwrap().is_none());

        let blobs = db.blobs().unwrap();
        let small = blobs.put(&b"small"[..], Chunking::Fixed).unwrap().hash;
        let large = blobs.put(&content(1, 9 << 20)[..], Chunking::Fixed).unwrap().hash;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"in a tree").unwrap();
        let tree = blobs.store().put_tree(dir.path(), PutTreeOptions::default()).unwrap().0.hash;
        blobs.pin(&large, PinMode::Recursive, Some("the model")).unwrap();
        blobs.pin(&tree, PinMode::Direct, None).unwrap();
        for name in ["zeta", "alpha"] {
            blobs.pins().set_name(name, &small).unwrap();
        }

        let columns = "bytes, form, chunks, pin, array_to_string(names, '+'), fault";
        let found = rows(&db, &format!("select {columns} from blobs order by bytes"));
        let wanted = ["5,small,1,,alpha+zeta,", "9,directory,1,direct,,", "9437184,manifest,3,recursive,,"];
        assert_eq!(found, wanted);
        assert_eq!(
            rows(&db, "select mode, label from pins order by mode"),
            ["direct,", "recursive,the model"]
        );
        let of_large = format!("select label from pins where hash = '{large}'");
        assert_eq!(rows(&db, &of_large), ["the model"]);
        assert_eq!(rows(&db, &of_large.to_uppercase().replace("SELECT LABEL", "select label")), [""; 0]);
        let kinds = "select kind, place, is_blob, count(*), sum(bytes) from system.chunks group by 1, 2, 3 order by 1, 2, 3";
        let lists = rows(&db, "select bytes from system.chunks where kind = 'list'");
        let directory = rows(&db, "select bytes from system.chunks where kind = 'directory'");
        let wanted = [
            "chunk,loose,false,3,9437184".to_owned(),
            "chunk,packed,false,1,9".to_owned(),
            "chunk,packed,true,1,5".to_owned(),
            format!("directory,packed,true,1,{}", directory[0]),
            format!("list,packed,true,1,{}", lists[0]),
        ];
        assert_eq!(rows(&db, kinds), wanted);
        // What stands where it says that it stands.
        let place = format!("select file, file_offset from system.chunks where hash = '{small}'");
        let place = rows(&db, &place);
        let (file, offset) = place[0].split_once(',').unwrap();
        let image = disk.read(file).unwrap();
        let offset: usize = offset.parse().unwrap();
        assert_eq!(&image[offset..offset + 5], b"small");
        let times = "select distinct date_trunc('second', put_at) from blobs";
        assert_eq!(rows(&db, times), ["2023-11-14T22:13:20Z"]);

        // A join with what refers to them.
        let scans = db.channel("scans").unwrap();
        let references = [BlobReference { hash: large, bytes: 9 << 20 }];
        scans.append_all(&[EventInput::new("scan.taken", b"").with_blobs(&references)]).unwrap();
        drop(blobs);
        db.close().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(db.sql(all)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");

        // Who only reads the directory sees the same.
        let doors = doors(&disk, &clock);
        let reader =
            redex::StoreReader::open(std::path::Path::new("data"), &doors, &Default::default()).unwrap();
        let pins = netdb::open_pins(std::path::Path::new("data"), &doors, &reader).unwrap().unwrap();
        assert_eq!(pins.list(None, 9).len(), 2);
        assert_eq!(pins.name("alpha").unwrap().hash, small);
        let refused = pins.unpin(&large).unwrap_err();
        assert!(refused.to_string().contains("opened to be read"), "{refused}");
    }
}

/// Has a keeper do what there is to do now.
fn settle(keeper: &mut Keeper) -> Duration {
    let waits = (0..10_000).map(|_| keeper.step().unwrap());
    waits.into_iter().find(|wait| !wait.is_zero()).expect("it comes to rest")
}

#[test]
fn a_keeper_collects_when_it_is_time_and_sooner_when_room_is_short() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let db = open(&disk, &clock);
    let blobs = db.blobs().unwrap();
    let kept = blobs.put(&content(1, 400_000)[..], Chunking::Fixed).unwrap().hash;
    blobs.pin(&kept, PinMode::Recursive, None).unwrap();
    let garbage = |nth| blobs.put(&content(nth, 300_000)[..], Chunking::Fixed).unwrap().hash;
    let is_here = |hash: &Hash| blobs.store().exists(hash).unwrap();
    let hour = Duration::from_secs(3_600);

    // When it is time: an hour after the beginning, then every day.
    let mut keeper = Keeper::new(blobs.clone(), KeepOptions::default());
    let old = garbage(2);
    assert_eq!(settle(&mut keeper), Duration::from_secs(30));
    clock.advance(hour);
    settle(&mut keeper);
    assert!(is_here(&old), "it is too young");
    assert_eq!(blobs.store().metrics().swept, 0);
    clock.advance(24 * hour - Duration::from_secs(1));
    settle(&mut keeper);
    assert!(is_here(&old), "it is not time");
    clock.advance(Duration::from_secs(1));
    settle(&mut keeper);
    assert!(!is_here(&old) && is_here(&kept));
    assert_eq!(blobs.store().metrics().swept, 1);

    // When room is short: what is ten minutes old.
    let quota = KeepOptions { quota: Some(800_000), collect_every: None, ..KeepOptions::default() };
    let mut keeper = Keeper::new(blobs.clone(), quota);
    let first = garbage(3);
    settle(&mut keeper);
    clock.advance(Duration::from_secs(601));
    assert!(is_here(&first), "it was too young when room got short");
    let second = garbage(4);
    settle(&mut keeper);
    assert!(!is_here(&first) && is_here(&second) && is_here(&kept));
    // It is not begun again and again.
    clock.advance(Duration::from_secs(60));
    let reads = disk.operation_count();
    assert_eq!(settle(&mut keeper), Duration::from_secs(30));
    assert!(disk.operation_count() - reads < 20);
    clock.advance(DAY);
    let third = garbage(5);
    settle(&mut keeper);
    assert!(!is_here(&second) && is_here(&third) && is_here(&kept));

    // What is needed is never taken, however short room is.
    for hash in [&third, &kept] {
        blobs.pin(hash, PinMode::Recursive, None).unwrap();
    }
    clock.advance(DAY);
    let tight = KeepOptions { quota: Some(1), ..quota };
    settle(&mut Keeper::new(blobs.clone(), tight));
    assert!(is_here(&third) && is_here(&kept));
}

#[cfg(feature = "object-stores")]
#[test]
fn a_keeper_has_cold_chunks_go_elsewhere_once_garbage_is_gone() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = clock();
    let doors = Doors { clock: Arc::clone(&clock) as _, ..Doors::system() };
    let db = NetDb::builder().directory(dir.path().join("data")).doors(doors).open().unwrap();
    let blobs = db.blobs().unwrap();
    let put = |nth| {
        let info = blobs.put(&content(nth, 400_000)[..], Chunking::Fixed).unwrap();
        blobs.pins().set_name(&format!("blob {nth}"), &info.hash).unwrap();
        info.hash
    };
    let change = netdb::OverflowChange {
        place: Some(format!("file://{}", away.path().display())),
        quota: Some(1_000_000),
        ..Default::default()
    };
    blobs.enable_overflow(&change).unwrap();
    let mut keeper = Keeper::new(blobs.clone(), KeepOptions::default());
    let named = [put(1), put(2)];
    let garbage = blobs.put(&content(3, 400_000)[..], Chunking::Fixed).unwrap().hash;
    clock.advance(Duration::from_secs(700));
    settle(&mut keeper);
    // The garbage made room enough: 800,000 of 1,000,000.
    assert!(!blobs.store().exists(&garbage).unwrap());
    assert_eq!(blobs.overflow_status().unwrap().away.chunks, 0);
    put(4);
    clock.advance(Duration::from_secs(60));
    settle(&mut keeper);
    let status = blobs.overflow_status().unwrap();
    assert!(status.away.chunks >= 1 && status.disk.ratio() < 0.85, "{status:?}");
    for (nth, hash) in [1, 2].into_iter().zip(&named) {
        let mut got = Vec::new();
        blobs.get(hash, &mut got).unwrap();
        assert!(got == content(nth, 400_000));
    }
}

#[test]
fn a_log_that_lost_entries_stops_collections_until_somebody_says_that_they_are_lost_for_good() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let db = open(&disk, &clock);
    let (blobs, scans) = (db.blobs().unwrap(), db.channel("scans").unwrap());
    let publish = |nth| {
        let event = EventInput::new("scan.taken", b"");
        blobs
            .publish(&scans, event, &content(nth, 9_000)[..], PublishOptions::default())
            .unwrap()
            .blob
            .unwrap()
            .hash
    };
    let hashes: Vec<Hash> = (0..5).map(publish).collect();
    drop((blobs, scans));
    db.close().unwrap();
    drop(db);
    // The entry that refers to the third.
    let segment = disk.files().into_iter().map(|(path, _)| path).find(|path| {
        path.starts_with("data/logs/main") && path.extension().is_some_and(|extension| extension == "seg")
    });
    let segment = segment.unwrap();
    let bytes = disk.read(&segment).unwrap();
    let at = bytes.windows(32).position(|part| part == hashes[2].as_bytes()).unwrap();
    disk.flip_bit(&segment, 8 * at as u64);
    clock.advance(3 * DAY);

    let db = open(&disk, &clock);
    assert_eq!(db.recovery().quarantined.len(), 1);
    let blobs = db.blobs().unwrap();
    let options = CollectOptions { floor: Duration::ZERO, ..CollectOptions::default() };
    let refused = blobs.collect(options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("collect beside holes"), "{refused}");
    assert!(hashes.iter().all(|hash| blobs.store().exists(hash).unwrap()));
    let collected = blobs.begin_collection_beside_holes(options).unwrap().run().unwrap();
    assert_eq!(collected.removed, 1);
    let left: Vec<bool> = hashes.iter().map(|hash| blobs.store().exists(hash).unwrap()).collect();
    assert_eq!(left, [true, true, false, true, true]);
}
