//! Import: NDJSON in, atomic appends out.
//!
//! A [`Reader`](records::Reader) turns lines into batches on a thread of its own; a [`Writer`] appends them and
//! waits, a few batches behind, until they are durable.

mod producer;
mod source;
mod writer;

use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub(crate) use producer::Producer;
pub(crate) use records::{BadLine, Mapping, Together};
pub(crate) use source::Source;
pub(crate) use writer::{Sink, Writer};

use netdb::base::ChannelName;
use records::{End, Reader, Step};

use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::limits::BATCHES_AHEAD;

/// How an import ended when nothing failed on our side.
pub(crate) enum Ended {
    /// The whole input is imported.
    Input,
    /// This line could not be; everything in front of it is imported.
    Bad { line: u64, reason: BadLine },
    /// The user interrupted it; the batches read until then are imported.
    Interrupted,
}

/// What the reading thread says to the appending thread. `None` comes from an interrupt and only wakes it.
type Message = Option<Step>;

/// The lines behind those that earlier runs imported.
pub(crate) struct Rest {
    reader: Reader<Box<dyn BufRead + Send>>,
    /// Records that earlier runs imported.
    pub(crate) records_before: u64,
}

impl Rest {
    /// Passes over the lines that `producer` has imported.
    ///
    /// Fails with a conflict when they are not the same lines.
    pub(crate) fn behind(
        producer: &Producer,
        source: Source,
        mapping: Mapping,
        channel: Option<ChannelName>,
        together: Option<Together>,
    ) -> Result<Self, Failure> {
        let Source { name, input, .. } = source;
        let mut reader = Reader::new(input, mapping, channel).apart(together);
        let skipped = reader
            .skip(producer.last_line())
            .map_err(|error| Failure::new(Code::Failed, format!("{name}: {error}")))?;
        producer.check(&skipped, &name)?;
        Ok(Self { reader, records_before: skipped.records })
    }

    /// Imports everything; what `writer` was given is durable when this returns without a failure.
    pub(crate) fn import(
        self,
        context: &Context,
        writer: &mut Writer<'_>,
        mut progress: impl FnMut(u64),
    ) -> Result<Ended, Failure> {
        let (sender, receiver) = sync_channel::<Message>(BATCHES_AHEAD);
        let sender = Arc::new(sender);
        let waker = Arc::downgrade(&sender);
        let _caught = context.interrupts.catch(move || {
            // A full queue needs no waking: who empties it looks for interrupts at each message.
            if let Some(sender) = waker.upgrade() {
                let _ = sender.try_send(None);
            }
        });
        let mut reader = self.reader;
        // Not joined after an interrupt: it may be waiting for standard input.
        std::thread::Builder::new()
            .name("import-reader".to_owned())
            .spawn(move || read_all(&mut reader, &sender))
            .map_err(|error| Failure::system(&error, "cannot start a thread"))?;
        let ended = append_all(context, &receiver, writer, &mut progress);
        let settled = writer.settle(0);
        let ended = ended?;
        settled.map(|()| ended)
    }
}

fn read_all(reader: &mut Reader<impl BufRead>, sender: &SyncSender<Message>) {
    loop {
        let step = reader.next_batch();
        let last = step.end.is_some();
        if sender.send(Some(step)).is_err() || last {
            return;
        }
    }
}

fn append_all(
    context: &Context,
    receiver: &Receiver<Message>,
    writer: &mut Writer<'_>,
    progress: &mut impl FnMut(u64),
) -> Result<Ended, Failure> {
    loop {
        if context.interrupts.raised() {
            return Ok(Ended::Interrupted);
        }
        let Ok(message) = receiver.recv() else {
            return Err(Failure::new(Code::Failed, "reading the input ended without a result: report this"));
        };
        let Some(Step { batch, end }) = message else { continue };
        if let Some(batch) = batch {
            writer.append(&batch)?;
            progress(writer.durable_records());
        }
        match end {
            None => {}
            Some(End::Input) => return Ok(Ended::Input),
            Some(End::Bad { line, reason }) => return Ok(Ended::Bad { line, reason }),
        }
    }
}

/// Reads one line as the import does, for the tests of its inverse.
#[cfg(test)]
pub(crate) fn parse_for_tests(line: &str, check: impl FnOnce(&netdb::redex::EventInput<'_>)) {
    let step = Reader::new(line.as_bytes(), Mapping::default(), None).next_batch();
    let batch = step.batch.expect("a record");
    batch.events.with_parts(|parts| check(&parts[0].events[0]));
}
