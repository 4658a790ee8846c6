//! Stores of values by number, as event logs are built on them: fjall, redb, RocksDB, SQLite; and commitlog, a log.
//!
//! Numbers are given in order, as a log gives them. None of them links or signs; what each does beyond or short of
//! our promise stands with it.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use netdb_benches::harness::{Sample, Until, contend, repeat};
use netdb_benches::payload::{Payloads, Runs};
use netdb_benches::read::{Compared, by_random_number, check_payload};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use netdb_benches::{Failure, Result};
use redex::Ack;

use crate::Side;

mod commitlog;
mod fjall;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;
mod sqlite;

use self::commitlog::CommitLog;
use self::fjall::Fjall;
use self::redb::Redb;
#[cfg(feature = "rocksdb")]
use self::rocks::Rocks;
use self::sqlite::Sqlite;

/// Bytes of the cache of each store that has one: everything that is read fits into it.
const CACHE_BYTES: usize = 1 << 30;

/// Events of one call where a store is filled to be read.
const FILLED_TOGETHER: usize = 1024;

/// The stores that can be durable, with so many threads and so many events a call.
macro_rules! durable_sides {
    ($threads:literal, $batch:literal) => {
        [
            ("fjall batch, SyncData", |s| durable::<Fjall>(s, $threads, $batch)),
            ("redb commit, Immediate", |s| durable::<Redb>(s, $threads, $batch)),
            #[cfg(feature = "rocksdb")]
            ("RocksDB write, sync", |s| durable::<Rocks>(s, $threads, $batch)),
            ("SQLite WAL, synchronous FULL", |s| durable::<Sqlite>(s, $threads, $batch)),
        ]
    };
}
/// The crates that stand behind them.
pub(crate) const CRATES: &[&str] = &[
    "fjall",
    "redb",
    "rusqlite",
    "commitlog",
    #[cfg(feature = "rocksdb")]
    "librocksdb-sys",
];

/// How many contests they take part in.
#[cfg(test)]
pub(crate) const CONTESTS: usize = 8;

/// Returns the stores that make the promise of a contest.
pub(crate) fn sides(contest: &str) -> &'static [Side] {
    match contest {
        "append-written" => &[
            ("fjall insert", |s| written::<Fjall>(s, 1)),
            #[cfg(feature = "rocksdb")]
            ("RocksDB write", |s| written::<Rocks>(s, 1)),
            ("SQLite WAL, synchronous NORMAL", |s| written::<Sqlite>(s, 1)),
            ("commitlog append_msg", |s| written::<CommitLog>(s, 1)),
        ],
        "append-written-batch64" => &[
            ("fjall batch", |s| written::<Fjall>(s, 64)),
            #[cfg(feature = "rocksdb")]
            ("RocksDB write", |s| written::<Rocks>(s, 64)),
            ("SQLite WAL, synchronous NORMAL", |s| written::<Sqlite>(s, 64)),
            ("commitlog append", |s| written::<CommitLog>(s, 64)),
        ],
        "append-durable-1" => &durable_sides!(1, 1),
        "append-durable-8" => &durable_sides!(8, 1),
        "append-durable-64" => &durable_sides!(64, 1),
        "append-durable-batch64" => &durable_sides!(1, 64),
        "scan" => &[
            ("fjall iter", scan::<Fjall>),
            ("redb iter", scan::<Redb>),
            #[cfg(feature = "rocksdb")]
            ("RocksDB iterator", scan::<Rocks>),
            ("SQLite select", scan::<Sqlite>),
            ("commitlog read, 1 MiB a call", scan::<CommitLog>),
        ],
        "point-read" => &[
            ("fjall get", |s| points::<Fjall>(s, Compared::Beginning)),
            ("redb get", |s| points::<Redb>(s, Compared::Beginning)),
            #[cfg(feature = "rocksdb")]
            ("RocksDB get", |s| points::<Rocks>(s, Compared::Beginning)),
            ("SQLite select", |s| points::<Sqlite>(s, Compared::Beginning)),
            ("commitlog read", |s| points::<CommitLog>(s, Compared::Beginning)),
        ],
        "point-read-whole" => &[
            ("fjall get", |s| points::<Fjall>(s, Compared::Whole)),
            ("redb get", |s| points::<Redb>(s, Compared::Whole)),
            #[cfg(feature = "rocksdb")]
            ("RocksDB get", |s| points::<Rocks>(s, Compared::Whole)),
            ("commitlog read", |s| points::<CommitLog>(s, Compared::Whole)),
        ],
        _ => &[],
    }
}

/// A store that a workload is run on.
trait Store: Sized + Sync {
    /// Its name among the directories of a session.
    const NAME: &'static str;

    /// Opens a directory, or makes what belongs there. Calls of `append` will make the promise of `ack`.
    fn open(dir: &Path, ack: Ack) -> Result<Self>;

    /// Appends payloads under numbers that begin with `first`, in one call; a single one by the call for one.
    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()>;

    /// Gives all numbers and payloads out in order.
    fn scan(&self, visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()>;

    /// Finds one payload, as an owned value.
    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>>;

    /// Brings what was appended into the form that is best to be read.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

fn written<S: Store>(setting: &Setting, batch: usize) -> Result<Sample> {
    appended::<S>(setting, 1, batch, Ack::Written)
}

fn durable<S: Store>(setting: &Setting, threads: usize, batch: usize) -> Result<Sample> {
    appended::<S>(setting, threads, batch, Ack::Durable)
}

fn appended<S: Store>(setting: &Setting, threads: usize, batch: usize, ack: Ack) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = S::open(scratch.path(), ack)?;
    let payloads = Payloads::default();
    let next = AtomicU64::new(0);
    let sample = contend(threads, setting.duration, |_, nth| {
        let first = next.fetch_add(batch as u64, Ordering::Relaxed);
        store.append(first, Runs::nth(batch, payloads.all(), nth))?;
        Ok(batch as u64)
    })?;
    expect_all(&store, next.into_inner())?;
    Ok(sample)
}

fn scan<S: Store>(setting: &Setting) -> Result<Sample> {
    let (store, events) = filled::<S>(setting)?;
    repeat(Until::over(setting.duration), || expect_all(&store, events), || Ok(()))
}

fn points<S: Store>(setting: &Setting, compared: Compared) -> Result<Sample> {
    let (store, events) = filled::<S>(setting)?;
    let payloads = Payloads::default();
    by_random_number(setting, events, |number| match store.read(number)? {
        Some(payload) => check_payload(&payloads, number, payload.as_ref(), compared),
        None => Err(Failure::from(format!("event {number} was not found"))),
    })
}

/// Opens a store that was filled and closed, and reads all of it once, so that it is in the caches.
fn filled<S: Store>(setting: &Setting) -> Result<(S, u64)> {
    let events = setting.events.next_multiple_of(FILLED_TOGETHER as u64);
    let dir = setting.prepared.other(setting, S::NAME, |dir| {
        let store = S::open(dir, Ack::Written)?;
        let payloads = Payloads::default();
        for first in (0..events).step_by(FILLED_TOGETHER) {
            store.append(first, Runs::nth(FILLED_TOGETHER, payloads.all(), 0))?;
        }
        store.settle()
    })?;
    let store = S::open(&dir, Ack::Written)?;
    expect_all(&store, events)?;
    Ok((store, events))
}

/// Reads a store in order and fails unless it has so many events; looks at the first byte of each payload.
fn expect_all(store: &impl Store, events: u64) -> Result<u64> {
    let (mut next, mut sum) = (0, 0u64);
    store.scan(|number, payload| {
        if number != next {
            return Err(Failure::from(format!("event {next} was expected, found {number}")));
        }
        next += 1;
        sum += u64::from(payload.first().copied().unwrap_or_default());
        Ok(())
    })?;
    black_box(sum);
    if next == events { Ok(next) } else { Err(Failure::from(format!("{next} of {events} events are there"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_what_it_is_told<S: Store>(ack: Ack) {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let payloads = Payloads::default();
        let store = S::open(scratch.path(), ack).unwrap();
        store.append(0, &payloads.all()[..1]).unwrap();
        store.append(1, &payloads.all()[1..65]).unwrap();
        store.settle().unwrap();
        drop(store);
        let store = S::open(scratch.path(), ack).unwrap();
        assert_eq!(expect_all(&store, 65).unwrap(), 65);
        assert!(expect_all(&store, 64).is_err(), "{} ends early", S::NAME);
        for number in [0, 1, 64] {
            let found = store.read(number).unwrap().unwrap();
            assert_eq!(found.as_ref(), payloads.all()[number as usize], "{}: {number}", S::NAME);
        }
    }

    #[test]
    fn every_store_keeps_what_it_is_told() {
        for ack in [Ack::Written, Ack::Durable] {
            keeps_what_it_is_told::<Fjall>(ack);
            #[cfg(feature = "rocksdb")]
            keeps_what_it_is_told::<Rocks>(ack);
            keeps_what_it_is_told::<Sqlite>(ack);
        }
        keeps_what_it_is_told::<Redb>(Ack::Durable);
        keeps_what_it_is_told::<CommitLog>(Ack::Written);
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        assert!(CommitLog::open(scratch.path(), Ack::Durable).is_err());
    }
}
