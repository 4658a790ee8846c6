//! A store that overflows to a bucket of S3, which now and then is not there, or answers errors.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base::{Classify, Doors, ErrorKind, Hash, ManualClock, SeededRandom, SimulatedDisk, Timestamp};
use blob::adapter::{BlobAdapter, ListQuery, VerifiedAdapter};
use blob::{
    BlobError, BlobStore, Chunking, CollectOptions, Collection, DiskUse, MemoryJournal, NoRoots, ObjectPlace,
    Overflow, OverflowConfig, OverflowSettings, PinMode, Pins,
};
use blob_remote::ObjectStoreAdapter;

use crate::bucket::Server;
use crate::scripted::{Answer, Script, serve};
use crate::support::{SECRET, open};

const FULL: DiskUse = DiskUse { used: 99, capacity: 100 };
const QUOTA: u64 = 2_000_000;

/// What stands before a server: lets through, answers by itself, or is not there.
struct Gate {
    address: SocketAddr,
    server: String,
    door: Option<Door>,
}

/// Something that listens until it is closed.
struct Door {
    closing: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    listening: JoinHandle<()>,
}

impl Gate {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut gate = Self { address, server: server.host.clone(), door: None };
        gate.listen(listener, None);
        gate
    }

    fn url(&self) -> String {
        format!("s3://netdb/node?endpoint=http://{}&region=us-east-1", self.address)
    }

    /// Lets through again.
    fn open(&mut self) {
        self.close();
        self.listen(TcpListener::bind(self.address).unwrap(), None);
    }

    /// Answers everything so.
    fn answer(&mut self, answer: Answer) {
        self.close();
        self.listen(TcpListener::bind(self.address).unwrap(), Some(answer));
    }

    /// Is not there any more: who connects is refused.
    fn close(&mut self) {
        let Some(Door { closing, streams, listening }) = self.door.take() else { return };
        closing.store(true, Ordering::Release);
        // Whoever listens looks up.
        drop(TcpStream::connect(self.address));
        listening.join().unwrap();
        for stream in streams.lock().unwrap().drain(..) {
            // The other side may have gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(&mut self, listener: TcpListener, answer: Option<Answer>) {
        let (closing, streams) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (is_closing, all, server) = (Arc::clone(&closing), Arc::clone(&streams), self.server.clone());
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_closing.load(Ordering::Acquire) {
                    return;
                }
                let stream = stream.unwrap();
                all.lock().unwrap().push(stream.try_clone().unwrap());
                match answer {
                    Some(answer) => {
                        let script: Box<Script> = Box::new(move |_, _| answer);
                        thread::spawn(move || drop(serve(&stream, &Mutex::default(), &*script)));
                    }
                    None => {
                        let other = TcpStream::connect(&server).unwrap();
                        let ends = (stream.try_clone().unwrap(), other.try_clone().unwrap());
                        thread::spawn(move || pass(&stream, &other));
                        thread::spawn(move || pass(&ends.1, &ends.0));
                    }
                }
            }
        });
        self.door = Some(Door { closing, streams, listening });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    // Either side may go away in the middle.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// A store that overflows to a place.
struct Node {
    clock: Arc<ManualClock>,
    pins: Pins,
    overflow: Overflow,
    bucket: Arc<ObjectStoreAdapter>,
}

impl Node {
    fn open(disk: &SimulatedDisk, journal: &Arc<MemoryJournal>, url: &str) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        let doors = Doors { clock: Arc::clone(&clock) as _, random, disk: Arc::new(disk.clone()) };
        let store = BlobStore::open(Path::new("blobs"), &doors).unwrap();
        let bucket = Arc::new(open(url).unwrap());
        store.objects().set_away(Some(VerifiedAdapter::new(Arc::clone(&bucket) as _)));
        let pins = Pins::open(store, Arc::clone(journal) as _, Arc::clone(&clock) as _).unwrap();
        let config = OverflowConfig { enabled: true, pushes_per_tick: 2, ..OverflowConfig::default() };
        let overflow = Overflow::new(pins.clone(), config).unwrap();
        Self { clock, pins, overflow, bucket }
    }

    fn store(&self) -> &BlobStore {
        self.pins.store()
    }

    fn put(&self, contents: &[Vec<u8>]) -> BTreeMap<Hash, Vec<u8>> {
        let put = |content: &Vec<u8>| {
            self.clock.advance(Duration::from_secs(1));
            (self.store().put(&content[..], Chunking::Fixed).unwrap().hash, content.clone())
        };
        contents.iter().map(put).collect()
    }

    fn read(&self, hash: &Hash) -> Result<Vec<u8>, BlobError> {
        let mut content = Vec::new();
        self.store().get(hash, &mut content)?;
        Ok(content)
    }

    fn place(&self, hash: &Hash) -> ObjectPlace {
        self.store().objects().info(hash).unwrap().unwrap().place
    }

    /// Returns those that lie elsewhere.
    fn away(&self, of: &BTreeMap<Hash, Vec<u8>>) -> Vec<Hash> {
        of.keys().filter(|hash| self.place(hash) == ObjectPlace::Away).copied().collect()
    }

    fn in_bucket(&self) -> Vec<Hash> {
        self.bucket.list_objects(&ListQuery::new(usize::MAX)).unwrap()
    }
}

fn contents() -> Vec<Vec<u8>> {
    let content = |nth: u8| {
        let bytes = if nth.is_multiple_of(2) { 300_000 } else { 60_000 };
        (0..bytes).map(|at: u32| (at / 7 + at / 251) as u8 ^ nth).collect()
    };
    (0..12).map(content).collect()
}

#[test]
fn a_store_beyond_its_quota_overflows_to_a_bucket_and_every_read_is_answered() {
    let Some(server) = Server::start() else { return };
    let (disk, journal) = (SimulatedDisk::new(), Arc::<MemoryJournal>::default());
    let gate = Gate::before(&server);
    let node = Node::open(&disk, &journal, &gate.url());
    let settings = OverflowSettings { place: gate.url(), config: node.overflow.config(), quota: Some(QUOTA) };
    node.store().set_overflow_settings(&settings).unwrap();
    let blobs = node.put(&contents());
    let used = |node: &Node| node.store().disk_use(settings.quota).unwrap();
    assert!(used(&node).used > QUOTA, "{:?}", used(&node));
    let mut ticks = 0;
    while node.overflow.tick(used(&node)).unwrap().active {
        ticks += 1;
        assert!(ticks < 12, "{:?}", node.overflow.metrics());
    }
    assert!(used(&node).ratio() < 0.7, "{:?}", used(&node));
    let away = node.away(&blobs);
    assert!((2..11).contains(&away.len()), "{away:?}");
    assert_eq!(node.in_bucket(), away, "{:?}", node.overflow.metrics());
    assert!(blobs.iter().all(|(hash, content)| node.read(hash).unwrap() == *content));
    drop(node);

    let node = Node::open(&disk, &journal, &gate.url());
    assert_eq!(node.store().overflow_settings().unwrap(), Some(settings.clone()));
    assert_eq!(node.away(&blobs), away);
    assert!(blobs.iter().all(|(hash, content)| node.read(hash).unwrap() == *content));
    assert!(node.store().objects().verify_away().unwrap().damaged.is_empty());
    // What is pinned comes back, and stays.
    let here = *blobs.keys().find(|hash| !away.contains(hash)).unwrap();
    for hash in [&away[0], &away[1], &here] {
        node.pins.pin(hash, PinMode::Recursive, None).unwrap();
    }
    assert_eq!(node.overflow.tick(used(&node)).unwrap().taken_back, 2);
    assert!([&away[0], &away[1]].iter().all(|hash| node.place(hash) != ObjectPlace::Away));
    // All else is collected, there as well.
    node.clock.advance(Duration::from_secs(3_600));
    let options = CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
    Collection::begin(&node.pins, &NoRoots, &*node.clock, options).unwrap().run().unwrap();
    while node.overflow.tick(used(&node)).unwrap().tidied > 0 {}
    assert!(node.in_bucket().iter().all(|hash| away[..2].contains(hash)), "{:?}", node.in_bucket());
    for (hash, content) in &blobs {
        match node.pins.get(hash) {
            Some(_) => assert!(node.read(hash).unwrap() == *content),
            None => assert!(matches!(node.read(hash), Err(BlobError::NotFound { .. }))),
        }
    }
    assert_eq!(node.overflow.take_all_back().unwrap(), 0);
    assert_eq!(node.in_bucket(), []);
}

#[test]
fn a_bucket_that_is_gone_or_answers_errors_costs_no_chunk_and_overflow_tries_again() {
    let Some(server) = Server::start() else { return };
    let missing = "<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>";
    let troubles: [(Option<Answer>, ErrorKind, &str); 4] = [
        (None, ErrorKind::Unavailable, "try again later"),
        (Some(("503 Slow Down", "", "busy")), ErrorKind::Unavailable, "try again later"),
        (Some(("403 Forbidden", "", "<Code>AccessDenied</Code>")), ErrorKind::Denied, "give it credentials"),
        (Some(("404 Not Found", "", missing)), ErrorKind::Invalid, "look at its settings"),
    ];
    for (answer, kind, next_step) in troubles {
        let mut gate = Gate::before(&server);
        let (disk, journal) = (SimulatedDisk::new(), Arc::<MemoryJournal>::default());
        let node = Node::open(&disk, &journal, &gate.url());
        let blobs = node.put(&contents()[..6]);
        assert_eq!(node.overflow.tick(FULL).unwrap().pushed, 2);
        let away = node.away(&blobs);
        match answer {
            Some(answer) => gate.answer(answer),
            None => gate.close(),
        }
        for (hash, content) in &blobs {
            match node.read(hash) {
                Ok(found) => assert!(found == *content && !away.contains(hash)),
                Err(error) => {
                    let text = error.to_string();
                    assert!(away.contains(hash) && error.kind() == kind, "{text}");
                    assert!(text.contains(next_step) && text.contains(&hash.to_string()), "{text}");
                    assert!(!format!("{error:?}").contains(SECRET));
                }
            }
        }
        let error = node.overflow.take_back(&away[0]).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = node.store().objects().verify_away().unwrap_err();
        assert_eq!(error.kind(), kind, "not that chunks are damaged: {error}");
        let ticked = node.overflow.tick(FULL).unwrap();
        assert!(ticked.pushed == 0 && ticked.failed > 0, "{answer:?}: {ticked:?}");
        assert_eq!(node.away(&blobs), away, "what is here stays here");
        drop(node);

        // Who opens it again meanwhile goes on with what is here.
        let node = Node::open(&disk, &journal, &gate.url());
        let is_read = |hash: &Hash| node.read(hash).is_ok_and(|content| content == blobs[hash]);
        assert!(blobs.keys().all(|hash| is_read(hash) != away.contains(hash)));
        gate.open();
        assert!(blobs.keys().all(is_read), "{answer:?}");
        let mut pushed = 0;
        for _ in 0..4 {
            pushed += node.overflow.tick(FULL).unwrap().pushed;
        }
        assert_eq!((pushed, node.away(&blobs).len()), (4, 6), "{answer:?}: it tries again");
        assert!(blobs.keys().all(is_read));
        assert_eq!(node.overflow.take_all_back().unwrap(), 6);
        assert_eq!(node.in_bucket(), []);
    }
}
