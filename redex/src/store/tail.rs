//! Following the logs of a node: history, then what comes, also in logs that are made later.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::{LogId, Position, Signal};

use super::StoreReader;
use crate::error::ReadError;
use crate::reader::Beyond;
use crate::tail::{BATCH_BYTES, event_bytes};
use crate::{Chunk, Event, LogReader, LogView, Selection, Tail};

/// A place in each log of a node that moves over selected events. It reads from the logs themselves, so that it can be
/// arbitrarily far behind, and nothing is kept for it meanwhile.
///
/// What a channel had in a log that it left is given out before what it has where it went. A log that is taken off the node,
/// since others hold it from now on, gives nothing more; when it comes back, the tail goes on where it stood in it.
#[derive(Debug)]
pub struct StoreTail {
    reader: StoreReader,
    selection: Selection,
    tails: Vec<LogTail>,
    /// How many logs had been added when they were taken up.
    added: usize,
    /// Which log is looked into next.
    turn: usize,
}

#[derive(Debug)]
struct LogTail {
    log: LogReader,
    tail: Tail,
    /// Whether what the log shows waits for another log.
    waits: bool,
}

impl StoreTail {
    pub(super) fn new(reader: StoreReader, selection: Selection) -> Self {
        let mut tail = Self { reader, selection, tails: Vec::new(), added: 0, turn: 0 };
        tail.take_up_logs();
        tail
    }

    fn take_up_logs(&mut self) {
        let added = self.reader.count();
        if added == self.added {
            return;
        }
        self.added = added;
        for log in self.reader.logs() {
            match self.tails.iter_mut().find(|known| known.log.id() == log.id()) {
                None => {
                    let tail = log.tail(self.selection.clone());
                    self.tails.push(LogTail { log, tail, waits: false });
                }
                Some(known) if known.log.is_closed() && !log.is_closed() => {
                    let tail = known.tail.going_on_in(log.clone());
                    *known = LogTail { log, tail, waits: false };
                }
                Some(_) => {}
            }
        }
    }

    /// Returns the position in each log up to which everything was given out.
    pub fn cut(&self) -> Vec<(LogId, Position)> {
        self.tails.iter().map(|known| (known.log.id(), known.tail.position())).collect()
    }

    /// Returns the next events, about 1 MiB of them at most; none when everything visible was given out. Does not
    /// wait, but reads files: keep it off asynchronous threads.
    ///
    /// # Errors
    ///
    /// As [`Tail::next_batch`]. The tail stays where it is, so that the call can be repeated.
    pub fn next_batch(&mut self) -> Result<Vec<Event>, ReadError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            match self.next_chunk() {
                Ok(Some(chunk)) => {
                    for event in chunk.events() {
                        let event = event.to_event();
                        bytes += event_bytes(&event);
                        events.push(event);
                    }
                }
                Ok(None) => break,
                Err(error) => return if events.is_empty() { Err(error) } else { Ok(events) },
            }
        }
        Ok(events)
    }

    /// Returns the selected events of the next entry that has any, of whatever log; `None` when everything visible was
    /// given out. Does not wait, but reads files.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        loop {
            self.take_up_logs();
            let mut moved_on = false;
            for nth in 0..self.tails.len() {
                let place = (self.turn + nth) % self.tails.len();
                let bound = self.bound(place);
                let known = &mut self.tails[place];
                known.waits = bound < known.log.visible();
                let before = known.tail.position();
                if let Some(chunk) = known.tail.next_chunk_below(bound)? {
                    self.turn = place + 1;
                    return Ok(Some(chunk));
                }
                moved_on |= self.tails[place].tail.position() > before;
            }
            // What one log came to may be what another waited for.
            if !moved_on || self.tails.len() == 1 {
                return Ok(None);
            }
        }
    }

    /// Returns up to where a log may be read: to the first channel that came from a log that was not read so far.
    fn bound(&self, place: usize) -> Position {
        let view = self.tails[place].log.view();
        let too_early = view.arrivals().filter(|(name, arrived, _)| {
            self.selection.wants(name) && self.is_behind(arrived.from.id, arrived.position)
        });
        let bound = too_early.map(|(_, _, index)| Position(index.0)).min();
        bound.unwrap_or(LogView::position(&view))
    }

    fn is_behind(&self, log: LogId, position: Position) -> bool {
        let known = self.tails.iter().find(|known| known.log.id() == log);
        known.is_some_and(|known| known.tail.position() < position)
    }

    /// Tells whether a log may have something to give out, as far as is known without looking.
    fn has_more(&self) -> bool {
        self.tails.iter().any(|known| !known.waits && known.tail.has_more())
    }

    /// Blocks until more may be there, all logs are closed, or `limit` is over. Returns whether more may be there.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let clock = self.reader.clock();
        let deadline = limit.map(|limit| clock.monotonic().saturating_add(limit));
        let signal = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&signal));
        let mut changed = self.changed();
        let mut context = Context::from_waker(&waker);
        while Pin::new(&mut changed).poll(&mut context).is_pending() {
            if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
                return false;
            }
            clock.wait(&signal, deadline);
        }
        self.has_more()
    }

    /// Returns a future that is ready once more may be there, or all logs are closed.
    pub fn changed(&self) -> StoreChanged {
        if self.has_more() {
            return StoreChanged { parts: Vec::new() };
        }
        // A closed log is always ready, and has nothing more to tell.
        let open = self.tails.iter().filter(|known| !known.log.is_closed() && !known.waits);
        let mut parts: Vec<Beyond> = open.map(|known| known.tail.changed()).collect();
        if !parts.is_empty() {
            parts.push(self.reader.more_than(self.added));
        }
        StoreChanged { parts }
    }

    /// Tells whether everything was given out and the writer of this process has closed the logs.
    pub fn is_ended(&self) -> bool {
        self.tails.iter().all(|known| known.tail.is_ended())
    }
}

/// See [`StoreTail::changed`].
///
/// *Cancel safety*: dropping it leaves nothing behind.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct StoreChanged {
    /// Ready when one of them is, or when there is none.
    parts: Vec<Beyond>,
}

impl Future for StoreChanged {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = self.parts.is_empty();
        for part in &mut self.parts {
            ready |= Pin::new(part).poll(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}
