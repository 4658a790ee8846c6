//! redb 4: a copy-on-write tree in one file, with one writer at a time. A commit that is not durable stays in the
//! memory of the process, so that it has nothing that compares with an append that the operating system has.

use std::path::Path;
use std::sync::OnceLock;

use ::redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
};
use netdb_benches::Result;
use redex::Ack;

use super::{CACHE_BYTES, Store};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

pub(super) struct Redb {
    database: Database,
    /// What is read: the state when it was read first.
    snapshot: OnceLock<ReadOnlyTable<u64, &'static [u8]>>,
}

impl Redb {
    fn snapshot(&self) -> Result<&ReadOnlyTable<u64, &'static [u8]>> {
        if self.snapshot.get().is_none() {
            let table = self.database.begin_read()?.open_table(EVENTS)?;
            // Another thread may have been first; both have the same.
            let _ = self.snapshot.set(table);
        }
        Ok(self.snapshot.get().ok_or("no snapshot")?)
    }
}

impl Store for Redb {
    const NAME: &'static str = "redb";

    /// All its commits are durable.
    fn open(dir: &Path, _: Ack) -> Result<Self> {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(dir.join("events.redb"))?;
        Ok(Self { database, snapshot: OnceLock::new() })
    }

    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(EVENTS)?;
            for (number, payload) in (first..).zip(payloads) {
                table.insert(number, payload.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        for item in self.snapshot()?.iter()? {
            let (number, payload) = item?;
            visit(number.value(), payload.value())?;
        }
        Ok(())
    }

    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>> {
        Ok(self.snapshot()?.get(number)?.map(|payload| payload.value().to_vec()))
    }
}
