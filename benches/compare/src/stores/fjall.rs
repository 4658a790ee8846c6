//! fjall 3: a tree of sorted runs behind a journal. One writer at a time has the journal, its sync included.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use netdb_benches::Result;
use redex::Ack;

use super::{CACHE_BYTES, Store};

pub(super) struct Fjall {
    database: Database,
    events: Keyspace,
    ack: Ack,
}

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path, ack: Ack) -> Result<Self> {
        let database = Database::builder(dir).cache_size(CACHE_BYTES as u64).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        Ok(Self { database, events, ack })
    }

    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
        if let ([payload], Ack::Written) = (payloads, self.ack) {
            // It flushes its buffer to the operating system before it returns.
            return Ok(self.events.insert(first.to_be_bytes(), payload.as_slice())?);
        }
        let mode = if self.ack == Ack::Durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (number, payload) in (first..).zip(payloads) {
            batch.insert(&self.events, number.to_be_bytes(), payload.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        for item in self.events.iter() {
            let (key, payload) = item.into_inner()?;
            visit(u64::from_be_bytes(key.as_ref().try_into()?), &payload)?;
        }
        Ok(())
    }

    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>> {
        Ok(self.events.get(number.to_be_bytes())?)
    }

    fn settle(&self) -> Result<()> {
        self.events.rotate_memtable_and_wait()?;
        Ok(self.events.major_compact()?)
    }
}
