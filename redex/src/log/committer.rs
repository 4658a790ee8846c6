//! Turning staged entries into frames on disk: hashing, linking, signing, writing, syncing.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use base::{Doors, Identity, IncarnationId, NodeId, OpenMode, Position, Seq, Slot, Term, Timestamp};

use super::stage::OpenEntry;
use crate::Compression;
use crate::chain::Chain;
use crate::codec::block::BlockItem;
use crate::codec::compression::Compressor;
use crate::codec::control::{Control, HoleRecord, IncarnationRecord};
use crate::codec::entry::HeadFields;
use crate::codec::footer::Footer;
use crate::codec::frame::{FrameKind, Place};
use crate::codec::segment_header::{self, SegmentHeader};
use crate::codec::superblock::Superblock;
use crate::codec::visible::{self, Visible};
use crate::codec::{Put, block, control, entry, footer, frame, state};
use crate::index::SegmentIndex;
use crate::index::points::IndexSource;
use crate::limits::SIGNATURE_RESERVE_BYTES;
use crate::replay::standing_of;
use crate::segments::{Segment, Segments};
use crate::state::{Effects, LogState};
use crate::writer::SegmentWriter;

/// The largest buffer of frames that is kept from round to round.
const FRAME_BYTES_KEPT: usize = 4 << 20;

/// What the party that commits owns; one at a time.
#[derive(Debug)]
pub(crate) struct Committer {
    pub doors: Doors,
    pub identity: Arc<Identity>,
    pub superblock: Superblock,
    pub segments: Arc<Segments>,
    pub segment_bytes: u64,
    pub sign_within: Duration,
    pub writer: SegmentWriter,
    /// Whether the newest segment has its footer, while there was no room for the next one.
    pub sealed: bool,
    /// The index of the newest segment, shared with readers.
    pub index: Arc<RwLock<SegmentIndex>>,
    /// Log state with everything that was written.
    pub state: LogState,
    pub chain: Chain,
    pub synced: Position,
    /// What readers were told last.
    pub published: Position,
    /// Whether a segment began since retention was looked at.
    pub began: bool,
    /// Segments below were removed.
    pub removed: Position,
    pub incarnation: Incarnation,
    /// Slots of channels that were written since the last sync.
    pub touched: Vec<usize>,
    pub news: News,
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

/// An entry as it was encoded, kept until it is written.
#[derive(Debug)]
struct Encoded {
    slot: Slot,
    recorded_at: Timestamp,
    previous: base::Hash,
    hash: base::Hash,
    signed: bool,
    offset: u64,
    controls: Vec<Control>,
    blocks: Vec<BlockItem>,
    repeatables: Vec<crate::codec::append::Repeatable>,
}

/// Why a round stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The bytes of the failed write were taken back.
    Write(io::Error),
    /// What the disk holds is unknown.
    Broken(String),
}

impl Committer {
    /// Tells whether an entry without events is needed for a signature over everything written.
    pub(crate) fn needs_signature(&self) -> bool {
        self.chain.last_signed < self.state.position()
    }

    /// Writes entries; the last one is signed if `sign`, or if the last signature is long ago.
    ///
    /// When this fails, the entries that were written are in `self.state`, and no others are in the log.
    pub(crate) fn write(&mut self, entries: Vec<OpenEntry>, sign: bool) -> Result<(), Stopped> {
        if self.sealed {
            self.follow_sealed()?;
        }
        let now = self.doors.clock.monotonic();
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
        let mut chain = self.chain.clone();
        for (place, open) in entries.into_iter().enumerate() {
            let encoded =
                self.encode(compressor, open, sign && place == last, &chain, frames, batch.is_empty());
            chain.push(&self.segments.hasher, encoded.slot, encoded.hash, encoded.signed);
            batch.push(encoded);
            if self.writer.tail() + frames.len() as u64 >= self.segment_bytes {
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
        let hasher = &self.segments.hasher;
        let offset = self.writer.tail() + frames.len() as u64;
        let slot = Slot { term: self.incarnation.term, node: NodeId(0), index: open.index };
        let mut controls = Vec::new();
        if first_of_batch && !self.incarnation.begun {
            controls.push(Control::Incarnation(self.incarnation_record()));
            controls.extend(self.incarnation.holes.iter().cloned().map(Control::Hole));
        }
        controls.extend(open.controls);
        let mut control_bytes = Vec::new();
        controls.iter().for_each(|record| control::encode(&mut control_bytes, record));
        let mut block_list = Vec::new();
        let mut blocks = Vec::with_capacity(open.blocks.len());
        let mut block_bytes = 0;
        for block in &open.blocks {
            let item = BlockItem {
                channel: block.channel.clone(),
                first_seq: block.first_seq,
                events: block.events,
                bytes: block.bytes.len(),
                hash: hasher.block(&block.bytes),
            };
            block::encode(&mut block_list, &item);
            block_bytes += item.bytes;
            blocks.push(item);
        }
        let body_bytes = entry::body_bytes_max(
            control_bytes.len() + open.append_bytes.len() + block_list.len(),
            block_bytes,
        );
        let end = offset + frame::frame_bytes_max(body_bytes) as u64;
        let testified = self.testified(chain);
        let signed = sign
            || chain.last_signed < testified
            || end >= self.segment_bytes
            || end + SIGNATURE_RESERVE_BYTES > self.writer.filled();
        let fields = HeadFields {
            slot,
            incarnation: self.incarnation.id,
            previous: chain.last_hash,
            recorded_at: open.recorded_at,
            events: open.events,
            appends: open.appends,
            blocks: count(blocks.len()),
            controls: count(controls.len()),
            witness: signed.then(|| (chain.root.position(), chain.root.hash(hasher))),
        };
        let mut hash = base::Hash::ZERO;
        let (place, kind, index) = (self.place(offset), FrameKind::Entry, slot.index);
        frame::encode_with(frames, place, kind, index, testified, compressor, body_bytes, |body| {
            let begin = body.len();
            entry::encode_head(body, &fields, &control_bytes, &open.append_bytes, &block_list);
            hash = hasher.entry(&body[begin..]);
            body.put_u32(crc32fast::hash(&body[begin..]));
            if signed {
                let message = hasher.signed_message(fields.incarnation, slot.index, &hash);
                body.put(self.identity.sign(&message).as_bytes());
            }
            open.blocks.iter().for_each(|block| body.put(&block.bytes));
        });
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
        }
    }

    /// Returns up to where a frame may say that entries are synced: nobody is to rely on what is not signed.
    fn testified(&self, chain: &Chain) -> Position {
        if self.is_volatile() { self.synced.min(chain.last_signed) } else { self.synced }
    }

    /// Tells whether everything written is as safe as it gets here, without a sync and the signature with it.
    pub(crate) fn is_volatile(&self) -> bool {
        self.doors.disk.is_volatile()
    }

    fn incarnation_record(&self) -> IncarnationRecord {
        IncarnationRecord {
            id: self.incarnation.id,
            public_key: self.identity.public_key(),
            parent: self.state.incarnation(),
            last_signed: self.chain.last_signed,
            last_signed_hash: self.chain.last_signed_hash,
        }
    }

    fn place(&self, offset: u64) -> Place {
        Place { log: self.superblock.log, segment: self.writer.number, offset }
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
        self.append_frames(frames)?;
        frames.clear();
        self.chain = chain;
        for encoded in batch.drain(..) {
            self.settle(encoded);
        }
        Ok(())
    }

    fn append_frames(&mut self, frames: &[u8]) -> Result<(), Stopped> {
        self.writer.append(frames).map_err(|(cause, broken)| match broken {
            None => Stopped::Write(cause),
            Some(second) => {
                Stopped::Broken(format!("a failed write ({cause}) that could not be undone ({second})"))
            }
        })
    }

    /// Takes a written entry into state and index.
    fn settle(&mut self, encoded: Encoded) {
        self.incarnation.begun = true;
        let effects = Effects {
            index: encoded.slot.index,
            term: encoded.slot.term,
            previous: encoded.previous,
            recorded_at: encoded.recorded_at,
            controls: &encoded.controls,
            blocks: &encoded.blocks,
            repeatables: &encoded.repeatables,
        };
        let applied = self.state.apply(&effects);
        assert!(applied.is_ok(), "what the sequencer staged must follow from log state: {applied:?}");
        for item in &encoded.blocks {
            self.touched
                .extend(self.state.slot(&item.channel).filter(|slot| self.touched.last() != Some(slot)));
        }
        for control in &encoded.controls {
            if let Some(name) = control.concerns() {
                self.touched.extend(self.state.slot(name));
            }
        }
        self.index.write().unwrap_or_else(PoisonError::into_inner).add(
            encoded.slot.index,
            encoded.offset,
            encoded.recorded_at,
            &encoded.blocks,
        );
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Stopped> {
        self.writer.sync().map_err(|cause| Stopped::Broken(format!("a failed sync ({cause})")))?;
        self.synced = self.state.position();
        self.news.recorded_at = self.state.last_recorded_at;
        self.news.incarnations = self.state.incarnations.len();
        self.news.trimmed = self.state.trimmed;
        for slot in self.touched.drain(..) {
            self.news.channels.push((slot, self.state.channel(slot).next));
        }
        Ok(())
    }

    /// Seals the newest segment and begins the next one.
    pub(crate) fn roll(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        // The index stays where it is meanwhile: scans that began before go on in it.
        let body = footer::encode_footer(&self.footer(&self.index()));
        let mut frames = Vec::new();
        let place = self.place(self.writer.tail());
        frame::encode(&mut frames, place, FrameKind::Footer, self.state.next_index, self.synced, &body);
        self.append_frames(&frames)?;
        self.sealed = true;
        self.sync()?;
        self.follow_sealed()
    }

    /// Trims the sealed segment, writes its index file, which readers use from now on, and begins the next
    /// segment. Where there is no room for that, the next write tries again.
    fn follow_sealed(&mut self) -> Result<(), Stopped> {
        self.writer
            .trim()
            .and_then(|()| self.writer.sync())
            .map_err(|cause| Stopped::Broken(format!("a segment not trimmed ({cause})")))?;
        if let Some(segment) = self.segments.last()
            && self.segments.write_index(&segment, self.writer.tail(), &self.index())
        {
            segment.release_index();
        }
        self.began = true;
        self.begin_segment().map_err(|cause| {
            let path = Segment::new(&self.segments.dir, self.writer.number + 1, self.state.next_index).path;
            match self.segments.disk.exists(&path) {
                Ok(false) => Stopped::Write(cause),
                // It is there, but its name may not be durable.
                _ => Stopped::Broken(format!("a segment not begun ({cause})")),
            }
        })?;
        self.sealed = false;
        Ok(())
    }

    fn index(&self) -> RwLockReadGuard<'_, SegmentIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn footer(&self, index: &SegmentIndex) -> Footer {
        let standing = standing_of(&self.state, &self.chain, &self.segments.hasher);
        let first_index = self.segments.last().map_or(self.state.next_index, |segment| segment.first_index);
        index.footer(standing, first_index)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.writer.number + 1;
        let (segment, writer) = create_segment(
            &self.segments,
            &self.superblock,
            number,
            &self.state,
            &self.chain,
            self.segment_bytes,
            self.doors.clock.now(),
        )?;
        self.writer = writer;
        self.index = Arc::new(RwLock::new(SegmentIndex::default()));
        segment.set_index(IndexSource::Memory(Arc::clone(&self.index)));
        self.segments.insert(segment);
        Ok(())
    }

    /// Writes the record of a clean close and cuts off what was filled ahead; a footer is record enough.
    pub(crate) fn close(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        if self.sealed {
            self.tell_readers(false);
            return Ok(());
        }
        let body = footer::encode_close(&standing_of(&self.state, &self.chain, &self.segments.hasher));
        let mut frames = Vec::new();
        let place = self.place(self.writer.tail());
        frame::encode(&mut frames, place, FrameKind::Close, self.state.next_index, self.synced, &body);
        self.append_frames(&frames)?;
        let trimmed = self.writer.sync().and_then(|()| self.writer.trim()).and_then(|()| self.writer.sync());
        trimmed.map_err(|cause| Stopped::Broken(format!("a close that failed ({cause})")))?;
        self.tell_readers(false);
        Ok(())
    }

    /// Tells readers in other processes how far they may read; derived, so that failing to is no failure.
    pub(crate) fn tell_readers(&self, open: bool) {
        let visible = Visible {
            log: self.superblock.log,
            incarnation: self.incarnation.id,
            position: self.synced,
            open,
        };
        if let Err(cause) = base::write_all_at(&*self.visible, &visible::encode(&visible), 0) {
            tracing::warn!(%cause, "visible position not written");
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an entry is far below 4 Gi items")
}

/// Creates a segment file with header and state frames: temporary file, sync, rename, sync of the directory.
pub(crate) fn create_segment(
    segments: &Segments,
    superblock: &Superblock,
    number: u64,
    log_state: &LogState,
    chain: &Chain,
    segment_bytes: u64,
    now: Timestamp,
) -> io::Result<(Arc<Segment>, SegmentWriter)> {
    let first_index = log_state.next_index;
    let segment = Segment::new(&segments.dir, number, first_index);
    let header = SegmentHeader {
        log: superblock.log,
        origin: superblock.origin,
        number,
        first_index,
        created_at: now,
    };
    let mut bytes = segment_header::encode(&header);
    let body = state::encode(log_state, chain);
    let synced = Position(first_index.0);
    for _ in 0..2 {
        let place = Place { log: superblock.log, segment: number, offset: bytes.len() as u64 };
        let mut frames = Vec::new();
        frame::encode(&mut frames, place, FrameKind::State, first_index, synced, &body);
        bytes.put(&frames);
    }
    base::create_atomically(&*segments.disk, &segment.path, OpenMode::Create, &bytes)?;
    let file = segments.disk.open(&segment.path, OpenMode::Write)?;
    let length = bytes.len() as u64;
    let writer = SegmentWriter::new(number, file, length, length, segment_bytes);
    Ok((Arc::new(segment), writer))
}
