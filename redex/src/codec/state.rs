//! The body of a state frame: log state and chain as they were when the segment began.
//!
//! ```text
//! u16 format version, u16 flags: 1 redactions, 2 keyed, 4 consensus, u32 bytes of local state, local state
//! u64 next index, u64 index of the first entry that is kept, u64 term and u64 node of the last entry, [32] its hash,
//! i64 last recorded at,
//! u64 last signed position, [32] hash there, u64 leaves of the log root, its peaks, each [32]
//! u32 channels, each: u16 + name, u64 base, u64 next, i64 created at, u64 created index, configuration
//! u32 producers, each: u16 + id, u64 number, [32] digest, place
//! u32 keys from the oldest, each: u16 + key, [32] digest, place
//! u32 incarnations, each: [16] id, [32] key, [16] parent, u64 last signed position, [32] hash there,
//!     u64 first index, u64 term, i64 began at, [32] parent hash
//! u32 holes, each: u32 bytes, hole as in control records
//! with redactions: u64 how many are on record
//! if keyed: u64 records by channel and key, each: u16 + channel name, u64 seq, u64 index, i64 recorded at, event
//! with consensus: u8 entries (1 or 2), each: u64 term, u64 node, u64 index, u32 + what consensus wrote
//! if channels left or came from other logs: u32 that left, each: u16 + name, place of a log as in control records,
//!     u64 index of the entry that says so, i64 recorded at;
//!     u32 that came, each: u16 + name, place of a log, u64 position there, u64 first number here
//! place: u64 index, u16 ranges, each (u16 + channel name, u64 first, u64 count)
//! ```

use std::sync::Arc;

use base::{
    ChannelName, Hash, IncarnationId, Index, NodeId, Position, PublicKey, Seq, Slot, Term, Timestamp,
};

use super::control::{
    IncarnationRecord, decode_config, decode_hole, decode_name, decode_place as decode_log, encode_config,
    encode_hole, encode_place as encode_log,
};
use super::local::{self, LocalState};
use super::{Cursor, FORMAT_VERSION, Malformed, Put, event};
use crate::chain::Chain;
use crate::codec::append::Repeat;
use crate::keyed::{KeyedChange, KeyedMap, KeyedRecord};
use crate::root::LogRoot;
use crate::state::{
    ArrivedState, CONSENSUS_KEPT, ChannelState, ConsensusState, IncarnationState, LogState, MovedState,
};
use crate::{At, ChannelRange};

const FLAG_REDACTIONS: u16 = 1;
const FLAG_KEYED: u16 = 2;
const FLAG_CONSENSUS: u16 = 4;

/// What a segment begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning {
    pub state: LogState,
    pub chain: Chain,
    pub local: LocalState,
}

pub(crate) fn encode(state: &LogState, chain: &Chain, local: &LocalState) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u16(FORMAT_VERSION);
    out.put_u16(flags(state));
    let mut local_bytes = Vec::new();
    local::encode(&mut local_bytes, local);
    out.put_length(local_bytes.len());
    out.put(&local_bytes);
    out.put_u64(state.next_index.0);
    out.put_u64(state.trimmed.0);
    out.put_u64(chain.term.0);
    out.put_u64(chain.node.0);
    out.put(chain.last_hash.as_bytes());
    out.put_i64(state.last_recorded_at.as_nanos());
    out.put_u64(chain.last_signed.0);
    out.put(chain.last_signed_hash.as_bytes());
    out.put_u64(chain.root.position().0);
    chain.root.peaks().iter().for_each(|peak| out.put(peak.as_bytes()));
    out.put_length(state.channels().len());
    for channel in state.channels() {
        encode_channel(&mut out, channel);
    }
    out.put_length(state.producers().len());
    for (id, producer) in state.producers() {
        out.put_text16(id);
        out.put_u64(producer.number);
        out.put(producer.digest.as_bytes());
        encode_place(&mut out, &producer.at);
    }
    out.put_length(state.keys().len());
    for (key, remembered) in state.keys() {
        out.put_text16(key);
        out.put(remembered.digest.as_bytes());
        encode_place(&mut out, &remembered.at);
    }
    out.put_length(state.incarnations.len());
    for incarnation in &state.incarnations {
        encode_incarnation(&mut out, incarnation);
    }
    out.put_length(state.holes.len());
    for hole in &state.holes {
        let mut bytes = Vec::new();
        encode_hole(&mut bytes, hole);
        out.put_length(bytes.len());
        out.put(&bytes);
    }
    if state.redactions > 0 {
        out.put_u64(state.redactions);
    }
    if let Some(keyed) = &state.keyed {
        encode_keyed(&mut out, keyed);
    }
    if !state.consensus.is_empty() {
        encode_consensus(&mut out, &state.consensus);
    }
    encode_moves(&mut out, state);
    out
}

/// Writes nothing where no channel moved.
fn encode_moves(out: &mut Vec<u8>, state: &LogState) {
    let channels = state.channels();
    let left: Vec<_> =
        channels.iter().filter_map(|channel| Some((channel, channel.moved.as_ref()?))).collect();
    let came: Vec<_> =
        channels.iter().filter_map(|channel| Some((channel, channel.arrived.as_ref()?))).collect();
    if left.is_empty() && came.is_empty() {
        return;
    }
    out.put_length(left.len());
    for (channel, moved) in left {
        out.put_text16(channel.name.as_str());
        encode_log(out, &moved.to);
        out.put_u64(moved.index.0);
        out.put_i64(moved.recorded_at.as_nanos());
    }
    out.put_length(came.len());
    for (channel, arrived) in came {
        out.put_text16(channel.name.as_str());
        encode_log(out, &arrived.from);
        out.put_u64(arrived.position.0);
        out.put_u64(arrived.first.0);
    }
}

fn flags(state: &LogState) -> u16 {
    let redactions = if state.redactions > 0 { FLAG_REDACTIONS } else { 0 };
    let keyed = if state.keyed.is_some() { FLAG_KEYED } else { 0 };
    let consensus = if state.consensus.is_empty() { 0 } else { FLAG_CONSENSUS };
    redactions | keyed | consensus
}

fn encode_consensus(out: &mut Vec<u8>, written: &[ConsensusState]) {
    out.put_u8(u8::try_from(written.len()).expect("two entries at most are kept"));
    for entry in written {
        out.put_u64(entry.slot.term.0);
        out.put_u64(entry.slot.node.0);
        out.put_u64(entry.slot.index.0);
        out.put_length(entry.bytes.len());
        out.put(&entry.bytes);
    }
}

fn encode_keyed(out: &mut Vec<u8>, keyed: &KeyedMap) {
    out.put_u64(keyed.len() as u64);
    for (channel, _, record) in keyed.iter() {
        out.put_text16(channel.as_str());
        out.put_u64(record.seq.0);
        out.put_u64(record.index.0);
        out.put_i64(record.recorded_at.as_nanos());
        out.put(&record.bytes);
    }
}

fn decode_keyed(cursor: &mut Cursor<'_>) -> Result<KeyedMap, Malformed> {
    let mut keyed = KeyedMap::default();
    let mut last: Option<(ChannelName, Box<str>)> = None;
    for _ in 0..cursor.u64("keyed records")? {
        let channel = decode_name(cursor)?;
        let seq = Seq(cursor.u64("sequence number")?);
        let index = Index(cursor.u64("index")?);
        let recorded_at = Timestamp::from_nanos(cursor.i64("recorded at")?);
        let mut ahead = cursor.clone();
        let record = event::decode(&mut ahead)?;
        let bytes = cursor.take(cursor.remaining() - ahead.remaining(), "event length")?;
        let key: Box<str> = record.key.ok_or(Malformed::new("key"))?.into();
        let place = (channel.clone(), key.clone());
        if record.payload.is_empty() || last.is_some_and(|last| last >= place) {
            return Err(Malformed::new("keyed record"));
        }
        last = Some(place);
        let record = Some(KeyedRecord { seq, index, recorded_at, bytes: bytes.into() });
        keyed.apply(&KeyedChange { channel, key, record });
    }
    Ok(keyed)
}

fn encode_channel(out: &mut Vec<u8>, channel: &ChannelState) {
    out.put_text16(channel.name.as_str());
    out.put_u64(channel.base.0);
    out.put_u64(channel.next.0);
    out.put_i64(channel.created_at.as_nanos());
    out.put_u64(channel.created_index.0);
    encode_config(out, &channel.config);
}

pub(crate) fn encode_place(out: &mut Vec<u8>, at: &At) {
    out.put_u64(at.index.0);
    out.put_u16(u16::try_from(at.ranges().len()).expect("an entry has far fewer blocks"));
    for range in at.ranges() {
        out.put_text16(range.channel.as_str());
        out.put_u64(range.first.0);
        out.put_u64(range.count);
    }
}

fn encode_incarnation(out: &mut Vec<u8>, incarnation: &IncarnationState) {
    let record = &incarnation.record;
    out.put(record.id.as_bytes());
    out.put(record.public_key.as_bytes());
    out.put(record.parent.as_bytes());
    out.put_u64(record.last_signed.0);
    out.put(record.last_signed_hash.as_bytes());
    out.put_u64(incarnation.first_index.0);
    out.put_u64(incarnation.term.0);
    out.put_i64(incarnation.began_at.as_nanos());
    out.put(incarnation.parent_hash.as_bytes());
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Beginning, Malformed> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u16("format version")? != FORMAT_VERSION {
        return Err(Malformed::new("format version"));
    }
    let flags = cursor.u16("state flags")?;
    if flags & !(FLAG_REDACTIONS | FLAG_KEYED | FLAG_CONSENSUS) != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    let length = cursor.length("local state")?;
    let local = local::decode(cursor.take(length, "local state")?)?;
    let mut state = LogState::default();
    state.next_index = Index(cursor.u64("next index")?);
    state.trimmed = Position(cursor.u64("first kept entry")?);
    if state.trimmed > state.position() {
        return Err(Malformed::new("first kept entry"));
    }
    let term = Term(cursor.u64("term")?);
    let node = NodeId(cursor.u64("node")?);
    let last_hash = Hash::from_bytes(cursor.array("last hash")?);
    state.last_recorded_at = Timestamp::from_nanos(cursor.i64("last recorded at")?);
    let last_signed = Position(cursor.u64("last signed position")?);
    let last_signed_hash = Hash::from_bytes(cursor.array("last signed hash")?);
    let leaves = cursor.u64("log root leaves")?;
    let peaks = (0..leaves.count_ones())
        .map(|_| Ok(Hash::from_bytes(cursor.array("log root peak")?)))
        .collect::<Result<_, Malformed>>()?;
    let root = LogRoot::from_parts(leaves, peaks).ok_or(Malformed::new("log root"))?;
    // Else a hole would be filled up from far below.
    if root.position().next_index() != state.next_index {
        return Err(Malformed::new("log root"));
    }
    let chain = Chain { term, node, last_hash, last_signed, last_signed_hash, root };
    for _ in 0..cursor.u32("channels")? {
        let channel = decode_channel(&mut cursor)?;
        if state.slot(&channel.name).is_some() {
            return Err(Malformed::new("channel"));
        }
        state.insert_channel(channel);
    }
    for _ in 0..cursor.u32("producers")? {
        let id = Box::from(cursor.text16("producer id")?);
        let number = cursor.u64("producer number")?;
        let digest = Hash::from_bytes(cursor.array("digest")?);
        state.remember(&Repeat::Producer { id, number }, digest, decode_place(&mut cursor)?);
    }
    for _ in 0..cursor.u32("keys")? {
        let key = Box::from(cursor.text16("key")?);
        let digest = Hash::from_bytes(cursor.array("digest")?);
        state.remember(&Repeat::Key(key), digest, decode_place(&mut cursor)?);
    }
    for _ in 0..cursor.u32("incarnations")? {
        state.incarnations.push(decode_incarnation(&mut cursor)?);
    }
    for _ in 0..cursor.u32("holes")? {
        let length = cursor.length("hole length")?;
        let mut hole = Cursor::new(cursor.take(length, "hole length")?);
        state.holes.push(decode_hole(&mut hole)?);
        hole.finish("hole length")?;
    }
    if flags & FLAG_REDACTIONS != 0 {
        state.redactions = cursor.u64("redactions")?;
        if state.redactions == 0 {
            return Err(Malformed::new("redactions"));
        }
    }
    if flags & FLAG_KEYED != 0 {
        state.keyed = Some(Arc::new(decode_keyed(&mut cursor)?));
    }
    if flags & FLAG_CONSENSUS != 0 {
        state.consensus = decode_consensus(&mut cursor, state.next_index)?;
    }
    if cursor.remaining() > 0 {
        decode_moves(&mut cursor, &mut state)?;
    }
    cursor.finish("state length")?;
    Ok(Beginning { state, chain, local })
}

/// Takes what consensus wrote: in order, below the end, and never nothing.
fn decode_consensus(cursor: &mut Cursor<'_>, next_index: Index) -> Result<Vec<ConsensusState>, Malformed> {
    let entries = cursor.u8("entries of consensus")?;
    if entries == 0 || usize::from(entries) > CONSENSUS_KEPT {
        return Err(Malformed::new("entries of consensus"));
    }
    let mut written: Vec<ConsensusState> = Vec::new();
    for _ in 0..entries {
        let term = Term(cursor.u64("term of consensus")?);
        let node = NodeId(cursor.u64("node of consensus")?);
        let index = Index(cursor.u64("index of consensus")?);
        let length = cursor.length("length of consensus")?;
        let bytes: Box<[u8]> = cursor.take(length, "length of consensus")?.into();
        let before = written.last().map(|before| before.slot.index);
        if index >= next_index || bytes.is_empty() || before.is_some_and(|before| before >= index) {
            return Err(Malformed::new("entry of consensus"));
        }
        written.push(ConsensusState { slot: Slot { term, node, index }, bytes });
    }
    Ok(written)
}

fn decode_moves(cursor: &mut Cursor<'_>, state: &mut LogState) -> Result<(), Malformed> {
    let left = cursor.u32("channels that left")?;
    let mut before = None;
    for _ in 0..left {
        let slot = next_slot(cursor, state, &mut before)?;
        let to = decode_log(cursor)?;
        let index = Index(cursor.u64("index of a move")?);
        let recorded_at = Timestamp::from_nanos(cursor.i64("time of a move")?);
        state.leave(slot, MovedState { to, index, recorded_at });
    }
    let came = cursor.u32("channels that came")?;
    let mut before = None;
    for _ in 0..came {
        let slot = next_slot(cursor, state, &mut before)?;
        let from = decode_log(cursor)?;
        let position = Position(cursor.u64("position of a move")?);
        let first = Seq(cursor.u64("first number")?);
        state.come(slot, ArrivedState { from, position, first });
    }
    // Without any the section is left out.
    if left == 0 && came == 0 { Err(Malformed::new("state length")) } else { Ok(()) }
}

/// Takes a channel's name; channels come in the order of their creation.
fn next_slot(
    cursor: &mut Cursor<'_>,
    state: &LogState,
    before: &mut Option<usize>,
) -> Result<usize, Malformed> {
    let slot = state.slot(&decode_name(cursor)?).ok_or(Malformed::new("channel that moved"))?;
    if before.replace(slot).is_some_and(|before| before >= slot) {
        return Err(Malformed::new("order of channels"));
    }
    Ok(slot)
}

fn decode_channel(cursor: &mut Cursor<'_>) -> Result<ChannelState, Malformed> {
    Ok(ChannelState {
        name: decode_name(cursor)?,
        base: Seq(cursor.u64("base sequence number")?),
        next: Seq(cursor.u64("next sequence number")?),
        created_at: Timestamp::from_nanos(cursor.i64("created at")?),
        created_index: Index(cursor.u64("created index")?),
        config: decode_config(cursor)?,
        moved: None,
        arrived: None,
    })
}

pub(crate) fn decode_place(cursor: &mut Cursor<'_>) -> Result<At, Malformed> {
    let index = Index(cursor.u64("place index")?);
    let ranges = (0..cursor.u16("place ranges")?)
        .map(|_| {
            let channel = decode_name(cursor)?;
            let first = Seq(cursor.u64("range start")?);
            Ok(ChannelRange { channel, first, count: cursor.u64("range count")? })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(At::many(index, ranges))
}

fn decode_incarnation(cursor: &mut Cursor<'_>) -> Result<IncarnationState, Malformed> {
    let record = IncarnationRecord {
        id: IncarnationId::from_bytes(cursor.array("incarnation id")?),
        public_key: PublicKey::from_bytes(cursor.array("public key")?),
        parent: IncarnationId::from_bytes(cursor.array("parent incarnation")?),
        last_signed: Position(cursor.u64("last signed position")?),
        last_signed_hash: Hash::from_bytes(cursor.array("last signed hash")?),
    };
    Ok(IncarnationState {
        record,
        first_index: Index(cursor.u64("first index")?),
        term: Term(cursor.u64("term")?),
        began_at: Timestamp::from_nanos(cursor.i64("began at")?),
        parent_hash: Hash::from_bytes(cursor.array("parent hash")?),
    })
}
