//! Opening a log again, for writing: behind a clean close, and as a crash leaves it.

use std::path::Path;
use std::time::Instant;

use base::Doors;
use redex::{Ack, LogOptions, Store};

use crate::Result;
use crate::append::channel;
use crate::harness::Sample;
use crate::payload::Payloads;
use crate::prepared::Entries;
use crate::scratch::{Scratch, copy_directory};
use crate::session::Setting;

/// Opens a cleanly closed log; gives milliseconds until it takes appends.
///
/// # Errors
///
/// What the log said.
pub fn clean(setting: &Setting) -> Result<Sample> {
    let log = setting.prepared.log(setting, Entries::Large)?;
    open(&log.dir)
}

/// Opens a copy that was taken of a log while it was open for writing, behind a durable append; gives
/// milliseconds until it takes appends.
///
/// # Errors
///
/// What the log said.
pub fn crashed(setting: &Setting) -> Result<Sample> {
    let log = setting.prepared.log(setting, Entries::Large)?;
    let original = Scratch::new(&setting.dir)?;
    let copy = Scratch::new(&setting.dir)?;
    copy_directory(&log.dir, original.path())?;
    let store = Store::open(original.path(), &Doors::system(), &LogOptions::default())?;
    let payloads = Payloads::default();
    store.main().append(&channel()?, &payloads.events())?.wait(Ack::Durable).into_result()?;
    copy_directory(original.path(), copy.path())?;
    store.close()?;
    open(copy.path())
}

fn open(dir: &Path) -> Result<Sample> {
    let begun = Instant::now();
    let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    store.close()?;
    Ok(Sample::of(milliseconds))
}
