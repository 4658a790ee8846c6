//! What the tests share: a simulated world and short ways to append and read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{
    ChannelName, Disk, Doors, LogId, ManualClock, Random, SeededRandom, SimulatedDisk, SystemDisk,
    SystemRandom, Timestamp,
};
use redex::{Ack, Appended, EventInput, FlusherMode, Log, LogOptions, LogView, Selection, Store};

/// A simulated disk with a clock and randomness of its own.
pub struct World {
    pub disk: SimulatedDisk,
    pub clock: Arc<ManualClock>,
    pub doors: Doors,
}

pub const DIR: &str = "/node";

impl World {
    pub fn new() -> Self {
        Self::on(SimulatedDisk::new(), 1)
    }

    pub fn on(disk: SimulatedDisk, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
        let doors = Doors {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
            disk: Arc::new(disk.clone()),
        };
        Self { disk, clock, doors }
    }

    pub fn open(&self) -> Store {
        self.open_with(&options())
    }

    pub fn open_with(&self, options: &LogOptions) -> Store {
        Store::open(Path::new(DIR), &self.doors, options).unwrap()
    }

    pub fn verify(&self) -> redex::VerifyReport {
        redex::verify(Path::new(DIR), &self.doors, &redex::VerifyOptions::default()).unwrap()
    }
}

/// Options without a thread.
pub fn options() -> LogOptions {
    let mut options = LogOptions::default();
    options.flusher = FlusherMode::Manual;
    options.sync_within = Duration::from_millis(100);
    options
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// Appends one event durably.
pub fn append(log: &Log, name: &str, payload: &str) -> Appended {
    let event = EventInput::new("test.happened", payload.as_bytes());
    log.append(&channel(name), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap()
}

/// Reads payloads as texts.
pub fn payloads(view: &LogView, selection: &Selection) -> Vec<String> {
    view.read(selection)
        .unwrap()
        .map(|event| String::from_utf8(event.unwrap().payload.to_vec()).unwrap())
        .collect()
}

/// Reads all payloads of a channel.
pub fn all(log: &Log, name: &str) -> Vec<String> {
    payloads(&log.reader().view(), &Selection::channel(&channel(name)))
}

/// A directory of its own on the machine's file system, removed with everything in it when dropped.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("netdb-redex-{}", LogId::random(&SystemRandom)));
        SystemDisk.create_directories(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What cannot be removed stays in the machine's directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Random choices of one seed.
pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Tells whether something happens that happens `percent` times in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn byte(&self) -> u8 {
        let mut byte = [0];
        self.0.fill(&mut byte);
        byte[0]
    }

    pub fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

/// Runs a test for each seed, or for those in the environment variable `NETDB_SEEDS` (such as `500..900`), and
/// names the seed that failed. Returns what the tests gave.
pub fn each_seed<R>(seeds: std::ops::Range<u64>, test: impl Fn(u64) -> R) -> Vec<R> {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}; repeat with NETDB_SEEDS={}..{}", self.0, self.0, self.0 + 1);
            }
        }
    }
    let asked = std::env::var("NETDB_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let run = |seed| {
        let _named = Named(seed);
        test(seed)
    };
    asked.unwrap_or(seeds).map(run).collect()
}
