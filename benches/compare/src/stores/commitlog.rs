//! commitlog 0.2: a log with checksums, written by one `write` for each call, and an index in mapped memory. It can
//! not be made durable: nothing in it syncs the events.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use ::commitlog::message::{MessageBuf, MessageSet};
use ::commitlog::{CommitLog as Log, LogOptions, ReadLimit};
use netdb_benches::payload::PAYLOAD_BYTES;
use netdb_benches::{Failure, Result};
use redex::Ack;

use super::Store;

/// Bytes of one call of a scan.
const SCAN_BYTES: usize = 1 << 20;
/// Bytes of a read that finds one event and not two.
const READ_BYTES: usize = PAYLOAD_BYTES * 3 / 2;

pub(super) struct CommitLog {
    log: Mutex<Log>,
}

impl CommitLog {
    fn lock(&self) -> Result<MutexGuard<'_, Log>> {
        Ok(self.log.lock().map_err(|_| "a thread has panicked with the log")?)
    }
}

impl Store for CommitLog {
    const NAME: &'static str = "commitlog";

    fn open(dir: &Path, ack: Ack) -> Result<Self> {
        if ack == Ack::Durable {
            return Err("commitlog can not be durable".into());
        }
        Ok(Self { log: Mutex::new(Log::new(LogOptions::new(dir))?) })
    }

    fn append(&self, first: u64, payloads: &[Vec<u8>]) -> Result<()> {
        let mut log = self.lock()?;
        let given = if let [payload] = payloads {
            log.append_msg(payload)?
        } else {
            log.append(&mut payloads.iter().collect::<MessageBuf>())?.first()
        };
        if given == first { Ok(()) } else { Err(format!("event {first} got the number {given}").into()) }
    }

    fn scan(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let log = self.lock()?;
        let mut next = 0;
        loop {
            let messages = read(&log, next, SCAN_BYTES)?;
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages.iter() {
                visit(message.offset(), message.payload())?;
                next = message.offset() + 1;
            }
        }
    }

    fn read(&self, number: u64) -> Result<Option<impl AsRef<[u8]>>> {
        let messages = read(&*self.lock()?, number, READ_BYTES)?;
        Ok(messages.iter().next().map(|message| message.payload().to_vec()))
    }
}

fn read(log: &Log, from: u64, bytes: usize) -> Result<MessageBuf> {
    log.read(from, ReadLimit::max_bytes(bytes)).map_err(|cause| Failure::from(format!("{cause:?}")))
}
