//! Logs that are read: made once a session, closed cleanly, warm in the page cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use base::Doors;
use redex::{Ack, LogOptions, Store};

use crate::append::{channel, stage};
use crate::payload::{Payloads, Runs};
use crate::scratch::{Scratch, link_log, sync_directory};
use crate::session::Setting;
use crate::{Failure, Result};

/// How many times fewer events the log of small entries has.
const SMALL_SHARE: u64 = 10;

/// How many times more events the logs have that are opened again by a process of their own.
pub const MANY_TIMES: u64 = 5;

/// Threads that write the log of [`Entries::Producers`].
const PRODUCERS: u64 = 64;

/// How a log's events are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Staged in groups, as an import makes them.
    Large,
    /// One event each, as one producer that waits for each append makes them.
    Small,
    /// Some tens of events each, as many producers make them that wait for each durable append.
    Producers,
}

/// How a log was left that is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// By closing it.
    Closed,
    /// As a crash leaves it, behind a durable append.
    Crashed,
}

/// The logs of a session.
#[derive(Debug, Default)]
pub struct Prepared {
    large: OnceLock<std::result::Result<Made, String>>,
    small: OnceLock<std::result::Result<Made, String>>,
    producers: OnceLock<std::result::Result<Made, String>>,
    closed: OnceLock<std::result::Result<Made, String>>,
    crashed: OnceLock<std::result::Result<Made, String>>,
    others: Mutex<BTreeMap<&'static str, Scratch>>,
}

#[derive(Debug)]
struct Made {
    scratch: Scratch,
    events: u64,
}

/// A log that is there.
#[derive(Debug, Clone)]
pub struct PreparedLog {
    /// The node's directory.
    pub dir: PathBuf,
    /// Events in its one channel.
    pub events: u64,
}

impl Prepared {
    /// Returns a log, which is made when it is asked for the first time.
    ///
    /// # Errors
    ///
    /// What kept it from being made.
    pub fn log(&self, setting: &Setting, entries: Entries) -> Result<PreparedLog> {
        let place = match entries {
            Entries::Large => &self.large,
            Entries::Small => &self.small,
            Entries::Producers => &self.producers,
        };
        prepared(place, || make(setting, entries))
    }

    /// Returns a log of [`MANY_TIMES`] as many events in large entries, which is made when it is asked for the
    /// first time. Whoever opens it for writing takes a copy.
    ///
    /// # Errors
    ///
    /// What kept it from being made.
    pub fn many(&self, setting: &Setting, left: Left) -> Result<PreparedLog> {
        match left {
            Left::Closed => prepared(&self.closed, || make_large(setting, setting.events * MANY_TIMES)),
            Left::Crashed => {
                let closed = self.many(setting, Left::Closed)?;
                prepared(&self.crashed, || crash(setting, &closed))
            }
        }
    }

    /// Returns a directory of somebody else's under a name, which is filled and synced when it is asked for the first
    /// time.
    ///
    /// # Errors
    ///
    /// What kept it from being filled.
    ///
    /// # Panics
    ///
    /// When filling one has panicked.
    pub fn other(
        &self,
        setting: &Setting,
        name: &'static str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut others = self.others.lock().expect("filling a directory has panicked");
        if let Some(filled) = others.get(name) {
            return Ok(filled.path().to_owned());
        }
        let scratch = Scratch::new(&setting.dir)?;
        fill(scratch.path())?;
        sync_directory(scratch.path())?;
        Ok(others.entry(name).or_insert(scratch).path().to_owned())
    }
}

fn prepared(
    place: &OnceLock<std::result::Result<Made, String>>,
    make: impl FnOnce() -> Result<Made>,
) -> Result<PreparedLog> {
    match place.get_or_init(|| make().map_err(|failure| failure.to_string())) {
        Ok(made) => Ok(PreparedLog { dir: made.scratch.path().to_owned(), events: made.events }),
        Err(text) => Err(Failure::from(text.clone())),
    }
}

fn make(setting: &Setting, entries: Entries) -> Result<Made> {
    match entries {
        Entries::Large => make_large(setting, setting.events),
        Entries::Small => make_small(setting, setting.events / SMALL_SHARE),
        Entries::Producers => make_by_producers(setting, setting.events),
    }
}

fn make_large(setting: &Setting, events: u64) -> Result<Made> {
    let (scratch, store) = begin(setting)?;
    let payloads = Payloads::default();
    let (ring, channel) = (payloads.events(), channel()?);
    let mut runs = Runs::of(1);
    let mut done = 0;
    while done < events {
        done += stage(store.main(), &channel, &ring, &mut runs)?;
    }
    store.close()?;
    Ok(Made { scratch, events: done })
}

fn make_small(setting: &Setting, events: u64) -> Result<Made> {
    let (scratch, store) = begin(setting)?;
    let payloads = Payloads::default();
    let (ring, channel) = (payloads.events(), channel()?);
    for nth in 0..events {
        store.main().append(&channel, Runs::nth(1, &ring, nth))?.wait(Ack::Written).into_result()?;
    }
    store.close()?;
    Ok(Made { scratch, events })
}

fn make_by_producers(setting: &Setting, events: u64) -> Result<Made> {
    let (scratch, store) = begin(setting)?;
    let payloads = Payloads::default();
    let (ring, channel) = (payloads.events(), channel()?);
    let each = events.div_ceil(PRODUCERS);
    let produce = || -> Result<()> {
        for nth in 0..each {
            store.main().append(&channel, Runs::nth(1, &ring, nth))?.wait(Ack::Durable).into_result()?;
        }
        Ok(())
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(produce)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a producer panicked")).collect()
    });
    ended.into_iter().collect::<Result<()>>()?;
    store.close()?;
    Ok(Made { scratch, events: each * PRODUCERS })
}

/// Copies a log, opens the copy and appends durably, and copies that while it is open.
fn crash(setting: &Setting, closed: &PreparedLog) -> Result<Made> {
    let (original, copy) = (Scratch::new(&setting.dir)?, Scratch::new(&setting.dir)?);
    link_log(&closed.dir, original.path())?;
    let store = Store::open(original.path(), &Doors::system(), &LogOptions::default())?;
    let payloads = Payloads::default();
    let ring = payloads.events();
    store.main().append(&channel()?, &ring)?.wait(Ack::Durable).into_result()?;
    link_log(original.path(), copy.path())?;
    store.close()?;
    Ok(Made { scratch: copy, events: closed.events + ring.len() as u64 })
}

fn begin(setting: &Setting) -> Result<(Scratch, Store)> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    Ok((scratch, store))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn setting() -> Setting {
        let duration = Duration::from_millis(1);
        Setting { dir: std::env::temp_dir(), duration, events: 1024, prepared: Prepared::default() }
    }

    fn held(log: &PreparedLog) -> u64 {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        link_log(&log.dir, scratch.path()).unwrap();
        let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default()).unwrap();
        let channel = store.main().reader().view().channel(&channel().unwrap()).unwrap();
        store.close().unwrap();
        channel.unwrap().next_seq.0
    }

    #[test]
    fn logs_hold_what_they_say() {
        let setting = setting();
        for entries in [Entries::Large, Entries::Small, Entries::Producers] {
            let log = setting.prepared.log(&setting, entries).unwrap();
            assert_eq!(held(&log), log.events, "{entries:?}");
        }
        let closed = setting.prepared.many(&setting, Left::Closed).unwrap();
        let crashed = setting.prepared.many(&setting, Left::Crashed).unwrap();
        assert_eq!((held(&closed), held(&crashed)), (5 * 1024, 6 * 1024));
        assert_eq!((closed.events, crashed.events), (5 * 1024, 6 * 1024));
    }

    #[test]
    fn a_directory_is_filled_once() {
        let setting = setting();
        let fill = |dir: &Path| Ok(std::fs::write(dir.join("file"), "text")?);
        let dir = setting.prepared.other(&setting, "name", fill).unwrap();
        let again = setting.prepared.other(&setting, "name", |_| Err("filled twice".into())).unwrap();
        assert!(dir == again && dir.join("file").exists());
    }
}
