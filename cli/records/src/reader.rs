//! The reading half of an import: lines in, batches out.

use std::io::BufRead;

use base::{ChannelName, ChannelNameError, Hash};

use super::batch::{Batch, Events};
use super::lines::{LineError, Lines};
use super::mapping::Mapping;
use super::record::{Record, RecordError};
use crate::limits::{BATCH_BYTES, BATCH_LINES};

/// Turns lines into batches.
pub struct Reader<R> {
    lines: Lines<R>,
    hasher: blake3::Hasher,
    mapping: Mapping,
    channels: Channels,
    /// Tells whether two channels live in one log: a batch is for one. Absent where all do.
    together: Option<Together>,
    /// A line that was read and belongs to the next batch.
    held: Option<Vec<u8>>,
}

/// Tells whether two channels live in one log.
pub type Together = Box<dyn Fn(&ChannelName, &ChannelName) -> bool + Send>;

/// What a line gave.
enum Line {
    Read,
    /// Its channel lives in another log than those of the batch.
    Apart,
    InputOver,
}

/// What reading on gave.
pub struct Step {
    /// The events read; `None` when there were none.
    pub batch: Option<Batch>,
    /// Why there is nothing behind them; `None` when there may be more.
    pub end: Option<End>,
}

/// Why there is nothing behind a batch.
#[derive(Debug)]
pub enum End {
    /// The input is over.
    Input,
    /// This line cannot be imported.
    Bad {
        /// Its number, counted from 1.
        line: u64,
        /// Why.
        reason: BadLine,
    },
}

/// Why a line cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// It could not be read.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It is no event.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The lines that an earlier run imported, as this input has them.
pub struct Skipped {
    /// Lines found, fewer than asked for when the input is shorter.
    pub lines: u64,
    /// Those of them that are records.
    pub records: u64,
    /// The BLAKE3 of them all.
    pub digest: Hash,
}

impl<R: BufRead> Reader<R> {
    /// Reads an input from its beginning; `channel` is that of records that name none.
    pub fn new(input: R, mapping: Mapping, channel: Option<ChannelName>) -> Self {
        let channels = Channels { default: channel, last: None };
        let (lines, hasher) = (Lines::new(input), blake3::Hasher::new());
        Self { lines, hasher, mapping, channels, together: None, held: None }
    }

    /// Ends a batch where the next record's channel lives in another log.
    pub fn apart(self, together: Option<Together>) -> Self {
        Self { together, ..self }
    }

    /// Reads the first `count` lines without looking into them.
    pub fn skip(&mut self, count: u64) -> Result<Skipped, LineError> {
        let mut records = 0;
        let mut text = Vec::new();
        while self.lines.count() < count {
            let start = text.len();
            if !self.lines.read(&mut text)? {
                break;
            }
            records += u64::from(!is_blank(&text[start..]));
            if text.len() >= BATCH_BYTES {
                self.hasher.update(&text);
                text.clear();
            }
        }
        self.hasher.update(&text);
        Ok(Skipped { lines: self.lines.count(), records, digest: self.hasher.finalize().into() })
    }

    /// Reads the next batch. Blank lines count but are no records.
    pub fn next_batch(&mut self) -> Step {
        let mut events = Events::default();
        let mut text = Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8);
        let mut lines = 0;
        let end = loop {
            if lines == BATCH_LINES || text.len() >= BATCH_BYTES {
                break None;
            }
            let start = text.len();
            match self.read_line(&mut text, &mut events) {
                Ok(Line::Read) => lines += 1,
                Ok(Line::Apart) => {
                    self.held = Some(text.split_off(start));
                    break None;
                }
                Ok(Line::InputOver) => break Some(End::Input),
                Err(reason) => {
                    text.truncate(start);
                    break Some(End::Bad { line: self.lines.count(), reason });
                }
            }
        };
        self.hasher.update(&text);
        let beyond = matches!(end, Some(End::Bad { .. })) || self.held.is_some();
        let last_line = self.lines.count() - u64::from(beyond);
        let batch = Batch { events, last_line, digest: self.hasher.finalize().into() };
        Step { batch: (batch.events.len() > 0).then_some(batch), end }
    }

    fn read_line(&mut self, text: &mut Vec<u8>, events: &mut Events) -> Result<Line, BadLine> {
        let start = text.len();
        match self.held.take() {
            Some(line) => text.extend(line),
            None if self.lines.read(text)? => {}
            None => return Ok(Line::InputOver),
        }
        let line = &text[start..text.len() - 1];
        if !is_blank(line) {
            let record = Record::parse(line, &self.mapping)?;
            let channel = self.channels.resolve(record.channel.as_deref())?;
            if let (Some(together), Some(last)) = (&self.together, events.last_channel())
                && last != channel
                && !together(last, channel)
            {
                return Ok(Line::Apart);
            }
            events.push(channel, &record);
        }
        Ok(Line::Read)
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The channel for lines that name none, and the one that was named last.
struct Channels {
    default: Option<ChannelName>,
    last: Option<ChannelName>,
}

impl Channels {
    fn resolve(&mut self, named: Option<&str>) -> Result<&ChannelName, RecordError> {
        let Some(named) = named else {
            return self.default.as_ref().ok_or(RecordError::NoChannel);
        };
        if self.last.as_ref().is_none_or(|last| last.as_str() != named) {
            self.last = Some(checked(named)?);
        }
        self.last.as_ref().ok_or(RecordError::NoChannel)
    }
}

fn checked(name: &str) -> Result<ChannelName, RecordError> {
    let channel: Result<ChannelName, ChannelNameError> = name.parse();
    match channel {
        Ok(channel) if channel.is_system() => Err(RecordError::SystemChannel(name.to_owned())),
        Ok(channel) => Ok(channel),
        Err(error) => Err(RecordError::Channel(error)),
    }
}

#[cfg(test)]
mod tests;
