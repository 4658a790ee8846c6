//! SQLite with a write-ahead log: one connection behind a lock, since it has one writer at a time anyway. With
//! `synchronous` FULL a commit syncs the write-ahead log; with NORMAL it is written, and synced at checkpoints.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use netdb_benches::Result;
use redex::Ack;
use rusqlite::{Connection, OptionalExtension};

use super::{CACHE_BYTES, Store};

pub(super) struct Sqlite {
    connection: Mutex<Connection>,
}

impl Sqlite {
    fn lock(&self) -> Result<MutexGuard<'_, Connection>> {
        Ok(self.connection.lock().map_err(|_| "a thread has panicked with the connection")?)
    }
}

impl Store for Sqlite {
    const NAME: &'static str = "sqlite";

    fn open(dir: &Path, ack: Ack) -> Result<Self> {
        let connection = Connection::open(dir.join("events.sqlite"))?;
        let (level, number) = if ack == Ack::Durable { ("FULL", 2) } else { ("NORMAL", 1) };
        let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", level)?;
        let found: i64 = connection.query_row("pragma synchronous", [], |row| row.get(0))?;
        if mode != "wal" || found != number {
            return Err(format!("the journal is {mode}, synchronous is {found}").into());
        }
        connection.pragma_update(None, "cache_size", -i64::try_from(CACHE_BYTES / 1024)?)?;
        connection.execute(
            "create table if not exists events (number integer primary key, payload blob not null)",
            [],
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
        let mut connection = self.lock()?;
        if payloads.len() == 1 {
            // A statement alone is a transaction, too.
            return insert(&connection, first, payloads);
        }
        let transaction = connection.transaction()?;
        insert(&transaction, first, payloads)?;
        Ok(transaction.commit()?)
    }

    fn scan(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let connection = self.lock()?;
        let mut statement =
            connection.prepare_cached("select number, payload from events order by number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(u64::try_from(row.get::<_, i64>(0)?)?, row.get_ref(1)?.as_blob()?)?;
        }
        Ok(())
    }

    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>> {
        let connection = self.lock()?;
        let mut statement = connection.prepare_cached("select payload from events where number = ?")?;
        let found = statement.query_row([i64::try_from(number)?], |row| row.get::<_, Vec<u8>>(0));
        Ok(found.optional()?)
    }
}

fn insert(connection: &Connection, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
    let mut statement = connection.prepare_cached("insert into events (number, payload) values (?, ?)")?;
    for (number, payload) in (first..).zip(payloads) {
        statement.execute((i64::try_from(number)?, payload.as_slice()))?;
    }
    Ok(())
}
