//! A connection whose two sides know each other.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::{NodeId, PublicKey};
use bytes::Bytes;
use quinn::{ReadToEndError, RecvStream, SendDatagramError, SendStream, VarInt};

use crate::Protocol;
use crate::endpoint::{Asks, Counters};
use crate::error::{DatagramError, RequestError};

/// Why a stream ends whose request has no answer.
const UNANSWERED: VarInt = VarInt::from_u32(1);
/// What a request has at most that is sent before larger ones.
const URGENT_BYTES_MAX: usize = 512;

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

/// A connection that was let in. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Live {
    pub asks: Asks,
    pub connection: quinn::Connection,
    /// Whether the other side has made it.
    pub taken: bool,
    datagrams_read: AtomicU64,
    counters: Arc<Counters>,
}

impl Live {
    /// Wraps a connection; datagrams that came before are dropped.
    pub fn new(asks: Asks, connection: quinn::Connection, taken: bool, counters: Arc<Counters>) -> Self {
        drop_datagrams(&connection);
        Self { asks, connection, taken, datagrams_read: AtomicU64::new(0), counters }
    }

    /// Returns how many datagrams came and were not read.
    pub fn datagrams_unread(&self) -> u64 {
        let read = self.datagrams_read.load(Ordering::Relaxed);
        self.connection.stats().frame_rx.datagram.saturating_sub(read)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let unread = self.datagrams_unread();
        self.counters.count(|counts| counts.datagrams_unread += unread);
    }
}

/// Drops the datagrams that wait.
fn drop_datagrams(connection: &quinn::Connection) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(_)) = pin!(connection.read_datagram()).poll(&mut context) {}
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
    /// other's answers. Their bytes are sent in the order in which they were asked, but for small ones (512 bytes), such as
    /// votes, which come before large ones.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; the other side may have acted on the request whatever it is.
    pub async fn request(&self, body: &[u8], within: Duration) -> Result<Vec<u8>, RequestError> {
        self.ask(body, within, body.len() <= URGENT_BYTES_MAX).await
    }

    /// Sends a request as [`request`](Self::request) does, before large ones, however large it is.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub async fn request_urgent(&self, body: &[u8], within: Duration) -> Result<Vec<u8>, RequestError> {
        self.ask(body, within, true).await
    }

    async fn ask(&self, body: &[u8], within: Duration, urgent: bool) -> Result<Vec<u8>, RequestError> {
        let exchange = async {
            let (mut send, mut receive) = self.live.connection.open_bi().await.map_err(closed)?;
            if urgent {
                // A stream that ended says so itself.
                let _ = send.set_priority(1);
            }
            send.write_all(body).await.map_err(closed)?;
            send.finish().map_err(closed)?;
            read(&mut receive, self.message_bytes_max, &self.live.counters).await
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
        let counters = Arc::clone(&self.live.counters);
        Ok(Request { send, receive, bytes_max: self.message_bytes_max, answered: false, counters })
    }

    /// Sends a datagram: it comes once, or not at all, and may be overtaken by others. Never blocks: where too many wait
    /// to be sent, the oldest are dropped.
    ///
    /// # Errors
    ///
    /// [`DatagramError`].
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        let bytes = datagram.len();
        self.live.connection.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => {
                DatagramError::TooLarge { bytes, max: self.max_datagram_bytes().unwrap_or(0) }
            }
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::Unsupported,
            SendDatagramError::ConnectionLost(error) => DatagramError::Closed { cause: error.to_string() },
        })
    }

    /// Waits for the next datagram of the other side that came after the greeting. Where too many wait to be read, the
    /// oldest are dropped and counted.
    ///
    /// *Cancel safety*: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`DatagramError::Closed`] when there will be none.
    pub async fn next_datagram(&self) -> Result<Bytes, DatagramError> {
        let read = self.live.connection.read_datagram().await;
        let datagram = read.map_err(|error| DatagramError::Closed { cause: error.to_string() })?;
        self.live.datagrams_read.fetch_add(1, Ordering::Relaxed);
        Ok(datagram)
    }

    /// Returns the most bytes that a datagram may have now; `None` when the other side takes none. Changes with what is
    /// known of the path, and is never below 1,150.
    pub fn max_datagram_bytes(&self) -> Option<usize> {
        self.live.connection.max_datagram_size()
    }

    /// Returns how many packets of the other side came, acknowledgements included. A side that is there acknowledges what it
    /// is sent, however busy it is: where this does not grow beside a request, nobody is there.
    pub fn packets_heard(&self) -> u64 {
        self.live.connection.stats().udp_rx.datagrams
    }

    pub(crate) fn streams(&self) -> &quinn::Connection {
        &self.live.connection
    }

    pub(crate) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Returns a number that no other connection of this process has at the same time.
    pub(crate) fn number(&self) -> usize {
        self.live.connection.stable_id()
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
    counters: Arc<Counters>,
}

impl Request {
    /// Reads what was asked.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooLarge`], [`RequestError::Closed`].
    pub async fn body(&mut self) -> Result<Vec<u8>, RequestError> {
        read(&mut self.receive, self.bytes_max, &self.counters).await
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

async fn read(receive: &mut RecvStream, max: usize, counters: &Counters) -> Result<Vec<u8>, RequestError> {
    receive.read_to_end(max).await.map_err(|error| match error {
        ReadToEndError::TooLong => {
            counters.count(|counts| counts.too_large += 1);
            RequestError::TooLarge { max }
        }
        ReadToEndError::Read(error) => closed(error),
    })
}

pub(crate) fn closed(error: impl fmt::Display) -> RequestError {
    RequestError::Closed { cause: error.to_string() }
}
