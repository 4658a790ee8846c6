//! Checking a log from its first byte to its last: frames, checksums, links, roots and signatures.

use std::path::{Path, PathBuf};

use base::{
    ChannelName, Disk, Doors, Hash, IncarnationId, Index, LogId, OpenMode, OriginId, Position, PublicKey,
    Seq, Signature,
};

use crate::chain::Chain;
use crate::codec::block::BlockItem;
use crate::codec::control::{Control, HoleRecord, IncarnationRecord};
use crate::codec::entry::{self, EntryHead, EntryParts};
use crate::codec::erasable::Hashed;
use crate::codec::footer::{Standing, decode_close, decode_footer};
use crate::codec::frame::FrameKind;
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, parse_file_name};
use crate::codec::state::Beginning;
use crate::codec::superblock::LogKind;
use crate::codec::visible::{self, VISIBLE_BYTES};
use crate::codec::{Malformed, erasable, local, state, superblock};
use crate::error::OpenError;
use crate::frames::{Frame, SegmentBytes, Step, Verdict, testimony};
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::references::References;
use crate::replay::{apply_entry, apply_hole, decode_hole_frame, entries_max, read_state, standing_of};
use crate::state::LogState;
use crate::survey::Survey;

mod ahead;
mod all;
mod ends;
mod files;
mod footer;
mod redactions;

pub use all::verify_all;

use ahead::{Source, Wanted};
use ends::Truncations;
use redactions::Redactions;

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Decode the events of this channel, too. Hashes and signatures of the whole log are verified either way.
    pub channel: Option<ChannelName>,
    /// Verify every signature instead of the last one of each incarnation, which covers those before it.
    pub all_signatures: bool,
}

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// An end that was written only in part; never acknowledged as durable, and zeroed at the next opening.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// An incarnation as it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncarnationReport {
    /// Its id.
    pub id: IncarnationId,
    /// The key that signs it.
    pub public_key: PublicKey,
    /// The index of its first entry.
    pub first: Index,
    /// The index behind its last entry.
    pub next: Index,
    /// The position behind its last signed entry; everything of it below is authenticated by its own key.
    pub signed: Position,
    /// Entries at its end that only the next incarnation's signatures cover.
    pub adopted: u64,
}

/// What verification found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The log's name.
    pub name: String,
    /// The log.
    pub log: LogId,
    /// Who began it.
    pub origin: OriginId,
    /// Where the log begins: 0, until it gives up its beginning.
    pub begins: Position,
    /// The position behind the last entry.
    pub position: Position,
    /// The log root at that position.
    pub root: Hash,
    /// Entries read.
    pub entries: u64,
    /// Events in them.
    pub events: u64,
    /// Events of them that were redacted.
    pub redacted: u64,
    /// Bytes read of segment files.
    pub bytes: u64,
    /// Segment files read.
    pub segments: u64,
    /// Signatures verified.
    pub signatures: u64,
    /// Entries at the end of the log that no signature covers.
    pub unsigned: u64,
    /// Events of the channel that was asked for.
    pub channel_events: Option<u64>,
    /// All incarnations.
    pub incarnations: Vec<IncarnationReport>,
    /// What a crash left at the end; no fault.
    pub torn_tail: Option<TornTail>,
    /// Derived files that do not read; they are rebuilt when needed.
    pub derived: Vec<PathBuf>,
    /// Everything that is not as it should be; empty when the log is verified.
    pub faults: Vec<Fault>,
}

/// Verifies the log `main` of a node's directory. Writes nothing, and may run beside a writer, whose durable
/// entries it verifies.
///
/// A flipped bit anywhere in a segment or the superblock of a closed log is a fault, and so is an entry that was
/// altered, with or without its checksums recomputed, unless it was signed by the log's own key. What the key
/// file beside the log, if there is one, does not belong to is a fault, too.
///
/// # Errors
///
/// [`OpenError::NotInitialised`], [`OpenError::Corrupt`] when the superblock does not read at all,
/// [`OpenError::Io`].
pub fn verify(dir: &Path, doors: &Doors, options: &VerifyOptions) -> Result<VerifyReport, OpenError> {
    verify_log(dir, crate::store::MAIN, doors, options).map(|verified| verified.report)
}

/// A log that was read from its first byte to its last, and the log state that follows from it.
struct Verified {
    report: VerifyReport,
    state: LogState,
}

fn verify_log(dir: &Path, name: &str, doors: &Doors, options: &VerifyOptions) -> Result<Verified, OpenError> {
    let disk = &*doors.disk;
    let log_dir = crate::store::log_dir(dir, name);
    let superblock_path = log_dir.join("superblock");
    disk.list(dir).map_err(OpenError::io(dir))?;
    if !disk.exists(&superblock_path).map_err(OpenError::io(&superblock_path))? {
        return Err(OpenError::NotInitialised { dir: dir.to_owned() });
    }
    let mut verifier = Verifier::new(disk, dir, &log_dir, options)?;
    verifier.check_name(name);
    // Another node may have begun a replicated log, and the cluster says what it keeps.
    if verifier.kind != LogKind::Replicated {
        verifier.check_key(&dir.join("identity"));
        verifier.report.faults.extend(all::config_fault(dir, name, doors)?);
    }
    let mut found: Vec<_> = disk
        .list(&log_dir)
        .map_err(OpenError::io(&log_dir))?
        .iter()
        .filter_map(|name| parse_file_name(name))
        .collect();
    found.sort_unstable();
    let truncations = Truncations::read(disk, &log_dir, &found);
    found.retain(|(number, first_index)| !truncations.is_gone(*number, *first_index));
    let wanted = found.iter().enumerate().map(|(place, (number, first_index))| Wanted {
        path: log_dir.join(segment_header::file_name(*number, *first_index)),
        number: *number,
        first_index: *first_index,
        ends_at: truncations.end_of(*number),
        last: place + 1 == found.len(),
    });
    let source = Source { disk, log_dir: &log_dir, log: verifier.report.log };
    source.each(&wanted.collect::<Vec<_>>(), |segment, bytes| {
        verifier.segment(segment, bytes)?;
        Ok(!verifier.stopped)
    })?;
    Ok(verifier.finish())
}

/// A signed entry whose signature is not verified yet.
#[derive(Debug, Clone)]
struct Signed {
    file: PathBuf,
    offset: u64,
    incarnation: IncarnationId,
    index: Index,
    hash: Hash,
    signature: Signature,
}

struct Verifier<'a> {
    disk: &'a dyn Disk,
    log_dir: PathBuf,
    options: &'a VerifyOptions,
    hasher: LogHasher,
    kind: LogKind,
    state: LogState,
    chain: Chain,
    report: VerifyReport,
    /// The last signed entry of the incarnation at hand.
    last_signed: Option<Signed>,
    /// What the segment at hand was found to hold.
    index: SegmentIndex,
    references: References,
    first_index: Index,
    /// How many faults there were before it.
    segment_faults: usize,
    /// The incarnation of entries whose beginning was not found.
    stranger: Option<IncarnationId>,
    /// How far a live writer lets readers read.
    bound: Option<Position>,
    /// The highest position that a frame testified to be synced.
    testified: Position,
    /// Where the segment at hand was cut off.
    ends_at: Option<u64>,
    /// The position below which a replica says that it has given up its entries.
    purged: Position,
    /// The first entry that must be signed, and that no signature covers so far.
    unsigned: Option<Index>,
    redactions: Redactions,
    stopped: bool,
}

impl<'a> Verifier<'a> {
    fn new(
        disk: &'a dyn Disk,
        dir: &Path,
        log_dir: &Path,
        options: &'a VerifyOptions,
    ) -> Result<Self, OpenError> {
        let (superblock, good) = crate::log::read_superblock(disk, log_dir)?;
        let path = log_dir.join("superblock");
        let length = disk.open(&path, OpenMode::Read).and_then(|file| file.length());
        let length = length.map_err(OpenError::io(&path))?;
        let report = VerifyReport {
            name: superblock.name,
            log: superblock.log,
            origin: superblock.origin,
            begins: Position::ZERO,
            position: Position::ZERO,
            root: Hash::ZERO,
            entries: 0,
            events: 0,
            redacted: 0,
            bytes: 0,
            segments: 0,
            signatures: 0,
            unsigned: 0,
            channel_events: options.channel.as_ref().map(|_| 0),
            incarnations: Vec::new(),
            torn_tail: None,
            derived: Vec::new(),
            faults: Vec::new(),
        };
        let bound = live_bound(disk, dir, log_dir, superblock.log);
        let mut verifier = Self {
            disk,
            log_dir: log_dir.to_owned(),
            options,
            hasher: LogHasher::new(superblock.log),
            kind: superblock.kind,
            state: LogState::empty(superblock.kind),
            chain: Chain::default(),
            report,
            last_signed: None,
            index: SegmentIndex::default(),
            references: References::default(),
            first_index: Index::ZERO,
            segment_faults: 0,
            stranger: None,
            bound,
            testified: Position::ZERO,
            ends_at: None,
            purged: Position::ZERO,
            unsigned: None,
            redactions: Redactions::default(),
            stopped: false,
        };
        if good < 2 || length != superblock::SUPERBLOCK_BYTES as u64 {
            verifier.superblock_fault(&path);
        }
        verifier.check_visible(bound.is_some());
        verifier.begin_redactions();
        Ok(verifier)
    }

    fn fault(&mut self, file: &Path, offset: u64, expected: impl Into<String>, found: impl Into<String>) {
        let fault = Fault { file: file.to_owned(), offset, expected: expected.into(), found: found.into() };
        self.report.faults.push(fault);
    }

    fn segment(&mut self, wanted: &Wanted, bytes: &[u8]) -> Result<(), OpenError> {
        let Wanted { ref path, number, first_index, ends_at, last } = *wanted;
        if let Some(found) = segment_header::foreign_format(bytes) {
            return Err(crate::log::unknown_format(path, found));
        }
        self.ends_at = ends_at;
        let log = self.report.log;
        let segment = SegmentBytes { log, segment: number, begin: 0, bytes };
        self.report.segments += 1;
        self.report.bytes += bytes.len() as u64;
        self.index = SegmentIndex::default();
        self.references = References::default();
        self.first_index = first_index;
        self.segment_faults = self.report.faults.len();
        self.header(path, segment, number, first_index);
        let offset = self.state_frames(path, segment, first_index);
        self.frames(path, segment, offset, last);
        if !last {
            self.check_index(path, bytes.len() as u64, number);
        }
        Ok(())
    }

    fn header(&mut self, path: &Path, segment: SegmentBytes<'_>, number: u64, first_index: Index) {
        let copy = segment_header::COPY_BYTES;
        for nth in 0..2 {
            let offset = nth * copy;
            let bytes = segment.bytes.get(offset..).unwrap_or(&[]);
            let decoded = segment_header::decode_copy(bytes, u32::try_from(nth).unwrap_or(0));
            let log = self.report.log;
            match decoded {
                Ok(header)
                    if header.log == log
                        && header.origin == self.report.origin
                        && header.number == number
                        && header.first_index == first_index => {}
                Ok(header) => {
                    let found = format!("segment {} of log {}", header.number, header.log);
                    self.fault(path, offset as u64, format!("segment {number} of log {log}"), found);
                }
                Err(malformed) => {
                    self.fault(path, offset as u64, "a segment header", wrong(&malformed));
                }
            }
        }
    }

    /// Checks the two state frames against the state that the log before gives; returns the offset behind.
    fn state_frames(&mut self, path: &Path, segment: SegmentBytes<'_>, first_index: Index) -> u64 {
        let begin = SEGMENT_HEADER_BYTES as u64;
        let expected = format!("two state frames at index {}", self.state.next_index);
        match read_state(segment) {
            Ok((Beginning { state, chain, local }, offset, good))
                if self.report.segments == 1 && first_index > Index::ZERO =>
            {
                // What was before was given up; an entry has that on record.
                self.report.begins = Position(first_index.0);
                self.note_local(&local);
                if good < 2 || state.next_index != first_index {
                    let expected = format!("two state frames at index {first_index}");
                    let found = format!("{good} of them, at index {}", state.next_index);
                    self.fault(path, begin, expected, found);
                }
                (self.state, self.chain) = (state, chain);
                offset
            }
            Ok((Beginning { state, chain, local }, offset, good)) => {
                self.note_local(&local);
                // Segments of before what consensus wrote was kept.
                if state.consensus.is_empty() {
                    self.state.consensus.clear();
                }
                let own = state::encode(&self.state, &self.chain, &local);
                let theirs = state::encode(&state, &chain, &local);
                if own != theirs || state.next_index != first_index {
                    let found = format!("state at index {} that does not follow", state.next_index);
                    self.fault(path, begin, expected, found);
                    // Go on with what the segment says, so that one fault is not reported for every entry.
                    self.state = state;
                    self.chain = chain;
                } else if good < 2 {
                    self.fault(path, begin, expected, "one damaged copy");
                }
                offset
            }
            Err(malformed) => {
                self.fault(path, begin, expected, wrong(&malformed));
                let survey = Survey::behind(segment, begin);
                let mut from = begin;
                while let Some(frame) = segment.next_valid(from) {
                    if frame.header.kind == FrameKind::Entry {
                        if frame.header.index > self.state.next_index {
                            self.resume(&frame, &survey);
                        }
                        return frame.offset;
                    }
                    from = frame.offset;
                }
                segment.end()
            }
        }
    }

    fn frames(&mut self, path: &Path, segment: SegmentBytes<'_>, begin: u64, last: bool) {
        let mut offset = begin;
        let mut sealed = false;
        let mut survey = None;
        loop {
            match segment.step(offset) {
                Step::End => break,
                Step::Frame(frame) => {
                    // A live writer has told of nothing from here on.
                    if self.is_bound_reached() {
                        self.stopped = true;
                        return;
                    }
                    sealed = frame.header.kind == FrameKind::Footer;
                    self.frame(path, &frame);
                    offset = frame.end();
                    if sealed && offset < segment.end() && !crate::frames::is_zero(segment.from(offset)) {
                        self.fault(path, offset, "nothing behind the footer", "further bytes");
                    }
                    if sealed {
                        break;
                    }
                }
                Step::Bad(malformed) => {
                    if self.is_bound_reached() {
                        self.stopped = true;
                        return;
                    }
                    let survey = survey.get_or_insert_with(|| Survey::behind(segment, offset));
                    let testified = survey.testified_behind(offset);
                    if last && segment.judge(offset, self.state.next_index, testified) == Verdict::Torn {
                        let bytes = used_bytes(segment.from(offset));
                        self.report.torn_tail = Some(TornTail { file: path.to_owned(), offset, bytes });
                        return;
                    }
                    let expected = format!("a frame of segment {} or zeros to the end", segment.segment);
                    self.fault(path, offset, expected, wrong(&malformed));
                    match segment.next_valid(offset) {
                        Some(next) => {
                            self.resume(&next, survey);
                            offset = next.offset;
                        }
                        None => break,
                    }
                }
            }
        }
        if self.ends_at.is_some() {
            if self.ends_at != Some(offset) {
                let expected = format!("{} bytes, as another segment says", self.ends_at.unwrap_or_default());
                self.fault(path, offset, expected, format!("frames up to {offset}"));
            }
        } else if !sealed && !last {
            self.fault(path, offset, "a footer, since another segment follows", "no footer");
        }
    }

    fn is_bound_reached(&self) -> bool {
        self.bound.is_some_and(|bound| bound.next_index() <= self.state.next_index)
    }

    /// Goes on behind damage at the next valid frame, with the channels as the entries from there on have them.
    fn resume(&mut self, frame: &Frame<'_>, survey: &Survey) {
        let Ok(body) = frame.body() else { return };
        if frame.header.kind == FrameKind::Entry
            && let Ok(parts) = entry::decode(&body)
        {
            let mentioned = survey.mentioned_from(frame.offset).into_iter();
            let channels = mentioned.filter_map(|(name, seq)| seq.map(|seq| (name.clone(), seq)));
            self.go_on(&parts.head, channels.collect());
        }
    }

    /// Makes state and chain what an entry says comes before it.
    fn follow(&mut self, parts: &EntryParts<'_>) {
        let head = &parts.head;
        let blocks = head.blocks.iter().rev().filter(|item| !created_here(head, &item.channel));
        self.go_on(head, blocks.map(|item| (item.channel.clone(), item.first_seq)).collect());
    }

    fn go_on(&mut self, head: &EntryHead, channels: Vec<(ChannelName, Seq)>) {
        let first = self.state.next_index;
        let next = head.slot.index.max(first);
        let hole = HoleRecord { first, next, bytes: 0, floor: Seq::ZERO, channels };
        self.state.apply_hole(&hole);
        // Roots mean nothing behind a loss; a forged index must not make this last for ever.
        let limit = Index(self.chain.root.position().0).plus(entries_max(self.report.bytes));
        self.chain.root.skip_to(&self.hasher, head.slot.index.min(limit));
        self.chain.last_hash = head.previous;
    }

    fn frame(&mut self, path: &Path, frame: &Frame<'_>) {
        self.testified = self.testified.max(testimony(&frame.header));
        let body = match frame.body() {
            Ok(body) => body,
            Err(malformed) => return self.fault(path, frame.offset, "an escaped body", wrong(&malformed)),
        };
        match frame.header.kind {
            FrameKind::Entry => match entry::decode(&body) {
                Ok(parts) => self.entry(path, frame, &parts, &body),
                Err(malformed) => self.fault(path, frame.offset, "an entry", wrong(&malformed)),
            },
            FrameKind::Footer => self.footer(path, frame, decode_footer(&body)),
            FrameKind::Close => self.standing(path, frame, decode_close(&body)),
            FrameKind::Hole => {
                let found = "a record of entries that were lost to corruption";
                self.fault(path, frame.offset, format!("entry {}", self.state.next_index), found);
                let frame_bytes = frame.header.frame_bytes() as u64;
                let applied = decode_hole_frame(&body).and_then(|hole| {
                    apply_hole(&mut self.state, &mut self.chain, &hole, frame_bytes, &self.hasher)
                });
                if let Err(malformed) = applied {
                    self.fault(
                        path,
                        frame.offset,
                        "a hole that follows from the log before it",
                        wrong(&malformed),
                    );
                }
            }
            FrameKind::Local => match local::decode(&body) {
                Ok(local) => self.note_local(&local),
                Err(malformed) => self.fault(path, frame.offset, "local state", wrong(&malformed)),
            },
            FrameKind::State => {
                self.fault(path, frame.offset, "an entry", format!("a {:?} frame", frame.header.kind));
            }
        }
    }

    fn standing(&mut self, path: &Path, frame: &Frame<'_>, found: Result<Standing, Malformed>) {
        let own = standing_of(&self.state, &self.chain, &self.hasher);
        match found {
            Ok(standing) if standing == own => {}
            Ok(_) if !self.state.holes.is_empty() => {}
            Ok(standing) => {
                let expected = format!("index {}, hash {}, root {}", own.next_index, own.last_hash, own.root);
                let found = format!(
                    "index {}, hash {}, root {}",
                    standing.next_index, standing.last_hash, standing.root
                );
                self.fault(path, frame.offset, expected, found);
            }
            Err(malformed) => self.fault(path, frame.offset, "a footer or close record", wrong(&malformed)),
        }
    }

    fn entry(&mut self, path: &Path, frame: &Frame<'_>, parts: &EntryParts<'_>, body: &[u8]) {
        let head = &parts.head;
        let hash = self.hasher.entry(parts.head_bytes);
        if frame.header.index != head.slot.index {
            let found = format!("a frame of entry {}", frame.header.index);
            self.fault(path, frame.offset, format!("a frame of entry {}", head.slot.index), found);
        }
        if head.previous != self.chain.last_hash {
            let (expected, found) = (self.chain.last_hash, head.previous);
            self.fault(
                path,
                frame.offset,
                format!("entry {} linked to {expected}", head.slot.index),
                format!("a link to {found}"),
            );
            self.follow(parts);
        }
        if let Some((position, root)) = head.witness {
            let own = self.chain.root.hash(&self.hasher);
            let known = self.state.holes.is_empty();
            if known && (position != self.chain.root.position() || root != own) {
                self.fault(path, frame.offset, format!("witness {own}"), format!("witness {root}"));
            }
        }
        for control in &head.controls {
            if let Control::Incarnation(record) = control {
                self.end_incarnation();
                self.stranger = None;
                self.incarnation(path, frame, record);
            }
        }
        let mut redactions = self.state.redactions;
        if let Err(malformed) = apply_entry(&mut self.state, parts) {
            self.fault(path, frame.offset, "an entry that follows from the log before it", wrong(&malformed));
            self.follow(parts);
            self.state.next_index = head.slot.index.next();
        }
        for control in &head.controls {
            if let Control::Redaction(record) = control {
                redactions += 1;
                self.redaction(path, frame.offset, record, redactions);
            }
        }
        let known = self.stranger.unwrap_or(self.state.incarnation());
        let by_consensus = self.is_by_consensus(head);
        if known != head.incarnation && !by_consensus {
            // Told once, since a lost beginning would else be told of with every entry.
            self.stranger = Some(head.incarnation);
            let found = format!("an entry of {}", head.incarnation);
            self.fault(path, frame.offset, format!("incarnation {}", self.state.incarnation()), found);
        }
        self.blocks(path, frame, parts, body);
        self.index.add(head.slot.index, frame.offset, head.recorded_at, &head.blocks);
        self.references.add_entry(parts);
        self.chain.push(&self.hasher, head.slot, hash, parts.signature.is_some());
        if parts.signature.is_some() {
            self.unsigned = None;
        } else if !by_consensus {
            self.unsigned.get_or_insert(head.slot.index);
        }
        self.report.entries += 1;
        self.report.events += u64::from(head.events);
        if let Some(signature) = parts.signature {
            let (incarnation, index) = (head.incarnation, head.slot.index);
            let file = path.to_owned();
            let signed = Signed { file, offset: frame.offset, incarnation, index, hash, signature };
            if self.options.all_signatures {
                self.signature(&signed);
            }
            self.last_signed = Some(signed);
        }
    }

    /// Tells whether an entry is one that consensus wrote: nobody signs it, and the next signature covers it.
    fn is_by_consensus(&self, head: &EntryHead) -> bool {
        self.kind == LogKind::Replicated
            && head.incarnation == IncarnationId::NONE
            && matches!(head.controls.as_slice(), [Control::Consensus(_)])
            && head.blocks.is_empty()
    }

    /// Checks that an incarnation began with the last signature that was there, behind the one before, and with
    /// the origin's key.
    fn incarnation(&mut self, path: &Path, frame: &Frame<'_>, record: &IncarnationRecord) {
        let own = (self.chain.last_signed, self.chain.last_signed_hash);
        if self.state.holes.is_empty() && own != (record.last_signed, record.last_signed_hash) {
            let expected = format!("an incarnation that found the last signature at {}", own.0);
            self.fault(path, frame.offset, expected, format!("one that found it at {}", record.last_signed));
        }
        let parent = self.state.incarnation();
        if self.state.holes.is_empty() && parent != record.parent {
            let found = format!("one behind {}", record.parent);
            self.fault(path, frame.offset, format!("an incarnation behind {parent}"), found);
        }
        let one_key = self.kind != LogKind::Replicated;
        if one_key && OriginId::of_key(&record.public_key) != self.report.origin {
            let expected = format!("a key of origin {}", self.report.origin);
            self.fault(path, frame.offset, expected, format!("key {}", record.public_key));
        }
    }

    fn blocks(&mut self, path: &Path, frame: &Frame<'_>, parts: &EntryParts<'_>, body: &[u8]) {
        let mut offset = parts.blocks_at;
        let hashes = parts.block_hashes(&self.hasher).ok();
        for (place, item) in parts.head.blocks.iter().enumerate() {
            let block = &body[offset..offset + item.bytes];
            let hash = match &hashes {
                Some(hashes) => hashes[place],
                // One of them cannot be hashed.
                None => Hashed::of(item, block).hash(&self.hasher).unwrap_or(Hash::ZERO),
            };
            if hash != item.hash {
                let at = frame.offset + crate::codec::frame::HEADER_BYTES as u64 + offset as u64;
                let expected = format!("a block of channel {} with hash {}", item.channel, item.hash);
                self.fault(path, at, expected, format!("hash {hash}"));
            }
            if self.options.channel.as_ref() == Some(&item.channel) {
                self.events(path, frame, block, item);
            }
            if item.erasable {
                self.erasable_block(item, block);
            }
            offset += item.bytes;
        }
    }

    fn events(&mut self, path: &Path, frame: &Frame<'_>, block: &[u8], item: &BlockItem) {
        let count = item.events;
        let mut cursor = crate::codec::Cursor::new(block);
        let decoded = (0..count)
            .try_for_each(|_| erasable::decode_event(&mut cursor, item.erasable).map(|_| ()))
            .and_then(|()| cursor.finish("block length"));
        match decoded {
            Ok(()) => {
                self.report.channel_events = self.report.channel_events.map(|sum| sum + u64::from(count));
            }
            Err(malformed) => self.fault(path, frame.offset, "events", wrong(&malformed)),
        }
    }

    /// Verifies the signature over an entry with the key of its incarnation.
    fn signature(&mut self, signed: &Signed) {
        self.report.signatures += 1;
        let Some(key) = self.state.key_of(signed.incarnation) else {
            let expected = format!("the beginning of incarnation {}", signed.incarnation);
            return self.fault(&signed.file, signed.offset, expected, "a signature without it");
        };
        let message = self.hasher.signed_message(signed.incarnation, signed.index, &signed.hash);
        if !key.verifies(&message, &signed.signature) {
            let expected = format!("a signature of entry {} by key {key}", signed.index);
            self.fault(&signed.file, signed.offset, expected, "another signature");
        }
    }

    /// Verifies the last signature of the incarnation at hand and notes what it covers.
    fn end_incarnation(&mut self) {
        let signed = self.last_signed.take();
        if let Some(signed) = &signed
            && !self.options.all_signatures
        {
            self.signature(&signed.clone());
        }
        let Some(incarnation) = self.state.incarnations.last() else { return };
        let next = self.state.next_index;
        let before = Position(incarnation.first_index.0).max(self.chain.last_signed);
        let covered = signed.map_or(before, |signed| signed.index.position_after());
        self.report.incarnations.push(IncarnationReport {
            id: incarnation.record.id,
            public_key: incarnation.record.public_key,
            first: incarnation.first_index,
            next,
            signed: covered,
            adopted: next.0.saturating_sub(covered.0),
        });
    }

    fn finish(mut self) -> Verified {
        self.end_incarnation();
        self.check_beginning();
        self.check_redactions();
        self.report.unsigned = self.state.position().0.saturating_sub(self.chain.last_signed.0);
        self.check_signed_end();
        if let Some(last) = self.report.incarnations.last_mut() {
            // Nothing adopts the newest incarnation's unsigned end yet.
            last.adopted = 0;
        }
        self.report.position = self.state.position();
        self.report.root = self.chain.root.hash(&self.hasher);
        Verified { report: self.report, state: self.state }
    }
}

fn created_here(head: &EntryHead, name: &ChannelName) -> bool {
    head.controls.iter().filter_map(Control::begins).any(|(created, _)| created == name)
}

fn wrong(malformed: &Malformed) -> String {
    format!("a wrong {malformed}")
}

fn used_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Returns how far readers may read beside a live writer; `None` without one.
fn live_bound(disk: &dyn Disk, dir: &Path, log_dir: &Path, log: LogId) -> Option<Position> {
    if !disk.is_locked(&dir.join("lock")).ok()? {
        return None;
    }
    let file = disk.open(&log_dir.join("visible"), OpenMode::Read).ok()?;
    let bytes = base::read_to_end(&*file, VISIBLE_BYTES).ok()?;
    visible::decode(&bytes).ok().filter(|visible| visible.log == log).map(|visible| visible.position)
}

#[cfg(test)]
mod tests;
