//! What replicas refer to, what may still be cut off included.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::{Identity, Index, LogId, NodeId, Position, SeededRandom, Slot, Term};
use redex::{
    AppendRequest, ChannelEvents, Completion, EntryContent, Proposer, ReplicaEntry, ReplicaIdentity,
    ReplicaLog, SealedEntry,
};

use super::*;

fn leader() -> Arc<Identity> {
    let disk = base::MemoryDisk::new();
    Arc::new(Identity::create(&disk, Path::new("identity"), &SeededRandom::new(1)).unwrap())
}

fn identity() -> ReplicaIdentity {
    ReplicaIdentity { log: LogId::from_bytes([7; 16]), origin: leader().origin(), name: "shared".to_owned() }
}

fn slot(term: u64, index: u64) -> Slot {
    Slot { term: Term(term), node: NodeId(1), index: Index(index) }
}

fn propose(proposer: &mut Proposer, name: &str, number: u64, payload_bytes: usize) -> Vec<ReplicaEntry> {
    let (references, payload) = ([reference(number)], vec![b'x'; payload_bytes]);
    let events = [EventInput::new("blob.used", &payload).with_blobs(&references)];
    let of = channel(name);
    let parts = [ChannelEvents { channel: &of, events: &events }];
    proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
    proposer.seal()
}

/// The entries as another process would get them.
fn sent(entries: &[ReplicaEntry]) -> Vec<ReplicaEntry> {
    let sent = |entry: &ReplicaEntry| {
        let EntryContent::Sealed(sealed) = &entry.content else { return entry.clone() };
        let content = EntryContent::Sealed(SealedEntry::from_bytes(sealed.bytes().clone()));
        ReplicaEntry { slot: entry.slot, content }
    };
    entries.iter().map(sent).collect()
}

fn append(log: &ReplicaLog, entries: &[ReplicaEntry]) {
    log.append(entries, Completion::ignored()).unwrap();
}

/// A follower, and the entries of a leader that refer to one blob each.
fn follower(world: &World, store: &Store, references: u64, payload_bytes: usize) -> ReplicaLog {
    let elsewhere = World::new();
    let leads = ReplicaLog::open(Path::new(DIR), &identity(), &elsewhere.doors, &small()).unwrap();
    let log = store.open_replica(&identity()).unwrap();
    let first = ReplicaEntry { slot: slot(1, 0), content: EntryContent::Consensus(bytes_of("")) };
    append(&leads, std::slice::from_ref(&first));
    append(&log, &[first]);
    let mut proposer = leads.proposer(Term(1), NodeId(1), leader());
    for number in 0..references {
        let entries = propose(&mut proposer, "photos", number, payload_bytes);
        append(&leads, &entries);
        append(&log, &sent(&entries));
        log.flush_step();
    }
    assert_eq!(visit(leads.reader()), hashes(0..references));
    world.clock.advance(Duration::from_secs(2));
    log
}

fn bytes_of(text: &'static str) -> bytes::Bytes {
    bytes::Bytes::from_static(text.as_bytes())
}

#[test]
fn the_uncommitted_end_of_a_follower_counts_until_it_is_cut_off() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = follower(&world, &store, 9, 6_000);
    log.save_committed(Some(slot(1, 2))).unwrap();
    log.flush_step();
    assert_eq!(log.state().visible, Position(3));
    assert!(log.reader().view().segments().len() > 2, "sealed ones are not committed, too");
    assert_eq!(visit(log.reader()), hashes(0..9));
    // It is not attached yet.
    assert_eq!(visit_all(&store.reader()), hashes(0..9));
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    assert_eq!(visit_all(&beside), hashes(0..9));
    drop(beside);

    log.truncate_after(Some(Index(5))).unwrap();
    assert_eq!(visit(log.reader()), hashes(0..5));
    let mut proposer = log.proposer(Term(2), NodeId(1), leader());
    for number in 20..26 {
        append(&log, &propose(&mut proposer, "photos", number, 6_000));
    }
    let left = hashes((0..5).chain(20..26));
    assert_eq!(visit(log.reader()), left);
    assert_eq!(visit_all(&store.reader()), left);
    log.close().unwrap();
    drop(log);
    assert_eq!(
        redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default()).unwrap()[1].faults,
        []
    );
    let log = store.open_replica(&identity()).unwrap();
    assert_eq!(visit(log.reader()), left);
}

#[test]
fn what_a_replica_purged_does_not_count_and_a_leap_is_no_loss() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = follower(&world, &store, 9, 6_000);
    log.save_committed(Some(slot(1, 9))).unwrap();
    log.flush_step();
    let first = |log: &ReplicaLog| log.reader().view().segments()[0].first_index.0;
    log.purge(slot(1, 5)).unwrap();
    let begins = first(&log);
    assert!(begins > 1);
    assert_eq!(visit(log.reader()), hashes(begins.saturating_sub(1)..9));
    log.purge(slot(1, 30)).unwrap();
    assert_eq!(visit(log.reader()), hashes([]));
    let mut proposer = log.proposer(Term(2), NodeId(1), leader());
    append(&log, &propose(&mut proposer, "papers", 40, 10));
    assert_eq!(visit(log.reader()), hashes([40]));
    log.close().unwrap();
    drop(log);
    let log = store.open_replica(&identity()).unwrap();
    assert_eq!(visit(log.reader()), hashes([40]));
    assert_eq!(visit_all(&store.reader()), hashes([40]));
}

#[test]
fn damage_in_the_uncommitted_end_of_a_replica_is_said() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = follower(&world, &store, 3, 600);
    log.save_committed(Some(slot(1, 1))).unwrap();
    log.close().unwrap();
    drop((log, store));
    let path = world.disk.files().into_iter().map(|(path, _)| path);
    let path = path
        .filter(|path| path.starts_with("/node/logs/shared"))
        .find(|path| path.extension().is_some_and(|it| it == "seg"));
    let path = path.unwrap();
    let bytes = world.disk.read(&path).unwrap();
    let at = bytes.windows(32).position(|part| part == hash(1).as_bytes()).unwrap();
    world.disk.flip_bit(&path, 8 * (at as u64 + 100));
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    let failed = try_visit(&beside.log(&LogName::new("shared").unwrap()).unwrap());
    assert!(matches!(failed, Err(ReadError::Corrupt(_))), "{failed:?}");
}

#[test]
fn visiting_gives_all_or_begins_anew_while_the_end_is_cut_off_and_written_anew() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = follower(&world, &store, 6, 6_000);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) || rounds == 0 {
                let visited = visit(log.reader());
                assert!(visited.is_superset(&hashes(0..3)), "{visited:?}");
                rounds += 1;
            }
        });
        for round in 2..60 {
            log.truncate_after(Some(Index(3 + round % 2))).unwrap();
            let mut proposer = log.proposer(Term(round), NodeId(1), leader());
            for number in 0..4 {
                append(&log, &propose(&mut proposer, "photos", 1_000 + 10 * round + number, 6_000));
            }
        }
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn visiting_goes_on_while_a_replica_gives_up_its_beginning() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = follower(&world, &store, 3, 6_000);
    let (over, kept) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let newest = kept.load(Ordering::SeqCst);
                let visited = visit(log.reader());
                assert!(
                    newest == 0 || kept.load(Ordering::SeqCst) != newest || visited.contains(&hash(newest))
                );
            }
        });
        let mut index = 4;
        for round in 2..60 {
            kept.store(0, Ordering::SeqCst);
            // Every other time beyond the end, so that it leaps.
            index += if round % 2 == 0 { 5 } else { 0 };
            log.purge(slot(round, index - 1)).unwrap();
            let mut proposer = log.proposer(Term(round), NodeId(1), leader());
            for number in 0..4 {
                append(&log, &propose(&mut proposer, "photos", 1_000 + 10 * round + number, 6_000));
            }
            index = log.state().last.unwrap().index.0 + 1;
            kept.store(1_003 + 10 * round, Ordering::SeqCst);
            let _ = visit(log.reader());
        }
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}
