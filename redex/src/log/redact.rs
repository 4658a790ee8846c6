//! Redaction: events of an erasable channel are taken out of the log, and everything else stays as it is.
//!
//! What is to be written over them is prepared in a file of its own; then the redaction goes on record, and once that is
//! durable, the file is due and is carried out in place. A crash leaves nothing of a redaction, or all of it at the next
//! opening.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::PoisonError;

use base::{ChannelName, Index, Position, Seq};

use super::progress::Need;
use super::{Log, Shared};
use crate::codec::block::BlockItem;
use crate::codec::control::RedactionRecord;
use crate::codec::erasable::{Hashed, Salted};
use crate::codec::frame::{self, HEADER_BYTES, Place};
use crate::codec::redo::{Patch, Redo};
use crate::codec::{Cursor, Malformed, entry};
use crate::error::{AppendError, Corruption, ReadError, RedactError};
use crate::limits::{REASON_BYTES_MAX, REDACTION_BYTES_MAX, REDACTION_EVENTS_MAX};
use crate::outcome::{Ack, Outcome};
use crate::redaction::{self, Ranges};
use crate::segments::{Segment, Segments};
use crate::{Selection, Ticket};

/// Bytes that are alike in old and new and are written over all the same, to have fewer writes.
const GAP_BYTES: usize = 32;

/// What a redaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redaction {
    /// The entry that has it on record; `None` when all of the events were redacted already.
    pub index: Option<Index>,
    /// Events that were taken out; those that were redacted before do not count.
    pub events: u64,
}

impl Log {
    /// Takes events out of an erasable channel: payload, kind, key, headers, time and references go, from the disk,
    /// too; their places and the commitments to them stay, and with those every hash, link and signature. That it was
    /// done, and the reason given, goes on record and is signed. A hold does not keep an event from it. Repeating it
    /// changes nothing.
    ///
    /// What was read or copied out before is elsewhere: exports, backups, what a file system keeps of overwritten
    /// bytes, and damaged stretches in `quarantine/`.
    ///
    /// *Durability*: on disk once this returns. A crash meanwhile leaves either nothing of it, or a redaction that the
    /// next opening finishes.
    ///
    /// # Errors
    ///
    /// [`RedactError`]: with [`Unfinished`](RedactError::Unfinished) the redaction is on record, readers see no content
    /// any more, and reopening finishes it; with any other nothing was taken out.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
    /// let people = base::ChannelName::new("people")?;
    /// let log = store.main();
    /// log.create_channel(&people, &redex::ChannelConfig::of_erasable())?.wait(redex::Ack::Durable);
    /// log.append(&people, &[redex::EventInput::new("person.joined", b"Ada")])?.wait(redex::Ack::Durable);
    /// assert_eq!(log.redact(&people, 0..1, "asked for")?.events, 1);
    /// let event = log.reader().view().read(&redex::Selection::channel(&people))?.next().unwrap()?;
    /// assert!(event.is_redacted() && event.payload.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact(
        &self,
        channel: &ChannelName,
        seqs: impl IntoIterator<Item = u64>,
        reason: &str,
    ) -> Result<Redaction, RedactError> {
        let ranges = ranges_of(channel, seqs)?;
        limit("reason", reason.len(), REASON_BYTES_MAX)?;
        // One at a time, and none while the log is closed.
        let _turn = self.shared.redaction.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync()?;
        self.forget_earlier()?;
        let hold = self.hold("redaction", self.reader.view().begins())?;
        let record = RedactionRecord { channel: channel.clone(), reason: reason.into(), ranges };
        let (patches, events) = self.patches(&record)?;
        if events == 0 {
            return Ok(Redaction { index: None, events });
        }
        let segments = &self.reader.shared.segments;
        let number = self.shared.stage().state.redactions + 1;
        let redo = Redo { log: segments.log, number, record, patches };
        redaction::prepare(&*segments.disk, &segments.dir, &redo)
            .map_err(|source| ReadError::Io { path: segments.dir.clone(), source })?;
        let index = self.record(&redo)?;
        drop(hold);
        segments.redact(&redo.record);
        let finished = redaction::make_due(&*segments.disk, &segments.dir)
            .and_then(|()| redaction::finish(&*segments.disk, &segments.dir, &redo));
        segments.cache.forget_read();
        tracing::info!(%channel, events, %index, "events redacted");
        match finished {
            Ok(()) => Ok(Redaction { index: Some(index), events }),
            Err(cause) => {
                // A failed sync may have taken entries of the same file along.
                self.shared.give_up(format!("a redaction that could not be carried out ({cause})"));
                Err(RedactError::Unfinished { cause: cause.to_string() })
            }
        }
    }

    /// Lets go of what was prepared for a redaction that did not go on record.
    fn forget_earlier(&self) -> Result<(), RedactError> {
        let segments = &self.reader.shared.segments;
        redaction::drop_prepared(&*segments.disk, &segments.dir)
            .map_err(|source| ReadError::Io { path: segments.dir.clone(), source }.into())
    }

    /// Puts a prepared redaction on record; what is not goes again.
    fn record(&self, redo: &Redo) -> Result<Index, RedactError> {
        let shared = &self.shared;
        let record = redo.record.clone();
        let outcome = shared.stage_redaction(record).map(|ticket| ticket.wait(Ack::Durable));
        let error = match outcome {
            Ok(Outcome::Appended { at } | Outcome::AlreadyAppended { at }) => return Ok(at.index),
            Ok(Outcome::Rejected { reason, position }) => AppendError::Rejected { reason, position },
            // It may be on record: the next opening finds out.
            Ok(Outcome::Unknown { cause }) => return Err(AppendError::Unknown { cause }.into()),
            Err(error) => error,
        };
        let segments = &self.reader.shared.segments;
        if let Err(cause) = redaction::drop_prepared(&*segments.disk, &segments.dir) {
            tracing::warn!(%cause, "a redaction that is not on record stays prepared until the next one");
        }
        Err(error.into())
    }

    /// Returns what is to be written over the events of a redaction, and how many have content.
    fn patches(&self, record: &RedactionRecord) -> Result<(Vec<Patch>, u64), RedactError> {
        let channel = &record.channel;
        let view = self.reader.view();
        let info =
            view.channel(channel)?.ok_or_else(|| RedactError::NoChannel { channel: channel.clone() })?;
        if !info.config.erasable {
            return Err(RedactError::NotErasable { channel: channel.clone() });
        }
        let not_there = |seq: u64| RedactError::NotThere {
            channel: channel.clone(),
            seq: Seq(seq),
            first: info.first_seq,
            next: info.next_seq,
        };
        let (mut places, mut events) = (BTreeMap::new(), 0);
        for range in &record.ranges {
            if range.start < info.first_seq.0 || range.end > info.next_seq.0 {
                let is_given_up = range.start < info.first_seq.0;
                return Err(not_there(if is_given_up {
                    range.start
                } else {
                    range.start.max(info.next_seq.0)
                }));
            }
            let mut selection = Selection { skip_holes: true, ..Selection::channel(channel) };
            (selection.seqs.from, selection.seqs.to) = (Some(range.start), Some(range.end));
            let mut scan = view.scan(&selection)?;
            let mut next = range.start;
            while let Some(chunk) = scan.next_chunk()? {
                for event in chunk.events() {
                    if event.seq.0 != next {
                        return Err(not_there(next));
                    }
                    next += 1;
                    events += u64::from(!event.is_redacted());
                }
                places.insert(chunk.place, chunk.index());
            }
            if next < range.end {
                return Err(not_there(next));
            }
        }
        let (mut patches, mut bytes) = (Vec::new(), 0);
        for (place, index) in places {
            let patched = patches_of(&self.reader.shared.segments, place, index, record)?;
            bytes += patched.iter().map(|patch| patch.bytes.len()).sum::<usize>();
            limit("what is to be overwritten, in bytes,", bytes, REDACTION_BYTES_MAX)?;
            patches.extend(patched);
        }
        Ok((patches, events))
    }
}

impl Shared {
    fn stage_redaction(self: &std::sync::Arc<Self>, record: RedactionRecord) -> Result<Ticket, AppendError> {
        let mut stage = self.stage_with_room(crate::request::redaction_bytes(&record));
        stage.check_open()?;
        let staged = stage.redact(record, || self.now());
        let need = Need { epoch: stage.epoch, position: staged.relies_on };
        drop(stage);
        self.arm();
        Ok(Ticket::new(std::sync::Arc::clone(self), need, staged.outcome))
    }
}

fn limit(what: &'static str, count: usize, max: usize) -> Result<(), RedactError> {
    if count > max { Err(RedactError::TooLarge { what, count, max }) } else { Ok(()) }
}

fn ranges_of(
    channel: &ChannelName,
    seqs: impl IntoIterator<Item = u64>,
) -> Result<Vec<Range<u64>>, RedactError> {
    let mut ranges = Ranges::default();
    for (count, seq) in seqs.into_iter().enumerate() {
        limit("the number of events", count + 1, REDACTION_EVENTS_MAX)?;
        let end = seq.checked_add(1).ok_or(RedactError::NotThere {
            channel: channel.clone(),
            seq: Seq(seq),
            first: Seq::ZERO,
            next: Seq(seq),
        })?;
        ranges.add(seq..end);
    }
    let ranges: Vec<_> = ranges.iter().collect();
    if ranges.is_empty() {
        return Err(RedactError::Empty { channel: channel.clone() });
    }
    Ok(ranges)
}

/// Returns what is to be written over the events of one entry.
fn patches_of(
    segments: &Segments,
    (number, offset): (u64, u64),
    index: Index,
    record: &RedactionRecord,
) -> Result<Vec<Patch>, ReadError> {
    let all = segments.all();
    let Some(segment) = all.iter().find(|segment| segment.number == number) else {
        return Err(ReadError::Trimmed { first: Position(index.0).max(segments.forgotten()) });
    };
    let corrupt = |malformed: Malformed| {
        ReadError::Corrupt(Corruption {
            file: segment.path.clone(),
            offset,
            expected: "an entry with erasable events".to_owned(),
            found: format!("a wrong {malformed}"),
        })
    };
    let place = Place { log: segments.log, segment: number, offset };
    let frame = read_frame(segments, segment, place, &corrupt)?;
    let replaced = redacted_frame(segments, &frame, place, record).map_err(corrupt)?;
    let runs = differing(&frame, &replaced).into_iter();
    let patch = |run: Range<usize>| Patch {
        segment: number,
        first_index: segment.first_index,
        offset: offset + run.start as u64,
        bytes: replaced[run].to_vec(),
    };
    Ok(runs.map(patch).collect())
}

fn read_frame(
    segments: &Segments,
    segment: &Segment,
    place: Place,
    corrupt: &impl Fn(Malformed) -> ReadError,
) -> Result<Vec<u8>, ReadError> {
    let head = segments.load_part(segment, place.offset, HEADER_BYTES as u64)?;
    let header = frame::decode_header(&head.bytes, place).map_err(corrupt)?;
    let frame = segments.load_part(segment, place.offset, header.frame_bytes() as u64)?;
    frame::check_body(&frame.bytes, &header).map_err(corrupt)?;
    Ok(frame.bytes)
}

/// Returns a frame as it is without the content of some events: as long, and with the same hashes.
fn redacted_frame(
    segments: &Segments,
    frame: &[u8],
    place: Place,
    record: &RedactionRecord,
) -> Result<Vec<u8>, Malformed> {
    let header = frame::decode_header(frame, place)?;
    let stored = frame::check_body(frame, &header)?;
    let mut body = frame::unpacked(stored, &header)?.into_owned();
    let parts = entry::decode(&body)?;
    let mut at = parts.blocks_at;
    for item in parts.head.blocks {
        let block = at..at + item.bytes;
        at = block.end;
        if item.channel == record.channel && item.erasable {
            redact_block(segments, &mut body[block], &item, &record.ranges)?;
        }
    }
    frame::with_body(frame, &header, &body).ok_or(Malformed::new("compression"))
}

fn redact_block(
    segments: &Segments,
    block: &mut [u8],
    item: &BlockItem,
    ranges: &[Range<u64>],
) -> Result<(), Malformed> {
    let hasher = &segments.hasher;
    // What does not have the hash that was signed is damage, and not made to look right.
    if Hashed::of(item, block).hash(hasher)? != item.hash {
        return Err(Malformed::new("block hash"));
    }
    let mut at = 0;
    for seq in item.first_seq.0..item.first_seq.0 + u64::from(item.events) {
        let mut cursor = Cursor::new(&block[at..]);
        let salted = Salted::decode(&mut cursor)?;
        let (end, wanted) = (at + salted.bytes.len(), !salted.redacted && has(ranges, seq));
        let replaced = wanted.then(|| salted.redact(hasher));
        if let Some(replaced) = replaced {
            block[at..end].copy_from_slice(&replaced);
        }
        at = end;
    }
    Ok(())
}

fn has(ranges: &[Range<u64>], seq: u64) -> bool {
    let behind = ranges.partition_point(|range| range.end <= seq);
    ranges.get(behind).is_some_and(|range| range.start <= seq)
}

/// Returns where two frames of one length differ.
fn differing(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in (0..old.len().min(new.len())).filter(|at| old[*at] != new[*at]) {
        match runs.last_mut() {
            Some(run) if at - run.end < GAP_BYTES => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}
