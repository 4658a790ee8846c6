//! Reading selected events of several logs in one order.

use base::Timestamp;

use crate::error::ReadError;
use crate::{Chunk, LogView, Scan, ScanStatistics, Selection};

/// A reading of selected events of the logs of a node, up to a cut.
#[derive(Debug)]
pub struct StoreScan {
    /// The logs; in the order of reading, unless they are merged.
    scans: Vec<Head>,
    /// How many of them were read to their end, if they are read one after the other.
    read: usize,
    /// Whether the logs are merged by the time of recording. The parts of one channel need not be.
    merges: bool,
    reverse: bool,
    remaining: u64,
    /// What was read beforehand, in the reverse of the order that it is given out in.
    ready: Option<Vec<Chunk>>,
}

/// A log's scan, and its next chunk.
#[derive(Debug)]
struct Head {
    scan: Scan,
    next: Option<Chunk>,
    ended: bool,
}

impl Head {
    /// Returns when the next chunk was recorded; reads it first.
    fn time(&mut self) -> Result<Option<Timestamp>, ReadError> {
        if self.next.is_none() && !self.ended {
            self.next = self.scan.next_chunk()?;
            self.ended = self.next.is_none();
        }
        Ok(self.next.as_ref().map(Chunk::recorded_at))
    }
}

impl StoreScan {
    /// Begins to read the logs that have something selected; the parts of a channel come in their order.
    pub(super) fn new(views: &[&LogView], selection: &Selection) -> Result<Self, ReadError> {
        let newest_of_several = selection.last.filter(|_| views.len() > 1);
        let remaining = selection.limit.unwrap_or(u64::MAX);
        if let Some(last) = newest_of_several {
            let newest = Selection { last: None, limit: Some(last), reverse: true, ..selection.clone() };
            let mut scan = Self::new(views, &newest)?;
            let mut ready = Vec::new();
            while let Some(mut chunk) = scan.next_chunk()? {
                if !selection.reverse {
                    chunk.reverse();
                }
                ready.push(chunk);
            }
            if selection.reverse {
                ready.reverse();
            }
            return Ok(Self { ready: Some(ready), remaining, ..scan });
        }
        let mut scans = views
            .iter()
            .map(|view| Ok(Head { scan: view.scan(selection)?, next: None, ended: false }))
            .collect::<Result<Vec<_>, ReadError>>()?;
        let (reverse, merges) = (selection.reverse, selection.only_channel().is_none());
        if reverse && !merges {
            scans.reverse();
        }
        Ok(Self { scans, read: 0, merges, reverse, remaining, ready: None })
    }

    /// Returns what was read so far.
    pub fn statistics(&self) -> ScanStatistics {
        let mut sum = ScanStatistics::default();
        for part in self.scans.iter().map(|head| head.scan.statistics()) {
            sum.events += part.events;
            sum.entries += part.entries;
            sum.bytes += part.bytes;
            sum.segments += part.segments;
            sum.index_blocks += part.index_blocks;
        }
        sum
    }

    /// Returns the selected events of the next entry that has any; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Scan::next_chunk`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let next = match &mut self.ready {
            Some(ready) => ready.pop(),
            None if self.merges => self.take_earliest()?,
            None => self.take_next()?,
        };
        Ok(next.map(|mut chunk| {
            chunk.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            self.remaining -= chunk.len() as u64;
            chunk
        }))
    }

    /// Takes the next chunk of the log at hand, or of one behind it.
    fn take_next(&mut self) -> Result<Option<Chunk>, ReadError> {
        while let Some(head) = self.scans.get_mut(self.read) {
            if let Some(chunk) = head.scan.next_chunk()? {
                return Ok(Some(chunk));
            }
            self.read += 1;
        }
        Ok(None)
    }

    /// Takes the chunk that is the next in the order of recording.
    fn take_earliest(&mut self) -> Result<Option<Chunk>, ReadError> {
        let mut first: Option<(usize, Timestamp)> = None;
        for (place, head) in self.scans.iter_mut().enumerate() {
            let Some(time) = head.time()? else { continue };
            let comes_first = match first {
                None => true,
                Some((_, known)) if self.reverse => time >= known,
                Some((_, known)) => time < known,
            };
            if comes_first {
                first = Some((place, time));
            }
        }
        Ok(first.and_then(|(place, _)| self.scans[place].next.take()))
    }
}
