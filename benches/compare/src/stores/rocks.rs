//! RocksDB 11 with its defaults, but for the cache and without compression: a tree of sorted runs behind a
//! write-ahead log, whose writers commit in groups. Each write is flushed to the operating system.

use std::path::Path;

use netdb_benches::Result;
use redex::Ack;
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use super::{CACHE_BYTES, Store};

pub(super) struct Rocks {
    database: DB,
    ack: Ack,
}

impl Store for Rocks {
    const NAME: &'static str = "rocksdb";

    fn open(dir: &Path, ack: Ack) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::None);
        options.set_block_based_table_factory(&table);
        Ok(Self { database: DB::open(&options, dir)?, ack })
    }

    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(self.ack == Ack::Durable);
        if let [payload] = payloads {
            return Ok(self.database.put_opt(first.to_be_bytes(), payload, &options)?);
        }
        let mut batch = WriteBatch::default();
        for (number, payload) in (first..).zip(payloads) {
            batch.put(number.to_be_bytes(), payload);
        }
        Ok(self.database.write_opt(batch, &options)?)
    }

    fn scan(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        // The plain iterator would copy each key and value.
        let mut items = self.database.raw_iterator();
        items.seek_to_first();
        while let Some((key, payload)) = items.item() {
            visit(u64::from_be_bytes(key.try_into()?), payload)?;
            items.next();
        }
        Ok(items.status()?)
    }

    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>> {
        Ok(self.database.get(number.to_be_bytes())?)
    }

    fn settle(&self) -> Result<()> {
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }
}
