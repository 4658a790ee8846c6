//! A connection whose two sides know each other.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{NodeId, PublicKey};
use quinn::{ReadToEndError, RecvStream, SendStream, VarInt};

use crate::Protocol;
use crate::endpoint::Live;
use crate::error::RequestError;

/// Why a stream ends whose request has no answer.
const UNANSWERED: VarInt = VarInt::from_u32(1);

/// A connection that was greeted. It ends when the last clone is dropped, and when the other side is no member any more.
#[derive(Clone)]
pub struct Connection {
    live: Arc<Live>,
    /// The most bytes of a request or an answer that are read.
    message_bytes_max: usize,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, node) = (self.peer(), self.node());
        f.debug_struct("Connection").field("peer", &peer).field("node", &node).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(live: Arc<Live>, message_bytes_max: usize) -> Self {
        Self { live, message_bytes_max }
    }

    /// Returns the key that the other side has shown.
    pub fn peer(&self) -> PublicKey {
        self.live.asks.key
    }

    /// Returns the other side's node.
    pub fn node(&self) -> NodeId {
        self.live.asks.node
    }

    /// Returns what the connection is for.
    pub fn protocol(&self) -> Protocol {
        self.live.asks.protocol
    }

    /// Returns where the other side is.
    pub fn remote_address(&self) -> SocketAddr {
        self.live.connection.remote_address()
    }

    /// Sends a request on a stream of its own and waits for the answer. Requests on one connection do not wait for each
    /// other.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; the other side may have acted on the request whatever it is.
    pub async fn request(&self, body: &[u8], within: Duration) -> Result<Vec<u8>, RequestError> {
        let exchange = async {
            let (mut send, mut receive) = self.live.connection.open_bi().await.map_err(closed)?;
            send.write_all(body).await.map_err(closed)?;
            send.finish().map_err(closed)?;
            read(&mut receive, self.message_bytes_max).await
        };
        tokio::time::timeout(within, exchange).await.unwrap_or(Err(RequestError::Timeout { within }))
    }

    /// Waits for the next request of the other side.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] when there will be none.
    pub async fn next_request(&self) -> Result<Request, RequestError> {
        let (send, receive) = self.live.connection.accept_bi().await.map_err(closed)?;
        Ok(Request { send, receive, bytes_max: self.message_bytes_max, answered: false })
    }

    /// Tells whether the connection has not ended, as far as is known.
    pub fn is_open(&self) -> bool {
        self.live.connection.close_reason().is_none()
    }

    /// Waits until the connection has ended; returns why.
    pub async fn closed(&self) -> String {
        self.live.connection.closed().await.to_string()
    }

    /// Ends the connection; who waits for answers gets none.
    pub fn close(&self) {
        self.live.connection.close(crate::endpoint::DONE, b"");
    }
}

/// A request of the other side. One that is dropped without an answer is reset, which its sender sees.
#[derive(Debug)]
pub struct Request {
    send: SendStream,
    receive: RecvStream,
    bytes_max: usize,
    answered: bool,
}

impl Request {
    /// Reads what was asked.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooLarge`], [`RequestError::Closed`].
    pub async fn body(&mut self) -> Result<Vec<u8>, RequestError> {
        read(&mut self.receive, self.bytes_max).await
    }

    /// Answers; returns when the answer is on its way.
    ///
    /// # Errors
    ///
    /// [`RequestError::Closed`] when nobody waits for it any more.
    pub async fn answer(mut self, body: &[u8]) -> Result<(), RequestError> {
        self.send.write_all(body).await.map_err(closed)?;
        self.answered = true;
        self.send.finish().map_err(closed)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            // The library would end the stream, which reads as an empty answer. An ended connection says enough.
            let _ = self.send.reset(UNANSWERED);
        }
    }
}

async fn read(receive: &mut RecvStream, max: usize) -> Result<Vec<u8>, RequestError> {
    receive.read_to_end(max).await.map_err(|error| match error {
        ReadToEndError::TooLong => RequestError::TooLarge { max },
        ReadToEndError::Read(error) => closed(error),
    })
}

fn closed(error: impl fmt::Display) -> RequestError {
    RequestError::Closed { cause: error.to_string() }
}
