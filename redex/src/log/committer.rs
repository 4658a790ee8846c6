//! Turning staged entries into frames on disk: hashing, linking, signing, writing, syncing.

use std::sync::Arc;
use std::time::Duration;

use base::{Identity, IncarnationId, NodeId, Position, Seq, Slot, Term, Timestamp};

use super::seal::Contents;
use super::stage::OpenEntry;
use crate::Compression;
use crate::appender::{Appender, Encoded, Stopped};
use crate::chain::Chain;
use crate::codec::compression::Compressor;
use crate::codec::control::{Control, HoleRecord, IncarnationRecord};
use crate::codec::frame::{self, FrameKind};
use crate::codec::visible::{self, Visible};
use crate::keyed::{KeyedChange, changes_of_block};
use crate::limits::SIGNATURE_RESERVE_BYTES;

/// The largest buffer of frames that is kept from round to round.
const FRAME_BYTES_KEPT: usize = 4 << 20;

/// What the party that commits owns; one at a time.
#[derive(Debug)]
pub(crate) struct Committer {
    pub end: Appender,
    pub identity: Arc<Identity>,
    pub sign_within: Duration,
    /// What readers were told last.
    pub published: Position,
    /// Segments below were removed.
    pub removed: Position,
    pub incarnation: Incarnation,
    /// Slots of channels that were written since the last sync.
    pub touched: Vec<usize>,
    pub news: News,
    /// In a keyed log, what events did to their keys since the last sync.
    pub keyed_written: Vec<KeyedChange>,
    pub signed_at: Duration,
    pub visible: Arc<dyn base::DiskFile>,
    /// What frames are built in; kept, since a steady load needs it in each round.
    pub frames: Vec<u8>,
    pub compressor: Compressor,
}

/// What became durable and readers were not told yet. Log state may be ahead of it: a write that fills segments
/// syncs them on its way.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Slots of channels and the numbers that they came to; the last word on a channel counts.
    pub channels: Vec<(usize, Seq)>,
    pub incarnations: usize,
    pub recorded_at: Timestamp,
    /// Where the log begins.
    pub trimmed: Position,
    /// In a keyed log, what events did to their keys.
    pub keyed: Vec<KeyedChange>,
}

/// The incarnation of this opening; its record goes into the first entry.
#[derive(Debug)]
pub(crate) struct Incarnation {
    pub id: IncarnationId,
    pub term: Term,
    /// Whether the record was written.
    pub begun: bool,
    /// Holes that opening made, to be recorded with it.
    pub holes: Vec<HoleRecord>,
}

impl Committer {
    /// Tells whether an entry without events is needed for a signature over everything written.
    pub(crate) fn needs_signature(&self) -> bool {
        self.end.chain.last_signed < self.end.state.position()
    }

    /// Writes entries; the last one is signed if `sign`, or if the last signature is long ago.
    ///
    /// When this fails, the entries that were written are in `self.end.state`, and no others are in the log.
    pub(crate) fn write(&mut self, entries: Vec<OpenEntry>, sign: bool) -> Result<(), Stopped> {
        self.end.prepare()?;
        let now = self.end.doors.clock.monotonic();
        let sign = sign || now.saturating_sub(self.signed_at) >= self.sign_within;
        let mut frames = std::mem::take(&mut self.frames);
        let as_it_is = Compressor::new(Compression::None);
        let mut compressor = std::mem::replace(&mut self.compressor, as_it_is);
        let written = self.write_entries(entries, sign, &mut frames, &mut compressor);
        self.compressor = compressor;
        frames.clear();
        if frames.capacity() <= FRAME_BYTES_KEPT {
            self.frames = frames;
        }
        written?;
        if sign {
            self.signed_at = now;
        }
        Ok(())
    }

    fn write_entries(
        &mut self,
        entries: Vec<OpenEntry>,
        sign: bool,
        frames: &mut Vec<u8>,
        compressor: &mut Compressor,
    ) -> Result<(), Stopped> {
        let last = entries.len().saturating_sub(1);
        let mut batch = Vec::with_capacity(entries.len());
        let mut chain = self.end.chain.clone();
        for (place, open) in entries.into_iter().enumerate() {
            let encoded =
                self.encode(compressor, open, sign && place == last, &chain, frames, batch.is_empty());
            chain.push(&self.end.segments.hasher, encoded.slot, encoded.hash, encoded.signed);
            batch.push(encoded);
            if self.end.writer.tail() + frames.len() as u64 >= self.end.segment_bytes {
                self.write_batch(frames, &mut batch, chain.clone())?;
                self.roll()?;
            }
        }
        self.write_batch(frames, &mut batch, chain)
    }

    /// Encodes an entry behind the frames. It is signed if `sign`, and
    ///
    /// - whenever a frame might else testify that entries are synced which nobody signed: an entry over an
    ///   adopted end, and one that may fill the segment;
    /// - where behind it there may be no room for an entry that only signs, on a disk that is full.
    fn encode(
        &self,
        compressor: &mut Compressor,
        open: OpenEntry,
        sign: bool,
        chain: &Chain,
        frames: &mut Vec<u8>,
        first_of_batch: bool,
    ) -> Encoded {
        let hasher = &self.end.segments.hasher;
        let offset = self.end.writer.tail() + frames.len() as u64;
        let slot = Slot { term: self.incarnation.term, node: NodeId(0), index: open.index };
        let mut first = Vec::new();
        if first_of_batch && !self.incarnation.begun {
            first.push(Control::Incarnation(self.incarnation_record()));
            first.extend(self.incarnation.holes.iter().cloned().map(Control::Hole));
        }
        let contents = Contents::new(hasher, &open, first);
        let body_bytes = contents.body_bytes;
        let end = offset + frame::frame_bytes_max(body_bytes) as u64;
        let testified = self.testified(chain);
        let signed = sign
            || chain.last_signed < testified
            || end >= self.end.segment_bytes
            || end + SIGNATURE_RESERVE_BYTES > self.end.writer.filled();
        let fields = contents.fields(hasher, slot, self.incarnation.id, chain, signed);
        let mut hash = base::Hash::ZERO;
        let (place, kind, index) = (self.end.place(frames.len()), FrameKind::Entry, slot.index);
        let mut as_it_is = Compressor::new(Compression::None);
        let compressor = if contents.erasable { &mut as_it_is } else { compressor };
        frame::encode_with(frames, place, kind, index, testified, compressor, body_bytes, |body| {
            hash = contents.encode(body, hasher, &self.identity, &fields);
        });
        let Contents { controls, blocks, .. } = contents;
        let keyed = if self.end.state.keyed.is_some() { keyed_changes(&open) } else { Vec::new() };
        open.spare.give_back(open.blocks);
        Encoded {
            slot,
            recorded_at: open.recorded_at,
            previous: chain.last_hash,
            hash,
            signed,
            offset,
            controls,
            blocks,
            repeatables: open.repeatables,
            keyed,
            references: Some(open.references),
        }
    }

    /// Returns up to where a frame may say that entries are synced: nobody is to rely on what is not signed.
    fn testified(&self, chain: &Chain) -> Position {
        if self.end.is_volatile() { self.end.synced.min(chain.last_signed) } else { self.end.synced }
    }

    fn incarnation_record(&self) -> IncarnationRecord {
        IncarnationRecord {
            id: self.incarnation.id,
            public_key: self.identity.public_key(),
            parent: self.end.state.incarnation(),
            last_signed: self.end.chain.last_signed,
            last_signed_hash: self.end.chain.last_signed_hash,
        }
    }

    /// Writes a batch; `chain` is where the chain stands behind it.
    fn write_batch(
        &mut self,
        frames: &mut Vec<u8>,
        batch: &mut Vec<Encoded>,
        chain: Chain,
    ) -> Result<(), Stopped> {
        if batch.is_empty() {
            return Ok(());
        }
        self.end.append_frames(frames)?;
        frames.clear();
        self.end.chain = chain;
        for encoded in batch.drain(..) {
            self.settle(&encoded);
        }
        Ok(())
    }

    /// Takes a written entry into state and index.
    fn settle(&mut self, encoded: &Encoded) {
        self.incarnation.begun = true;
        self.end.settle(encoded, &mut self.touched);
        self.keyed_written.extend_from_slice(&encoded.keyed);
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Stopped> {
        let synced = self.end.sync();
        self.note_synced();
        synced
    }

    /// Seals the newest segment and begins the next one.
    fn roll(&mut self) -> Result<(), Stopped> {
        let rolled = self.end.roll();
        self.note_synced();
        rolled
    }

    /// Notes what readers are to be told, if everything written is durable.
    fn note_synced(&mut self) {
        let state = &self.end.state;
        if self.end.synced != state.position() {
            return;
        }
        self.news.recorded_at = state.last_recorded_at;
        self.news.incarnations = state.incarnations.len();
        self.news.trimmed = state.trimmed;
        self.news.keyed.append(&mut self.keyed_written);
        for slot in self.touched.drain(..) {
            self.news.channels.push((slot, state.channel(slot).next));
        }
    }

    /// Writes the record of a clean close.
    pub(crate) fn close(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        self.end.close()?;
        self.tell_readers(false);
        Ok(())
    }

    /// Tells readers in other processes how far they may read; derived, so that failing to is no failure.
    pub(crate) fn tell_readers(&self, open: bool) {
        let visible = Visible {
            log: self.end.superblock.log,
            incarnation: self.incarnation.id,
            position: self.end.synced,
            open,
        };
        if let Err(cause) = base::write_all_at(&*self.visible, &visible::encode(&visible), 0) {
            tracing::warn!(%cause, "visible position not written");
        }
    }
}

/// Returns what the events of an entry do to their keys.
fn keyed_changes(open: &OpenEntry) -> Vec<KeyedChange> {
    let mut changes = Vec::new();
    for block in &open.blocks {
        let item = (&block.channel, block.first_seq, block.events);
        changes_of_block(item, &block.bytes, (open.index, open.recorded_at), &mut changes)
            .expect("the block was made of events with keys");
    }
    changes
}
