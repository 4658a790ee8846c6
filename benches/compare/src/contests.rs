//! What is compared with what.

use netdb_benches::harness::Sample;
use netdb_benches::prepared::{Entries, Left};
use netdb_benches::read::Compared;
use netdb_benches::report::Unit;
use netdb_benches::session::Setting;
use netdb_benches::{Result, append, asynchronous, blob, fold, read, reopened, tail};
use redex::Ack;

use crate::{Side, blobs, mesh, probe, redis, tasks, wal};

/// One workload of ours and what peers do for the same promise.
#[derive(Clone, Copy)]
pub(crate) struct Contest {
    pub name: &'static str,
    pub what: &'static str,
    pub unit: Unit,
    pub ours: fn(&Setting) -> Result<Sample>,
    pub peers: &'static [Side],
}

const fn events(
    name: &'static str,
    what: &'static str,
    ours: fn(&Setting) -> Result<Sample>,
    peers: &'static [Side],
) -> Contest {
    Contest { name, what, unit: Unit::EventsPerSecond, ours, peers }
}

const fn micros(
    name: &'static str,
    what: &'static str,
    ours: fn(&Setting) -> Result<Sample>,
    peers: &'static [Side],
) -> Contest {
    Contest { name, what, unit: Unit::Microseconds, ours, peers }
}

const fn contest(
    name: &'static str,
    what: &'static str,
    unit: Unit,
    ours: fn(&Setting) -> Result<Sample>,
    peers: &'static [Side],
) -> Contest {
    Contest { name, what, unit, ours, peers }
}

const REDIS: &str = "Redis XADD, appendfsync always, Unix socket";

/// All contests, in the order in which they run.
pub(crate) const CONTESTS: [Contest; 40] = [
    events(
        "append-memory",
        "1 thread, in memory (ours is visible to readers when synced, net-mesh at once)",
        |s| append::memory(s, 1),
        &[("net-mesh append", |s| mesh::memory(s, 1))],
    ),
    events(
        "append-memory-batch64",
        "the same, 64 events a call",
        |s| append::memory(s, 64),
        &[("net-mesh append_batch", |s| mesh::memory(s, 64))],
    ),
    events(
        "append-memory-erasable",
        "1 thread, in memory, of events that can be redacted (net-mesh's can not)",
        |s| append::memory_erasable(s, 1),
        &[("net-mesh append", |s| mesh::memory(s, 1))],
    ),
    events(
        "append-written",
        "1 thread, on disk, each in the operating system when the call returns",
        |s| append::waited(s, 1, 1, Ack::Written),
        &[("net-mesh append", |s| mesh::written(s, 1))],
    ),
    events(
        "append-written-batch64",
        "the same, 64 events a call",
        |s| append::waited(s, 1, 64, Ack::Written),
        &[("net-mesh append_batch", |s| mesh::written(s, 64))],
    ),
    events(
        "append-durable-1",
        "1 thread, each on stable storage when the call returns",
        |s| append::waited(s, 1, 1, Ack::Durable),
        &[
            ("net-mesh append + sync", |s| mesh::durable(s, 1, 1)),
            ("okaywal commit", |s| wal::durable(s, 1, 1)),
        ],
    ),
    events(
        "append-durable-8",
        "8 threads, the same",
        |s| append::waited(s, 8, 1, Ack::Durable),
        &[
            ("net-mesh append + sync", |s| mesh::durable(s, 8, 1)),
            ("okaywal commit", |s| wal::durable(s, 8, 1)),
        ],
    ),
    events(
        "append-durable-64",
        "64 threads, the same",
        |s| append::waited(s, 64, 1, Ack::Durable),
        &[
            ("net-mesh append + sync", |s| mesh::durable(s, 64, 1)),
            ("okaywal commit", |s| wal::durable(s, 64, 1)),
        ],
    ),
    events(
        "append-durable-batch64",
        "1 thread, each 64 on stable storage when the call returns",
        |s| append::waited(s, 1, 64, Ack::Durable),
        &[
            ("net-mesh append_batch + sync", |s| mesh::durable(s, 1, 64)),
            ("okaywal commit of 64 chunks", |s| wal::durable(s, 1, 64)),
        ],
    ),
    events(
        "append-durable-async-64",
        "64 async producers on one runtime, each durable append waited for",
        |s| asynchronous::durable(s, 64, 1),
        &[(REDIS, |s| redis::durable(s, 64, 1))],
    ),
    events(
        "append-durable-async-64x16",
        "the same, 16 appends outstanding each",
        |s| asynchronous::durable(s, 64, 16),
        &[(REDIS, |s| redis::durable(s, 64, 16))],
    ),
    events(
        "append-channels-10000",
        "64 threads, each durable, over 10,000 channels",
        |s| append::channels(s, 64, 10_000),
        &[("ours, one channel", |s| append::waited(s, 64, 1, Ack::Durable))],
    ),
    events(
        "scan",
        "in order, ours from disk (warm, large entries), net-mesh from memory in calls of 1,000",
        |s| read::scan(s, Entries::Large),
        &[("net-mesh read_range", mesh::scan)],
    ),
    events(
        "point-read",
        "by random seq, all from memory: ours and the stores read it there before, net-mesh has nothing else",
        |s| read::lookups(s, Entries::Large, Compared::Beginning),
        &[("net-mesh read_one", |s| mesh::points(s, Compared::Beginning))],
    ),
    events(
        "point-read-whole",
        "the same, all of the payload looked at",
        |s| read::lookups(s, Entries::Large, Compared::Whole),
        &[("net-mesh read_one", |s| mesh::points(s, Compared::Whole))],
    ),
    events(
        "tail",
        "append on one thread, follow on another, in memory",
        tail::throughput,
        &[("net-mesh tail", mesh::tail)],
    ),
    Contest {
        name: "tail-latency",
        what: "from before the append to a sleeping follower, in memory (ours is linked, and signed every 5 ms)",
        unit: Unit::Microseconds,
        ours: tail::latency,
        peers: &[("net-mesh tail", mesh::tail_latency)],
    },
    micros(
        "tail-latency-durable",
        "from before a durable append to a sleeping follower, on disk",
        tail::durable_latency,
        &[("4 KiB overwritten + fdatasync alone", probe::synced_write)],
    ),
    contest(
        "reopen-5m",
        "for writing by a new process, five times as many events, closed cleanly",
        Unit::Milliseconds,
        |s| Ok(reopened::events(s, Left::Closed)?.time()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.time()))],
    ),
    contest(
        "reopen-5m-resident",
        "by how much that process has grown",
        Unit::Megabytes,
        |s| Ok(reopened::events(s, Left::Closed)?.memory()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.memory()))],
    ),
    contest(
        "reopen-5m-peak",
        "by how much it had grown at most",
        Unit::Megabytes,
        |s| Ok(reopened::events(s, Left::Closed)?.peak()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.peak()))],
    ),
    contest(
        "reopen-crashed-5m",
        "the same, as a crash leaves it (net-mesh closed cleanly)",
        Unit::Milliseconds,
        |s| Ok(reopened::events(s, Left::Crashed)?.time()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.time()))],
    ),
    contest(
        "reopen-crashed-5m-resident",
        "by how much that process has grown (net-mesh closed cleanly)",
        Unit::Megabytes,
        |s| Ok(reopened::events(s, Left::Crashed)?.memory()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.memory()))],
    ),
    contest(
        "reopen-crashed-5m-peak",
        "by how much it had grown at most (net-mesh closed cleanly)",
        Unit::Megabytes,
        |s| Ok(reopened::events(s, Left::Crashed)?.peak()),
        &[("net-mesh open", |s| Ok(mesh::reopened(s)?.peak()))],
    ),
    events(
        "fold-create",
        "tasks in one burst, in memory, until the last is in the state (ours with indexes, linked and signed)",
        |s| fold::create(s, false),
        &[("net-mesh tasks", tasks::create)],
    ),
    micros(
        "fold-read-own-write",
        "a task in memory, created and in the state (ours is linked, and signed every 5 ms)",
        fold::read_own_write,
        &[("net-mesh wait_for_seq", tasks::read_own_write)],
    ),
    micros(
        "fold-find-unique",
        "one of many tasks by id (ours on a snapshot, net-mesh under its lock)",
        fold::find_unique,
        &[("net-mesh find_unique", tasks::find_unique)],
    ),
    micros(
        "fold-ten-newest",
        "the ten newest of a status",
        fold::ten_newest,
        &[("net-mesh query", tasks::ten_newest)],
    ),
    micros(
        "fold-third",
        "a third of all tasks (ours in order and shared, net-mesh as copies)",
        fold::a_third,
        &[("net-mesh find_many", tasks::a_third)],
    ),
    micros("fold-count", "the tasks of a status", fold::count, &[("net-mesh count_where", tasks::count)]),
    micros(
        "fold-watch-latency",
        "from a write in memory to a watch of ten, beside many tasks (ours is linked, and signed every 5 ms)",
        fold::watch_latency,
        &[("net-mesh watch", tasks::watch_latency)],
    ),
    events(
        "fold-watched",
        "tasks in one burst until 1 watch saw the last (net-mesh takes its whole state at each: 10,000 tasks only)",
        |s| fold::create_watched(s, 1),
        &[("net-mesh watch", tasks::create_watched)],
    ),
    Contest {
        name: "fold-reopen",
        what: "tasks on disk, all folded again by a new process",
        unit: Unit::Milliseconds,
        ours: |s| Ok(reopened::tasks(s)?.time()),
        peers: &[("net-mesh open", |s| Ok(tasks::reopened(s)?.time()))],
    },
    Contest {
        name: "fold-resident",
        what: "by how much that process grows",
        unit: Unit::Megabytes,
        ours: |s| Ok(reopened::tasks(s)?.memory()),
        peers: &[("net-mesh open", |s| Ok(tasks::reopened(s)?.memory()))],
    },
    contest(
        "blob-put",
        "256 MiB from memory, hashed, durable when it returns",
        Unit::MegabytesPerSecond,
        blob::put_large,
        blobs::PUT,
    ),
    contest(
        "blob-get",
        "256 MiB into new memory, warm (ours verified, from files)",
        Unit::MegabytesPerSecond,
        blob::get_large,
        blobs::GET,
    ),
    contest(
        "blob-put-small",
        "100,000 blobs of 4 KiB (--events if fewer), hashed, durable in the end (ours one after the other)",
        Unit::BlobsPerSecond,
        blob::put_small,
        blobs::PUT_SMALL,
    ),
    contest(
        "blob-put-small-durable-64",
        "a quarter as many, each durable when its put returns (ours 64 threads)",
        Unit::BlobsPerSecond,
        |s| blob::put_small_durable(s, 64),
        blobs::PUT_SMALL_DURABLE,
    ),
    contest(
        "blob-get-small",
        "100,000 blobs of 4 KiB (--events if fewer), one after the other by hash, warm (ours verified, from files)",
        Unit::BlobsPerSecond,
        blob::get_small,
        blobs::GET_SMALL,
    ),
    contest(
        "blob-small-on-disk",
        "what those take on the disk in blocks, without inodes (100,000 have 409.6 MB of content)",
        Unit::Megabytes,
        blob::small_on_disk,
        blobs::SMALL_ON_DISK,
    ),
];
