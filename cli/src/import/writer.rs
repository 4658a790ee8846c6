//! The appending half of an import.

use std::collections::{BTreeMap, VecDeque};

use netdb::base::{ChannelName, LogId, Seq};
use netdb::redex::{Ack, AppendRequest, Condition, Expect, Idempotency, Outcome, Store, Ticket};

use crate::exit::Failure;
use crate::limits::TICKETS_OUTSTANDING;
use crate::remote::Remote;
use records::Batch;

/// Where batches go.
#[derive(Clone, Copy)]
pub(crate) enum Sink<'a> {
    /// To the logs of the directory.
    Here(&'a Store),
    /// To the server that owns it.
    There(&'a Remote),
}

/// Appends batches, and waits for each to be durable a few batches later; through a server, for each by itself.
pub(crate) struct Writer<'a> {
    sink: Sink<'a>,
    /// The log of the batch before.
    log: Option<LogId>,
    id: &'a str,
    outstanding: VecDeque<(Ticket, u64)>,
    durable_records: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(sink: Sink<'a>, id: &'a str, records_before: u64) -> Self {
        Self { sink, log: None, id, outstanding: VecDeque::new(), durable_records: records_before }
    }

    /// Records known to be durable, those of earlier runs included.
    pub(crate) fn durable_records(&self) -> u64 {
        self.durable_records
    }

    /// Appends one batch atomically. It is durable only after [`settle`](Self::settle).
    ///
    /// A write that fails takes back what is staged by then, and no more. So each batch demands that those before it
    /// are still there: else it could be appended behind a gap, which nobody would fill, since the next run goes on
    /// behind the last batch.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let idempotency =
            Idempotency::Producer { id: self.id, number: batch.last_line, digest: Some(batch.digest) };
        let store = match self.sink {
            Sink::Here(store) => store,
            Sink::There(remote) => {
                batch.events.with_parts(|parts| {
                    let request = AppendRequest { parts, conditions: &[], idempotency };
                    remote.append(&request, Ack::Durable)
                })?;
                self.durable_records += batch.events.len() as u64;
                return Ok(());
            }
        };
        // The newest number tells how far all logs are, since nothing goes to another one before that is durable.
        let log = batch.events.channel().map(|channel| store.log_of(channel).reader().id());
        if std::mem::replace(&mut self.log, log) != log {
            self.settle(0)?;
        }
        let conditions = self.outstanding_are_there();
        let ticket = batch.events.with_parts(|parts| {
            store.submit(&AppendRequest { parts, conditions: &conditions, idempotency })
        })?;
        self.outstanding.push_back((ticket, batch.events.len() as u64));
        self.settle(TICKETS_OUTSTANDING)
    }

    /// Demands that the batches which are not known to be durable are in the log.
    fn outstanding_are_there(&self) -> Vec<Condition> {
        let mut next = BTreeMap::<&ChannelName, Seq>::new();
        for (ticket, _) in &self.outstanding {
            if let Some(Outcome::Appended { at }) = ticket.staged() {
                next.extend(at.ranges().iter().map(|range| (&range.channel, range.first.plus(range.count))));
            }
        }
        let condition = |(channel, next): (&ChannelName, _)| Condition {
            channel: channel.clone(),
            expect: Expect::Exact(next),
        };
        next.into_iter().map(condition).collect()
    }

    /// Waits until at most `count` batches are not durable. Behind a batch that failed, none counts.
    pub(super) fn settle(&mut self, count: usize) -> Result<(), Failure> {
        while self.outstanding.len() > count {
            let Some((ticket, records)) = self.outstanding.pop_front() else { break };
            if let Err(error) = ticket.wait(Ack::Durable).into_result() {
                self.outstanding.clear();
                return Err(error.into());
            }
            self.durable_records += records;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use netdb::base::{Doors, SeededRandom, SimulatedDisk, SystemClock};
    use netdb::redex::{FlusherMode, LogOptions, Store};

    use super::super::Mapping;
    use super::*;
    use records::Reader;

    #[test]
    fn nothing_is_appended_behind_a_batch_that_could_not_be_written() {
        let disk = SimulatedDisk::new();
        let random = Arc::new(SeededRandom::new(1));
        let doors = Doors { clock: Arc::new(SystemClock), random, disk: Arc::new(disk.clone()) };
        let mut options = LogOptions::default();
        options.flusher = FlusherMode::Manual;
        let store = Store::open("/node".as_ref(), &doors, &options).unwrap();
        let name = ChannelName::new("c").unwrap();

        let lines = "{\"type\":\"counted\",\"data\":{\"padding\":\"as long as it takes to need room\"}}\n";
        let input = lines.repeat(10_000);
        let mut reader = Reader::new(input.as_bytes(), Mapping::default(), Some(name.clone()));
        let mut batches = std::iter::from_fn(|| reader.next_batch().batch);
        let mut writer = Writer::new(Sink::Here(&store), "import", 0);
        for batch in batches.by_ref().take(4) {
            writer.append(&batch).unwrap();
        }
        disk.fill_up(Some(0));
        store.main().sync().unwrap_err();
        disk.fill_up(None);

        // There is room again before the import knows that there was none.
        assert!(writer.append(&batches.next().unwrap()).is_err());
        assert!(writer.settle(0).is_ok());
        assert_eq!(writer.durable_records(), 0);
        store.close().unwrap();
        assert!(store.main().reader().view().channel(&name).unwrap().is_none());
    }
}
