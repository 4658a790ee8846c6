//! Logs that are read: made once a session, closed cleanly, warm in the page cache.

use std::path::PathBuf;
use std::sync::OnceLock;

use base::Doors;
use redex::{Ack, LogOptions, Store};

use crate::append::{channel, stage};
use crate::payload::{Payloads, Runs};
use crate::scratch::Scratch;
use crate::session::Setting;
use crate::{Failure, Result};

/// How many times fewer events the log of small entries has.
const SMALL_SHARE: u64 = 10;

/// How a log's events are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    /// Staged in groups, as an import makes them.
    Large,
    /// One event each, as one producer that waits for each append makes them.
    Small,
}

/// The logs of a session.
#[derive(Debug, Default)]
pub struct Prepared {
    large: OnceLock<std::result::Result<Made, String>>,
    small: OnceLock<std::result::Result<Made, String>>,
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
        };
        match place.get_or_init(|| make(setting, entries).map_err(|failure| failure.to_string())) {
            Ok(made) => Ok(PreparedLog { dir: made.scratch.path().to_owned(), events: made.events }),
            Err(text) => Err(Failure::from(text.clone())),
        }
    }
}

fn make(setting: &Setting, entries: Entries) -> Result<Made> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    let payloads = Payloads::default();
    let events = payloads.events();
    let channel = channel()?;
    let mut runs = Runs::of(1);
    let mut done = 0;
    match entries {
        Entries::Large => {
            while done < setting.events {
                done += stage(store.main(), &channel, &events, &mut runs)?;
            }
        }
        Entries::Small => {
            while done < setting.events / SMALL_SHARE {
                store.main().append(&channel, runs.next(&events))?.wait(Ack::Written).into_result()?;
                done += 1;
            }
        }
    }
    store.close()?;
    Ok(Made { scratch, events: done })
}
