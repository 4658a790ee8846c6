//! Following a log: history, then what comes.

use std::time::Duration;

use base::Position;

use crate::error::ReadError;
use crate::reader::Beyond;
use crate::scan::Mark;
use crate::{ChannelInfo, Chunk, Event, LogReader, LogView, Selection};

/// Bytes of events, as they are in memory, after which a batch is given out.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// A place in a log that moves over selected events. It reads from the log itself, so that it can be arbitrarily
/// far behind, and nothing is kept for it meanwhile.
#[derive(Debug)]
pub struct Tail {
    reader: LogReader,
    selection: Selection,
    /// Everything below was read.
    position: Position,
    scan: Option<(crate::Scan, Position)>,
    /// Where in the files that is.
    mark: Option<Mark>,
}

impl Tail {
    pub(crate) fn new(reader: LogReader, selection: Selection) -> Self {
        let position = Position(selection.indexes.from.unwrap_or(0));
        let selection = Selection { reverse: false, last: None, limit: None, ..selection };
        Self { reader, selection, position, scan: None, mark: None }
    }

    /// Returns the position up to which everything was given out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the next events, about 1 MiB of them at most; none when everything visible was given out. Does
    /// not wait, but reads files: keep it off asynchronous threads.
    ///
    /// # Errors
    ///
    /// As [`Scan::next_chunk`](crate::Scan::next_chunk). The tail stays where it is, so that the call can be
    /// repeated.
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
                // What was read before the fault is given out first; the next call meets the fault again.
                Err(error) => return if events.is_empty() { Err(error) } else { Ok(events) },
            }
        }
        Ok(events)
    }

    /// Returns the selected events of the next entry that has any; `None` when everything visible was given out.
    /// Does not wait, but reads files.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        self.next_chunk_below(Position(u64::MAX))
    }

    /// The same, of entries below a position.
    pub(crate) fn next_chunk_below(&mut self, bound: Position) -> Result<Option<Chunk>, ReadError> {
        if self.reader.is_gone() {
            self.scan = None;
            return Ok(None);
        }
        loop {
            if self.scan.is_none() && !self.begin(bound)? {
                return Ok(None);
            }
            let Some((scan, bound)) = &mut self.scan else { return Ok(None) };
            match scan.next_chunk() {
                Ok(Some(chunk)) => {
                    self.position = chunk.index().position_after();
                    return Ok(Some(chunk));
                }
                Ok(None) => {
                    self.position = *bound;
                    self.mark = scan.mark();
                    self.scan = None;
                }
                Err(error) => {
                    self.scan = None;
                    return Err(error);
                }
            }
        }
    }

    /// Begins to read what became visible; tells whether there is anything.
    fn begin(&mut self, bound: Position) -> Result<bool, ReadError> {
        let view = self.reader.view();
        let position = view.position().min(bound);
        if position <= self.position {
            return Ok(false);
        }
        if self.selection.skip_holes {
            self.position = self.position.max(view.begins());
        } else {
            self.check_kept(&view)?;
        }
        let mut selection = self.selection.clone();
        if self.position > Position(self.selection.indexes.from.unwrap_or(0)) {
            // The numbers have served to find the beginning; from here on the index tells.
            selection.indexes.from = Some(self.position.0);
        }
        self.scan = Some((view.at(position).scan(&selection)?.going_on_at(self.mark), position));
        Ok(true)
    }

    /// Fails when something was given up that the tail has not given out, and was told to begin with.
    fn check_kept(&self, view: &LogView) -> Result<(), ReadError> {
        let began = Position(self.selection.indexes.from.unwrap_or(0));
        if self.position > began || self.selection.indexes.from.is_some() {
            return view.check_kept(self.position);
        }
        let wanted = self.selection.seqs.from.unwrap_or(u64::MAX);
        match self.selection.only_channel().map(|name| view.channel(name)).transpose()?.flatten() {
            // What it had before it came here is another log's.
            Some(ChannelInfo { arrived_from, first_seq, .. })
                if wanted.max(arrived_from.as_ref().map_or(0, |arrived| arrived.first.0)) < first_seq.0 =>
            {
                view.check_kept(Position::ZERO)
            }
            _ => Ok(()),
        }
    }

    /// Tells whether more is there, as far as is known without reading.
    pub(crate) fn has_more(&self) -> bool {
        !self.reader.is_gone() && (self.scan.is_some() || self.reader.visible() > self.position)
    }

    /// Goes on where this tail stands, in the log that came back in place of the one that it followed.
    pub(crate) fn going_on_in(&self, reader: LogReader) -> Self {
        Self { reader, selection: self.selection.clone(), position: self.position, scan: None, mark: None }
    }

    /// Blocks until more may be there, the log is closed, or `limit` is over. Returns whether more is there.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        self.scan.is_some() || (self.reader.wait_beyond(self.position, limit) && !self.reader.is_gone())
    }

    /// Returns a future that is ready once more may be there, or the log is closed.
    pub fn changed(&self) -> Beyond {
        let position = if self.scan.is_some() { Position::ZERO } else { self.position };
        self.reader.beyond(position)
    }

    /// Tells whether everything was given out and the writer of this process has closed the log, or the log is not one of the
    /// node's any more.
    pub fn is_ended(&self) -> bool {
        self.reader.is_gone()
            || (self.scan.is_none() && self.reader.is_closed() && self.reader.visible() <= self.position)
    }
}

pub(crate) fn event_bytes(event: &Event) -> usize {
    let headers = event.headers.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>();
    let key = event.key.as_ref().map_or(0, String::len);
    size_of::<Event>() + event.payload.len() + event.kind.len() + key + headers + 40 * event.blobs.len()
}
