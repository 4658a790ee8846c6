//! Requests.
//!
//! ```text
//! u8 what: 0 append, 1 create a channel
//! append: u8 repetition: 0 none, 1 key, 2 producer, 3 producer with digest;
//!         key: u16+text; producer: u16+text, u64 number, with digest [32]
//!         u16 conditions, each: u16+channel, u8 0 any, 1 no channel, 2 exists, 3 exact: u64
//!         u16 parts, each: u16+channel, u32 events, each: an event record as in the log, ordinal 0
//! create: u16+channel, configuration as in control records
//! ```

use base::wire::{Cursor, Malformed, Put};
use base::{ChannelName, Hash, Seq};

use super::ExchangeError;
use crate::codec::control::{decode_config, decode_name, encode_config};
use crate::codec::event::{self, StoredEvent};
use crate::error::AppendError;
use crate::{
    AppendRequest, BlobReference, ChannelConfig, ChannelEvents, Condition, EventInput, Expect, Idempotency,
};

/// What a sequencer is asked.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// To append.
    Append(&'a AppendRequest<'a>),
    /// To create a channel.
    CreateChannel {
        /// Its name.
        channel: &'a ChannelName,
        /// What it is to be like.
        config: &'a ChannelConfig,
    },
}

impl Request<'_> {
    /// Tells whether asking again, when nobody knows what became of it, cannot do it twice.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Append(append) => append.idempotency != Idempotency::None,
            Self::CreateChannel { .. } => true,
        }
    }

    /// Checks every length against its limit, as the sequencer does.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`], [`AppendError::Empty`], [`AppendError::Config`].
    pub fn check(&self) -> Result<(), AppendError> {
        match self {
            Self::Append(append) => append.check().map(|_| ()),
            Self::CreateChannel { channel, config } => match config.fault() {
                Some(fault) => Err(AppendError::Config { channel: (*channel).clone(), fault }),
                None => Ok(()),
            },
        }
    }
}

/// Encodes a request.
///
/// # Errors
///
/// As [`Request::check`]; [`AppendError::TooLarge`] also for more than 65,535 parts or conditions.
pub fn encode_request(request: &Request<'_>) -> Result<Vec<u8>, AppendError> {
    request.check()?;
    let mut out = Vec::new();
    match request {
        Request::Append(append) => {
            out.put_u8(0);
            encode_append(&mut out, append)?;
        }
        Request::CreateChannel { channel, config } => {
            out.put_u8(1);
            out.put_text16(channel.as_str());
            encode_config(&mut out, config);
        }
    }
    Ok(out)
}

fn encode_append(out: &mut Vec<u8>, append: &AppendRequest<'_>) -> Result<(), AppendError> {
    match append.idempotency {
        Idempotency::None => out.put_u8(0),
        Idempotency::Key(key) => {
            out.put_u8(1);
            out.put_text16(key);
        }
        Idempotency::Producer { id, number, digest } => {
            out.put_u8(if digest.is_some() { 3 } else { 2 });
            out.put_text16(id);
            out.put_u64(number);
            if let Some(digest) = digest {
                out.put(digest.as_bytes());
            }
        }
    }
    put_count(out, "number of conditions", append.conditions.len())?;
    for condition in append.conditions {
        out.put_text16(condition.channel.as_str());
        encode_expect(out, condition.expect);
    }
    put_count(out, "number of parts", append.parts.len())?;
    for part in append.parts {
        out.put_text16(part.channel.as_str());
        out.put_length(part.events.len());
        part.events.iter().for_each(|event| event::encode(out, 0, event));
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, what: &'static str, count: usize) -> Result<(), AppendError> {
    let max = usize::from(u16::MAX);
    let fits = u16::try_from(count).map_err(|_| AppendError::TooLarge { what, bytes: count, max })?;
    out.put_u16(fits);
    Ok(())
}

pub(super) fn encode_expect(out: &mut Vec<u8>, expect: Expect) {
    match expect {
        Expect::Any => out.put_u8(0),
        Expect::NoChannel => out.put_u8(1),
        Expect::Exists => out.put_u8(2),
        Expect::Exact(seq) => {
            out.put_u8(3);
            out.put_u64(seq.0);
        }
    }
}

pub(super) fn decode_expect(cursor: &mut Cursor<'_>) -> Result<Expect, Malformed> {
    match cursor.u8("expectation")? {
        0 => Ok(Expect::Any),
        1 => Ok(Expect::NoChannel),
        2 => Ok(Expect::Exists),
        3 => Ok(Expect::Exact(Seq(cursor.u64("expected number")?))),
        _ => Err(Malformed::new("expectation")),
    }
}

/// Decodes a request, and does something with it. Payloads are not copied.
///
/// # Errors
///
/// [`ExchangeError`] for anything but what [`encode_request`] gives; `act` is not called then.
pub fn decode_request<R>(bytes: &[u8], act: impl FnOnce(&Request<'_>) -> R) -> Result<R, ExchangeError> {
    let mut cursor = Cursor::new(bytes);
    let result = match cursor.u8("request").map_err(ExchangeError)? {
        0 => decode_append(cursor, act),
        1 => decode_create(cursor, act),
        _ => Err(Malformed::new("request")),
    };
    result.map_err(ExchangeError)
}

fn decode_create<R>(mut cursor: Cursor<'_>, act: impl FnOnce(&Request<'_>) -> R) -> Result<R, Malformed> {
    let channel = decode_name(&mut cursor)?;
    let config = decode_config(&mut cursor)?;
    cursor.finish("length")?;
    Ok(act(&Request::CreateChannel { channel: &channel, config: &config }))
}

/// An event whose headers and references were laid out as a request has them.
struct Laid<'a> {
    event: StoredEvent<'a>,
    headers: Vec<(&'a str, &'a [u8])>,
    blobs: Vec<BlobReference>,
}

impl Laid<'_> {
    fn input(&self) -> EventInput<'_> {
        EventInput {
            kind: self.event.kind(),
            key: self.event.key(),
            headers: &self.headers,
            time: self.event.time(),
            blobs: &self.blobs,
            payload: self.event.payload(),
        }
    }
}

fn decode_append<R>(mut cursor: Cursor<'_>, act: impl FnOnce(&Request<'_>) -> R) -> Result<R, Malformed> {
    let idempotency = decode_idempotency(&mut cursor)?;
    let mut conditions = Vec::new();
    for _ in 0..cursor.u16("conditions")? {
        let channel = decode_name(&mut cursor)?;
        conditions.push(Condition { channel, expect: decode_expect(&mut cursor)? });
    }
    let mut laid: Vec<(ChannelName, Vec<Laid<'_>>)> = Vec::new();
    for _ in 0..cursor.u16("parts")? {
        let channel = decode_name(&mut cursor)?;
        let count = cursor.length("events")?;
        // A count of more events than there are bytes runs into the end, not into memory.
        let mut events = Vec::with_capacity(count.min(cursor.remaining() / event::EVENT_BYTES_MIN));
        for _ in 0..count {
            let event = StoredEvent::take(&mut cursor)?;
            if event.is_redacted() || event.ordinal != 0 {
                return Err(Malformed::new("event"));
            }
            let (headers, blobs) = (event.headers().iter().collect(), event.blobs().iter().collect());
            events.push(Laid { event, headers, blobs });
        }
        laid.push((channel, events));
    }
    cursor.finish("length")?;
    let inputs: Vec<(&ChannelName, Vec<EventInput<'_>>)> =
        laid.iter().map(|(channel, events)| (channel, events.iter().map(Laid::input).collect())).collect();
    let parts: Vec<_> =
        inputs.iter().map(|(channel, events)| ChannelEvents { channel, events: events.as_slice() }).collect();
    let append = AppendRequest { parts: &parts, conditions: &conditions, idempotency };
    Ok(act(&Request::Append(&append)))
}

fn decode_idempotency<'a>(cursor: &mut Cursor<'a>) -> Result<Idempotency<'a>, Malformed> {
    let repetition = cursor.u8("repetition")?;
    match repetition {
        0 => Ok(Idempotency::None),
        1 => Ok(Idempotency::Key(cursor.text16("key")?)),
        2 | 3 => {
            let (id, number) = (cursor.text16("producer")?, cursor.u64("number")?);
            let digest = match repetition {
                2 => None,
                _ => Some(Hash::from_bytes(cursor.array("digest")?)),
            };
            Ok(Idempotency::Producer { id, number, digest })
        }
        _ => Err(Malformed::new("repetition")),
    }
}
