//! okaywal 0.3: a write-ahead log, unsigned and without reading back. Its one level is durable.

use std::io;
use std::path::Path;

use netdb_benches::Result;
use netdb_benches::harness::{Sample, contend};
use netdb_benches::payload::{Payloads, Runs};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

/// Commits entries of `batch` chunks from so many threads; a commit returns when the entry is synced.
pub(crate) fn durable(setting: &Setting, producers: usize, batch: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let log = open(scratch.path())?;
    let payloads = Payloads::default();
    let sample = contend(producers, setting.duration, |_, nth| {
        let mut entry = log.begin_entry()?;
        for payload in Runs::nth(batch, payloads.all(), nth) {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(batch as u64)
    })?;
    log.shutdown()?;
    Ok(sample)
}

fn open(dir: &Path) -> Result<WriteAheadLog> {
    Ok(Configuration::default_for(dir).open(KeepsNothing)?)
}

/// Lets segments be used again at once, which is the fastest that okaywal can be.
#[derive(Debug)]
struct KeepsNothing;

impl LogManager for KeepsNothing {
    fn recover(&mut self, _: &mut Entry<'_>) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}
