//! Channels whose payloads are values of one type.

use std::marker::PhantomData;

use base::{ChannelName, Seq};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{AppendError, ReadError};
use crate::{Event, EventInput, Log, LogReader, LogWriter, Selection, Tail, Ticket};

/// How values become payloads; the header `content-type` names it in every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Compact JSON: SQL can look into it.
    Json,
    /// postcard: smaller and faster, opaque to SQL.
    Postcard,
}

impl Encoding {
    /// Returns the value of the header `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Postcard => "application/vnd.postcard",
        }
    }

    fn encode<T: Serialize>(self, value: &T) -> Result<Vec<u8>, String> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|error| error.to_string()),
            Self::Postcard => postcard::to_stdvec(value).map_err(|error| error.to_string()),
        }
    }

    fn decode<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_slice(payload).map_err(|error| error.to_string()),
            Self::Postcard => match postcard::take_from_bytes(payload) {
                Ok((value, [])) => Ok(value),
                Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// A value with its number, or why it does not decode.
pub type Decoded<T> = Result<(Seq, T), ReadError>;

/// A channel of values. Cloning shares it.
///
/// # Examples
///
/// ```
/// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
/// let channel = base::ChannelName::new("temperatures")?;
/// let temperatures = redex::TypedChannel::<f64>::new(store.main(), &channel, redex::Encoding::Json);
/// temperatures.append("temperature.read", &21.5)?.wait(redex::Ack::Durable).into_result()?;
/// let values: Vec<_> = temperatures.read()?.collect::<Result<_, _>>()?;
/// assert_eq!(values, [(base::Seq(0), 21.5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TypedChannel<T, W = Log> {
    writer: W,
    name: ChannelName,
    encoding: Encoding,
    value: PhantomData<fn(T) -> T>,
}

impl<T, W: Clone> Clone for TypedChannel<T, W> {
    fn clone(&self) -> Self {
        let (writer, name) = (self.writer.clone(), self.name.clone());
        Self { writer, name, encoding: self.encoding, value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned, W: LogWriter + Clone> TypedChannel<T, W> {
    /// Names a channel of a log; it is created by the first append.
    pub fn new(writer: &W, name: &ChannelName, encoding: Encoding) -> Self {
        Self { writer: writer.clone(), name: name.clone(), encoding, value: PhantomData }
    }

    /// Appends one value as an event of a kind.
    ///
    /// # Errors
    ///
    /// [`AppendError::Encode`] when the value cannot be encoded; otherwise as [`Log::append`].
    pub fn append(&self, kind: &str, value: &T) -> Result<Ticket, AppendError> {
        self.append_all(kind, std::slice::from_ref(value))
    }

    /// Appends several values atomically.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); then none of them is appended.
    pub fn append_all(&self, kind: &str, values: &[T]) -> Result<Ticket, AppendError> {
        let encode = |value| {
            self.encoding
                .encode(value)
                .map_err(|cause| AppendError::Encode { channel: self.name.clone(), cause })
        };
        let payloads = values.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let headers = [("content-type", self.encoding.content_type().as_bytes())];
        let events: Vec<_> =
            payloads.iter().map(|payload| EventInput::new(kind, payload).with_headers(&headers)).collect();
        self.writer.append(&self.name, &events)
    }

    /// Reads all visible values with their numbers. One that does not decode is an error item; the next ones
    /// follow.
    ///
    /// # Errors
    ///
    /// As [`LogView::read`](crate::LogView::read).
    pub fn read(&self) -> Result<impl Iterator<Item = Decoded<T>> + use<T, W>, ReadError> {
        let encoding = self.encoding;
        let events = self.reader().view().read(&Selection::channel(&self.name))?;
        Ok(events.map(move |event| event.and_then(|event| decode(encoding, &event))))
    }

    /// Follows the channel from a number on.
    pub fn tail(&self, from: Seq) -> TypedTail<T> {
        let mut selection = Selection::channel(&self.name);
        selection.seqs.from = Some(from.0);
        TypedTail { tail: self.reader().tail(selection), encoding: self.encoding, value: PhantomData }
    }

    fn reader(&self) -> &LogReader {
        self.writer.reader()
    }
}

fn decode<T: DeserializeOwned>(encoding: Encoding, event: &Event) -> Decoded<T> {
    if event.is_redacted() {
        return Err(ReadError::Redacted { channel: event.channel.clone(), seq: event.seq });
    }
    match encoding.decode(&event.payload) {
        Ok(value) => Ok((event.seq, value)),
        Err(cause) => Err(ReadError::Decode { channel: event.channel.clone(), seq: event.seq, cause }),
    }
}

/// A [`Tail`] of values.
#[derive(Debug)]
pub struct TypedTail<T> {
    tail: Tail,
    encoding: Encoding,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedTail<T> {
    /// Returns the next values, none when everything visible was given out; an item that does not decode is an
    /// error, and the next ones follow.
    ///
    /// # Errors
    ///
    /// As [`Tail::next_batch`].
    pub fn next_batch(&mut self) -> Result<Vec<Decoded<T>>, ReadError> {
        Ok(self.tail.next_batch()?.iter().map(|event| decode(self.encoding, event)).collect())
    }

    /// Returns the tail, to wait on.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }
}
