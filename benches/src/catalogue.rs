//! All benchmarks of the log by name.

use redex::Ack;

use crate::harness::Sample;
use crate::payload::PAYLOAD_BYTES;
use crate::prepared::{Entries, Left};
use crate::read::Compared;
use crate::report::{Table, Unit, cells};
use crate::session::{Session, Setting};
use crate::{Failure, Result, append, asynchronous, blob, fold, read, reopen, reopened, tail, verify};

/// A workload with a name.
#[derive(Debug, Clone, Copy)]
pub struct Benchmark {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// What its figure counts.
    pub unit: Unit,
    /// Runs it once.
    pub run: fn(&Setting) -> Result<Sample>,
}

const fn events(name: &'static str, what: &'static str, run: fn(&Setting) -> Result<Sample>) -> Benchmark {
    Benchmark { name, what, unit: Unit::EventsPerSecond, run }
}

const fn milliseconds(
    name: &'static str,
    what: &'static str,
    run: fn(&Setting) -> Result<Sample>,
) -> Benchmark {
    Benchmark { name, what, unit: Unit::Milliseconds, run }
}

const fn megabytes(name: &'static str, what: &'static str, run: fn(&Setting) -> Result<Sample>) -> Benchmark {
    Benchmark { name, what, unit: Unit::Megabytes, run }
}

const fn blobs(name: &'static str, what: &'static str, run: fn(&Setting) -> Result<Sample>) -> Benchmark {
    Benchmark { name, what, unit: Unit::BlobsPerSecond, run }
}

const fn micros(name: &'static str, what: &'static str, run: fn(&Setting) -> Result<Sample>) -> Benchmark {
    Benchmark { name, what, unit: Unit::Microseconds, run }
}

/// Every benchmark, in the order in which they run.
pub const ALL: [Benchmark; 57] = [
    events("append-memory", "1 thread, in memory, written each 1,024 events", |s| append::memory(s, 1)),
    events("append-memory-batch64", "the same, 64 events a call", |s| append::memory(s, 64)),
    events("append-memory-erasable", "as append-memory, of events that can be redacted", |s| {
        append::memory_erasable(s, 1)
    }),
    events("append-memory-each", "1 thread, in memory, each waited for", append::memory_each),
    events("append-staged", "1 thread, on disk, written each 1,024 events", |s| append::staged(s, 1)),
    events("append-staged-batch64", "the same, 64 events a call", |s| append::staged(s, 64)),
    events("append-written", "1 thread, each written", |s| append::waited(s, 1, 1, Ack::Written)),
    events("append-written-batch64", "1 thread, each 64 written", |s| append::waited(s, 1, 64, Ack::Written)),
    events("append-durable-1", "1 thread, each durable", |s| append::waited(s, 1, 1, Ack::Durable)),
    events("append-durable-8", "8 threads, each durable", |s| append::waited(s, 8, 1, Ack::Durable)),
    events("append-durable-64", "64 threads, each durable", |s| append::waited(s, 64, 1, Ack::Durable)),
    events("append-durable-batch64", "1 thread, each 64 durable", |s| append::waited(s, 1, 64, Ack::Durable)),
    events("append-durable-async-64", "64 async producers, each durable", |s| {
        asynchronous::durable(s, 64, 1)
    }),
    events("append-durable-async-64x16", "the same, 16 appends outstanding each", |s| {
        asynchronous::durable(s, 64, 16)
    }),
    events("append-channels-10000", "64 threads, each durable, over 10,000 channels", |s| {
        append::channels(s, 64, 10_000)
    }),
    events("scan", "in order, large entries", |s| read::scan(s, Entries::Large)),
    events("scan-small-entries", "in order, entries of one event", |s| read::scan(s, Entries::Small)),
    events("point-read", "by random seq, large entries, cached", |s| {
        read::lookups(s, Entries::Large, Compared::Beginning)
    }),
    events("point-read-whole", "the same, all of the payload looked at", |s| {
        read::lookups(s, Entries::Large, Compared::Whole)
    }),
    events("point-read-small-entries", "by random seq, entries of one event, cached", |s| {
        read::lookups(s, Entries::Small, Compared::Beginning)
    }),
    events("point-scan", "by random seq, large entries, a scan each", |s| read::points(s, Entries::Large)),
    events("point-scan-small-entries", "by random seq, entries of one event, a scan each", |s| {
        read::points(s, Entries::Small)
    }),
    events("tail", "append on one thread, follow on another, in memory", tail::throughput),
    Benchmark {
        name: "tail-latency",
        what: "from a durable append in memory to a sleeping follower",
        unit: Unit::Microseconds,
        run: tail::latency,
    },
    micros("tail-latency-durable", "the same on disk", tail::durable_latency),
    Benchmark {
        name: "verify",
        what: "all hashes, large entries",
        unit: Unit::MegabytesPerSecond,
        run: |s| verify::verify(s, Entries::Large),
    },
    Benchmark {
        name: "verify-small-entries",
        what: "all hashes, entries of one event",
        unit: Unit::MegabytesPerSecond,
        run: |s| verify::verify(s, Entries::Small),
    },
    Benchmark {
        name: "verify-producers",
        what: "all hashes, entries as 64 durable producers leave them",
        unit: Unit::MegabytesPerSecond,
        run: |s| verify::verify(s, Entries::Producers),
    },
    Benchmark {
        name: "reopen",
        what: "for writing, closed cleanly",
        unit: Unit::Milliseconds,
        run: reopen::clean,
    },
    Benchmark {
        name: "reopen-crashed",
        what: "for writing, as a crash leaves it",
        unit: Unit::Milliseconds,
        run: reopen::crashed,
    },
    milliseconds(
        "reopen-5m",
        "for writing by a new process, five times as many events, closed cleanly",
        |s| Ok(reopened::events(s, Left::Closed)?.time()),
    ),
    megabytes("reopen-5m-resident", "by how much that process has grown", |s| {
        Ok(reopened::events(s, Left::Closed)?.memory())
    }),
    megabytes("reopen-5m-peak", "by how much it had grown at most", |s| {
        Ok(reopened::events(s, Left::Closed)?.peak())
    }),
    milliseconds("reopen-crashed-5m", "the same, as a crash leaves it", |s| {
        Ok(reopened::events(s, Left::Crashed)?.time())
    }),
    megabytes("reopen-crashed-5m-resident", "by how much that process has grown", |s| {
        Ok(reopened::events(s, Left::Crashed)?.memory())
    }),
    megabytes("reopen-crashed-5m-peak", "by how much it had grown at most", |s| {
        Ok(reopened::events(s, Left::Crashed)?.peak())
    }),
    events("fold-create", "tasks in one burst, in memory, until the last is in the state", |s| {
        fold::create(s, false)
    }),
    events("fold-create-durable", "the same, on disk, durable", |s| fold::create(s, true)),
    events("fold-watched-1", "a quarter of that, in memory, until 1 watch saw the last", |s| {
        fold::create_watched(s, 1)
    }),
    events("fold-watched-1000", "the same, 1,000 watches", |s| fold::create_watched(s, 1000)),
    micros("fold-read-own-write", "a task in memory, created and in the state", fold::read_own_write),
    micros("fold-find-unique", "one of many tasks by id", fold::find_unique),
    micros("fold-ten-newest", "the ten newest of a status", fold::ten_newest),
    micros("fold-third", "a third of all tasks, by id", fold::a_third),
    micros("fold-count", "the tasks of a status", fold::count),
    micros(
        "fold-watch-latency",
        "from a durable write in memory to a watch, beside many tasks",
        fold::watch_latency,
    ),
    Benchmark {
        name: "fold-reopen",
        what: "tasks on disk, folded again by a new process",
        unit: Unit::Milliseconds,
        run: |s| Ok(reopened::tasks(s)?.time()),
    },
    Benchmark {
        name: "fold-resident",
        what: "by how much that process grows",
        unit: Unit::Megabytes,
        run: |s| Ok(reopened::tasks(s)?.memory()),
    },
    Benchmark {
        name: "blob-put",
        what: "a blob of 256 MiB, durable",
        unit: Unit::MegabytesPerSecond,
        run: blob::put_large,
    },
    Benchmark {
        name: "blob-get",
        what: "a blob of 256 MiB, verified, warm",
        unit: Unit::MegabytesPerSecond,
        run: blob::get_large,
    },
    blobs("blob-put-small", "100,000 blobs of 4 KiB, durable at the end", blob::put_small),
    blobs("blob-put-small-durable-64", "64 threads, 25,000 blobs of 4 KiB, each durable", |s| {
        blob::put_small_durable(s, 64)
    }),
    blobs("blob-get-small", "100,000 blobs of 4 KiB, verified, warm", blob::get_small),
    megabytes("blob-small-on-disk", "100,000 blobs of 4 KiB, which are 409.6 MB", blob::small_on_disk),
    micros("blob-pin", "a pin beside a million, durable", |s| blob::pin(s, true)),
    micros("blob-unpin", "the same, taken away", |s| blob::pin(s, false)),
    milliseconds("blob-mark", "a million chunks of pinned blobs, and nothing to remove", blob::mark),
];

/// Returns the benchmarks that are asked for by name; all of them without any.
///
/// # Errors
///
/// As [`chosen`].
pub fn select(names: &[String]) -> Result<Vec<Benchmark>> {
    Ok(chosen(names, &ALL, |known| known.name)?.into_iter().copied().collect())
}

/// Picks from a list what is asked for, in the list's order: a name picks what is called so, or else everything
/// whose name begins so. Without names everything is picked.
///
/// # Errors
///
/// When a name picks nothing.
pub fn chosen<'a, T>(names: &[String], list: &'a [T], name_of: fn(&T) -> &'static str) -> Result<Vec<&'a T>> {
    let picks = |name: &str, known: &T| {
        let is_whole = list.iter().any(|other| name_of(other) == name);
        if is_whole { name_of(known) == name } else { name_of(known).starts_with(name) }
    };
    if let Some(stray) = names.iter().find(|name| !list.iter().any(|known| picks(name, known))) {
        let known: Vec<_> = list.iter().map(name_of).collect();
        return Err(Failure::from(format!("no name begins with `{stray}`; there are {}", known.join(", "))));
    }
    Ok(list.iter().filter(|known| names.is_empty() || names.iter().any(|name| picks(name, known))).collect())
}

/// Runs benchmarks one after the other and records them.
///
/// # Errors
///
/// The first error of a run.
pub fn run(session: Session, benchmarks: &[Benchmark]) -> Result<()> {
    let mut table = Table::new(&["benchmark", "what", "median", "min .. max", "unit", "p50 us", "p99 us"]);
    for benchmark in benchmarks {
        eprintln!("{} ...", benchmark.name);
        let samples = (0..session.runs())
            .map(|_| (benchmark.run)(&session.setting))
            .collect::<Result<Vec<_>>>()
            .map_err(|failure| format!("{}: {failure}", benchmark.name))?;
        let [median, ends, p50, p99] = cells(&samples);
        eprintln!("    {median} {} ({ends})", benchmark.unit.as_str());
        let (name, what) = (benchmark.name.to_owned(), benchmark.what.to_owned());
        table.push(vec![name, what, median, ends, benchmark.unit.as_str().to_owned(), p50, p99]);
    }
    let (seconds, events) = (session.setting.duration.as_secs_f64(), session.setting.events);
    let notes = format!(
        "each of {seconds} s of load where the load has no end; payloads of {PAYLOAD_BYTES} B; logs to read of \
         {events} events"
    );
    session.end("the log alone", &notes, &table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_picked_whole_or_by_their_beginnings() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(select(&[]).unwrap().len(), ALL.len());
        assert_eq!(select(&["append-durable".to_owned()]).unwrap().len(), 6);
        assert_eq!(select(&["scan".to_owned()]).unwrap().len(), 1, "a whole name picks nothing else");
        assert!(select(&["nothing".to_owned()]).is_err());
    }
}
