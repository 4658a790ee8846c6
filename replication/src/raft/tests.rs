//! The log store under openraft's own suite, under its traps by name, and in small clusters.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use base::{
    CrashImage, Disk, Doors, Identity, ManualClock, MemoryDisk, Position, SeededRandom, SimulatedDisk,
    SystemClock, SystemDisk, SystemRandom, Timestamp,
};
use openraft::entry::{EntryPayload, RaftEntry as _};
use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use redex::{FlusherMode, LogOptions, ReplicaIdentity, ReplicaLog};

use super::*;

mod cluster;
mod forks;
mod machine;
mod suite;
mod traps;

const DIR: &str = "/node";

fn identity() -> ReplicaIdentity {
    let origin = key(1).origin();
    ReplicaIdentity { log: base::LogId::from_bytes([7; 16]), origin, name: "main".to_owned() }
}

/// The key of a node.
fn key(node: u64) -> Arc<Identity> {
    Arc::new(Identity::create(&MemoryDisk::new(), Path::new("identity"), &SeededRandom::new(node)).unwrap())
}

/// Options without a thread: nothing is flushed but by `flush_step`.
fn by_hand() -> LogOptions {
    let mut options = LogOptions::default();
    options.segment_bytes = 16 << 10;
    options.flusher = FlusherMode::Manual;
    options
}

fn simulated(disk: &SimulatedDisk, seed: u64) -> Doors {
    Doors {
        clock: Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000))),
        random: Arc::new(SeededRandom::new(seed)),
        disk: Arc::new(disk.clone()),
    }
}

fn open(doors: &Doors) -> LogStore {
    LogStore::new(ReplicaLog::open(Path::new(DIR), &identity(), doors, &by_hand()).unwrap())
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry::new(log_id(term, index), EntryPayload::Blank)
}

fn blanks(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
    indexes.map(|index| blank(term, index)).collect()
}

fn vote(term: u64) -> RaftVote {
    RaftVote { leader_id: LeaderId { term, node_id: 2 }, committed: false }
}

/// What an append was told, once it was.
type Told = tokio::sync::oneshot::Receiver<Result<(), std::io::Error>>;

async fn append(store: &mut LogStore, entries: Vec<Entry>) -> (Result<(), std::io::Error>, Told) {
    let (sender, told) = TypeConfig::oneshot();
    (store.append(entries, IOFlushed::signal(sender)).await, told)
}

/// Appends, and leaves it to the flusher.
async fn put(store: &mut LogStore, entries: Vec<Entry>) {
    append(store, entries).await.0.unwrap();
}

async fn ids(store: &mut LogStore) -> Vec<LogId> {
    store.try_get_log_entries(..).await.unwrap().into_iter().map(|entry| entry.log_id).collect()
}
