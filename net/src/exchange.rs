//! Messages in order, both ways, over one stream: for who has many to send and would pay for a stream each.
//!
//! ```text
//! message: u32 bytes, then as many
//! ```

use base::wire::Put;
use bytes::{Buf, Bytes, BytesMut};
use quinn::{RecvStream, SendStream};

use crate::connection::closed;
use crate::{Connection, RequestError};

/// Chunks of a stream that are taken at once.
const CHUNKS_MAX: usize = 64;
const LENGTH_BYTES: usize = 4;

/// The sending half of an exchange. Dropping it ends this direction.
#[derive(Debug)]
pub struct MessageSender {
    send: SendStream,
    out: Vec<u8>,
}

/// The receiving half of an exchange. Dropping it tells the other side to stop.
#[derive(Debug)]
pub struct MessageReceiver {
    receive: RecvStream,
    unread: BytesMut,
    bytes_max: usize,
}

impl Connection {
    /// Opens an exchange; the other side sees it with the first message.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`].
    pub async fn open_exchange(&self) -> Result<(MessageSender, MessageReceiver), RequestError> {
        let (send, receive) = self.streams().open_bi().await.map_err(closed)?;
        Ok(halves(send, receive, self.message_bytes_max()))
    }

    /// Waits for the next exchange that the other side opens. On one connection there are requests or exchanges, as its
    /// protocol says.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] when there will be none.
    pub async fn next_exchange(&self) -> Result<(MessageSender, MessageReceiver), RequestError> {
        let (send, receive) = self.streams().accept_bi().await.map_err(closed)?;
        Ok(halves(send, receive, self.message_bytes_max()))
    }
}

fn halves(send: SendStream, receive: RecvStream, bytes_max: usize) -> (MessageSender, MessageReceiver) {
    (MessageSender { send, out: Vec::new() }, MessageReceiver { receive, unread: BytesMut::new(), bytes_max })
}

impl MessageSender {
    /// Puts a message behind those that wait to be sent.
    pub fn push(&mut self, message: &[u8]) {
        self.out.put_length(message.len());
        self.out.put(message);
    }

    /// Sends what waits; returns when the connection has taken it.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`].
    pub async fn flush(&mut self) -> Result<(), RequestError> {
        let written = self.send.write_all(&self.out).await.map_err(closed);
        self.out.clear();
        written
    }

    /// Ends this direction: the other side gets what was sent, and knows that there is no more.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`].
    pub fn finish(&mut self) -> Result<(), RequestError> {
        self.send.finish().map_err(closed)
    }
}

impl MessageReceiver {
    /// Waits for messages, and returns all that are there; none when the other side has ended.
    ///
    /// *Cancel safety*: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooLarge`], [`RequestError::Closed`]; also when the end is within a message.
    pub async fn next(&mut self) -> Result<Vec<Bytes>, RequestError> {
        loop {
            let messages = self.take_whole()?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            let mut chunks = [const { Bytes::new() }; CHUNKS_MAX];
            let Some(count) = self.receive.read_chunks(&mut chunks).await.map_err(closed)? else {
                return match self.unread.is_empty() {
                    true => Ok(Vec::new()),
                    false => Err(closed("it ended within a message")),
                };
            };
            chunks[..count].iter().for_each(|chunk| self.unread.extend_from_slice(chunk));
        }
    }

    fn take_whole(&mut self) -> Result<Vec<Bytes>, RequestError> {
        let mut messages = Vec::new();
        while let Some(length) = self.unread.first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            if length > self.bytes_max {
                return Err(RequestError::TooLarge { max: self.bytes_max });
            }
            if self.unread.len() < LENGTH_BYTES + length {
                break;
            }
            self.unread.advance(LENGTH_BYTES);
            messages.push(self.unread.split_to(length).freeze());
        }
        Ok(messages)
    }
}
