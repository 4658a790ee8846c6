//! Replicas that others hold from now on: what is left of them is set aside, and one that comes back begins anew, knowing
//! that it was there before.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::{
    CrashImage, Disk, Identity, Index, LogId, MemoryDisk, NodeId, SeededRandom, Seq, SimulatedDisk, Slot,
    Term,
};
use bytes::Bytes;
use redex::{
    AppendError, AppendRequest, ChannelEvents, Completion, EntryContent, EventInput, LogReader, LogWriter,
    ProducerState, ReplicaEntry, ReplicaIdentity, ReplicaLog, Selection, StoreTail, Ticket,
};

use super::*;

const NAME: &str = "shared";

fn key() -> Arc<Identity> {
    Arc::new(Identity::create(&MemoryDisk::new(), Path::new("identity"), &SeededRandom::new(9)).unwrap())
}

fn identity(number: u8) -> ReplicaIdentity {
    let name = if number == 7 { NAME.to_owned() } else { format!("shared-{number}") };
    ReplicaIdentity { log: LogId::from_bytes([number; 16]), origin: key().origin(), name }
}

fn slot(index: u64) -> Slot {
    Slot { term: Term(1), node: NodeId(1), index: Index(index) }
}

/// Appends what a leader would, and lets readers see it.
fn fill(log: &ReplicaLog, numbers: std::ops::Range<u64>) {
    if log.state().last.is_none() {
        let blank = ReplicaEntry { slot: slot(0), content: EntryContent::Consensus(Bytes::new()) };
        log.append(&[blank], Completion::ignored()).unwrap();
    }
    let mut proposer = log.proposer(Term(1), NodeId(1), key());
    for number in numbers {
        let (name, payload) = (channel("orders"), number.to_string());
        let events = [EventInput::new("order.placed", payload.as_bytes())];
        let parts = [ChannelEvents { channel: &name, events: &events }];
        proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
        log.append(&proposer.seal(), Completion::ignored()).unwrap();
    }
    log.flush_step();
    log.save_committed(log.state().last).unwrap();
}

fn entries(log: &ReplicaLog) -> Vec<ReplicaEntry> {
    log.entries(Index::ZERO..Index(u64::MAX), u64::MAX).unwrap()
}

fn files(disk: &SimulatedDisk, below: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(below);
    disk.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(&dir)).collect()
}

fn give_up(store: &Store, log: ReplicaLog, number: u8) {
    log.close().unwrap();
    drop(log);
    let identity = identity(number);
    store.give_up_replica(&log_name(&identity.name), identity.log).unwrap();
}

/// A node with a replica that was closed.
fn node() -> (World, Store, Vec<ReplicaEntry>) {
    let world = World::new();
    let store = world.open();
    let log = store.open_replica(&identity(7)).unwrap();
    fill(&log, 0..20);
    let whole = entries(&log);
    log.close().unwrap();
    (world, store, whole)
}

#[test]
fn what_was_given_up_is_set_aside_and_no_log_of_the_node_any_more() {
    let (world, store, whole) = node();
    let beside = reader(&world);
    let seen = |reader: &StoreReader| read(&reader.view(), &Selection::channel(&channel("orders"))).len();
    assert_eq!((beside.logs().len(), seen(&beside)), (2, 20));
    let mut tail = beside.tail(Selection::channel(&channel("orders")));
    store.give_up_replica(&log_name(NAME), identity(7).log).unwrap();
    assert_eq!(files(&world.disk, "logs/shared"), [] as [PathBuf; 0]);
    assert!(files(&world.disk, "given-up/000001-shared").iter().any(|path| path.ends_with("superblock")));
    // Who has it open is at an end, not at an error.
    for _ in 0..3 {
        beside.refresh().unwrap();
        assert_eq!((beside.logs().len(), seen(&beside)), (1, 0));
        assert!(tail.next_chunk().unwrap().is_none());
    }
    assert_eq!(reader(&world).logs().len(), 1);
    check(&world.doors);
    // Once more is as good as once.
    store.give_up_replica(&log_name(NAME), identity(7).log).unwrap();
    // It comes back, and knows that it was there.
    let log = store.open_replica(&identity(7)).unwrap();
    assert!(log.came_back() && log.doubt().is_some(), "{:?}", log.doubt());
    assert_eq!((log.state().last, log.vote()), (None, None));
    log.append(&whole, Completion::ignored()).unwrap();
    log.settle_doubt().unwrap();
    assert!(!log.came_back());
    log.close().unwrap();
    drop(log);
    let log = store.open_replica(&identity(7)).unwrap();
    assert_eq!((log.doubt(), entries(&log)), (None, whole));
    beside.refresh().unwrap();
    assert_eq!(beside.logs().len(), 2);
}

#[test]
fn the_newest_two_are_kept() {
    let world = World::new();
    let store = world.open();
    for number in 7..11 {
        let log = store.open_replica(&identity(number)).unwrap();
        fill(&log, 0..3);
        give_up(&store, log, number);
    }
    let kept = |place: &str| !files(&world.disk, &format!("given-up/{place}")).is_empty();
    let all = ["000001-shared", "000002-shared-8", "000003-shared-9", "000004-shared-10"];
    assert_eq!(all.map(kept), [false, false, true, true]);
}

/// Takes what a crash at each operation would leave while something is done.
fn crashes(disk: &SimulatedDisk, act: impl FnOnce()) -> Vec<SimulatedDisk> {
    let taken: Arc<Mutex<Vec<_>>> = Arc::default();
    let taking = Arc::clone(&taken);
    disk.on_operation(Some(Box::new(move |_, snapshot| taking.lock().unwrap().push(snapshot))));
    act();
    disk.on_operation(None);
    let snapshots = std::mem::take(&mut *taken.lock().unwrap());
    let images = |seed| {
        [CrashImage::None, CrashImage::All, CrashImage::Reordered { seed }, CrashImage::Sectors { seed }]
    };
    let each = snapshots.iter().enumerate();
    each.flat_map(|(at, snapshot)| images(at as u64).map(|image| snapshot.image(&image))).collect()
}

/// Opens what a crash left. The replica is whole, or in doubt and the old one is whole where it was set aside.
fn check_crash(disk: &SimulatedDisk, whole: &[ReplicaEntry], what: &str) -> bool {
    let world = World::on(disk.clone(), 3);
    let store = world.open();
    let log = store.open_replica(&identity(7)).unwrap();
    let came_back = log.came_back();
    if came_back {
        assert_eq!(entries(&log), [], "{what}");
        log.close().unwrap();
        drop((log, store));
        // Opening twice changes nothing: it waits for the others.
        let store = world.open();
        assert!(store.open_replica(&identity(7)).unwrap().came_back(), "{what}");
        drop(store);
        let copy = SimulatedDisk::new();
        let set_aside = Path::new(DIR).join("given-up/000001-shared");
        copy.create_directories(&Path::new(DIR).join("logs/shared")).unwrap();
        for path in files(&world.disk, "given-up/000001-shared") {
            let name = path.strip_prefix(&set_aside).unwrap();
            copy.write(Path::new(DIR).join("logs/shared").join(name), &world.disk.read(&path).unwrap());
        }
        let doors = World::on(copy, 4).doors;
        let log = ReplicaLog::open(Path::new(DIR), &identity(7), &doors, &options()).unwrap();
        assert_eq!(entries(&log), whole, "{what}: what was set aside");
    } else {
        assert_eq!((log.doubt(), &entries(&log)[..]), (None, whole), "{what}");
    }
    came_back
}

#[test]
fn a_crash_while_a_replica_is_given_up_leaves_it_whole_or_set_aside() {
    let (world, store, whole) = node();
    let images = crashes(&world.disk, || store.give_up_replica(&log_name(NAME), identity(7).log).unwrap());
    let (mut back, all) = (0, images.len());
    for (at, disk) in images.iter().enumerate() {
        back += usize::from(check_crash(disk, &whole, &format!("image {at}")));
    }
    assert!(back > 20 && back < all, "{back} of {all}");
}

#[test]
fn a_crash_while_a_replica_comes_back_leaves_it_in_doubt_and_the_old_one_whole() {
    let (world, store, whole) = node();
    store.give_up_replica(&log_name(NAME), identity(7).log).unwrap();
    let images = crashes(&world.disk, || drop(store.open_replica(&identity(7)).unwrap()));
    assert!(images.len() > 40, "{}", images.len());
    for (at, disk) in images.iter().enumerate() {
        assert!(check_crash(disk, &whole, &format!("image {at}")), "image {at}");
    }
}

#[test]
fn a_record_that_does_not_read_keeps_the_replica_where_it_is() {
    let (world, store, whole) = node();
    drop(store);
    let record = Path::new(DIR).join("replicas").join(identity(7).log.to_string());
    for text in ["given up: ../../other", "given up: 1-", "given up: x-shared", "something", "\u{ff}"] {
        world.disk.write(&record, text.as_bytes());
        assert!(!check_crash(&world.disk, &whole, text));
    }
}

/// Reads a replica with the other logs; writing is another's.
#[derive(Debug)]
struct Attached(ReplicaLog);

impl LogWriter for Attached {
    fn submit(&self, _: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        unreachable!("nothing is appended here")
    }

    fn append(&self, _: &base::ChannelName, _: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        unreachable!("nothing is appended here")
    }

    fn incarnation(&self) -> base::IncarnationId {
        base::IncarnationId::NONE
    }

    fn producer(&self, id: &str) -> Option<ProducerState> {
        self.0.producer(id)
    }

    fn reader(&self) -> &LogReader {
        self.0.reader()
    }
}

fn next(tail: &mut StoreTail) -> Vec<u64> {
    tail.next_batch().unwrap().iter().map(|event| event.seq.0).collect()
}

#[test]
fn a_tail_goes_on_where_it_stood_once_the_log_comes_back() {
    let world = World::new();
    let store = world.open();
    let log = store.open_replica(&identity(7)).unwrap();
    store.attach(Arc::new(Attached(log.clone()))).unwrap();
    fill(&log, 0..5);
    let whole = entries(&log);
    let selection = Selection::channel(&channel("orders"));
    let (mut tail, mut late) = (store.tail(selection.clone()), store.tail(selection));
    assert_eq!(next(&mut tail), [0, 1, 2, 3, 4]);
    store.detach(&log_name(NAME));
    give_up(&store, log, 7);
    for tail in [&mut tail, &mut late] {
        assert_eq!(next(tail), [] as [u64; 0], "an end, and no error");
        assert!(!tail.is_ended(), "the node has other logs");
    }
    let mut waits = std::pin::pin!(tail.changed());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending(), "nobody spins");
    let log = store.open_replica(&identity(7)).unwrap();
    log.append(&whole, Completion::ignored()).unwrap();
    log.settle_doubt().unwrap();
    store.attach(Arc::new(Attached(log.clone()))).unwrap();
    assert!(waits.as_mut().poll(&mut context).is_ready());
    // What it gave out before is not given out again.
    log.save_committed(Some(slot(3))).unwrap();
    assert_eq!(next(&mut tail), [] as [u64; 0]);
    log.flush_step();
    log.save_committed(log.state().last).unwrap();
    fill(&log, 5..8);
    assert_eq!(next(&mut tail), [5, 6, 7]);
    assert_eq!(next(&mut late), (0..8).collect::<Vec<_>>(), "it had read nothing");
    assert_eq!(log.reader().view().channel(&channel("orders")).unwrap().unwrap().next_seq, Seq(8));
}
