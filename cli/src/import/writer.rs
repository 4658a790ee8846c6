//! The appending half of an import.

use std::collections::VecDeque;

use netdb::base::LogId;
use netdb::redex::{Ack, AppendRequest, Idempotency, Store, Ticket};

use super::batch::Batch;
use crate::exit::Failure;
use crate::limits::TICKETS_OUTSTANDING;

/// Appends batches, and waits for each to be durable a few batches later.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    /// The log of the batch before.
    log: Option<LogId>,
    id: &'a str,
    outstanding: VecDeque<(Ticket, u64)>,
    durable_records: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a Store, id: &'a str, records_before: u64) -> Self {
        Self { store, log: None, id, outstanding: VecDeque::new(), durable_records: records_before }
    }

    /// Records known to be durable, those of earlier runs included.
    pub(crate) fn durable_records(&self) -> u64 {
        self.durable_records
    }

    /// Appends one batch atomically. It is durable only after [`settle`](Self::settle).
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        // The newest number tells how far all logs are, since nothing goes to another one before that is durable.
        let log = batch.events.channel().map(|channel| self.store.log_of(channel).reader().id());
        if std::mem::replace(&mut self.log, log) != log {
            self.settle(0)?;
        }
        let idempotency =
            Idempotency::Producer { id: self.id, number: batch.last_line, digest: Some(batch.digest) };
        let ticket = batch.events.with_parts(|parts| {
            self.store.submit(&AppendRequest { parts, idempotency, ..AppendRequest::default() })
        })?;
        self.outstanding.push_back((ticket, batch.events.len() as u64));
        self.settle(TICKETS_OUTSTANDING)
    }

    /// Waits until at most `count` batches are not durable.
    pub(super) fn settle(&mut self, count: usize) -> Result<(), Failure> {
        while self.outstanding.len() > count {
            let Some((ticket, records)) = self.outstanding.pop_front() else { break };
            ticket.wait(Ack::Durable).into_result()?;
            self.durable_records += records;
        }
        Ok(())
    }
}
