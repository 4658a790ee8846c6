//! Where connections are made and taken.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::{ClusterId, Identity, NodeId, PublicKey, Random};
use quinn::{EndpointConfig, TransportConfig, VarInt};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use crate::connection::Live;
use crate::error::{BindError, ConnectError};
use crate::greeting::{Answer, GREETING_BYTES, Hello, REASON_BYTES_MAX};
use crate::join::JoinDoor;
use crate::restart::{Ids, RestartKey};
use crate::{Connection, Protocol, Refusal, RefusalCode, Socket, tls};

mod counts;
mod taking;

pub(crate) use counts::Counters;
pub use counts::EndpointCounts;
use taking::GREETINGS_MAX;

/// Why a connection ends: nobody needs it any more.
pub(crate) const DONE: VarInt = VarInt::from_u32(0);
/// Why a connection ends: its other side is not let in, or not any more.
const NOT_LET_IN: VarInt = VarInt::from_u32(1);

/// How long the last words of all connections may take.
const SHUT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection of which nothing is heard is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often something is said on an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Streams that the other side may have open at once.
const STREAMS_MAX: u32 = 256;
/// Bytes of a stream, and of all streams of a connection, that are kept until they are read.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The same for who is not let in yet: the one stream of the greeting.
const STRANGER_STREAMS_MAX: u32 = 1;
const STRANGER_WINDOW_BYTES: u32 = 64 << 10;
/// Bytes of datagrams that wait to be sent or read, with what they cost beside their content; beyond, the oldest go.
const DATAGRAMS_BYTES_MAX: usize = 64 << 10;
/// Bytes that strangers may send before their connection is looked at, each and together.
const STRANGER_BYTES_MAX: u64 = 64 << 10;
const STRANGERS_BYTES_MAX: u64 = 8 << 20;

/// What somebody who connects says and shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asks {
    /// The key; that it has the private half was shown.
    pub key: PublicKey,
    /// The node that it says to be.
    pub node: NodeId,
    /// What the connection is for.
    pub protocol: Protocol,
}

/// Who is let in, and who is talked to. Asked at each greeting, by both sides, and again by [`Endpoint::review`].
pub trait Admission: Send + Sync + fmt::Debug {
    /// Lets somebody of this cluster in, or says why not. Must not call the endpoint.
    ///
    /// # Errors
    ///
    /// The refusal, which the other side is told.
    fn admit(&self, asks: &Asks) -> Result<(), Refusal>;
}

/// The settings of an endpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// How long a connection and its greeting may take. Default: 5 s.
    pub greeted_within: Duration,
    /// Connections that are taken at most. Default: 1,024.
    pub connections_max: usize,
    /// Connections that are taken of one key at most. Default: 16.
    pub connections_of_key_max: usize,
    /// The most bytes of a request or an answer that are read. Default: 33 MiB, so that the largest entry fits.
    pub message_bytes_max: usize,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            greeted_within: Duration::from_secs(5),
            connections_max: 1_024,
            connections_of_key_max: 16,
            message_bytes_max: 33 << 20,
        }
    }
}

/// One side of all connections of a node.
#[derive(Debug)]
pub struct Endpoint {
    inner: quinn::Endpoint,
    shared: Arc<Shared>,
    greeted: AsyncMutex<mpsc::Receiver<Connection>>,
    socket_of_machine: bool,
}

#[derive(Debug)]
struct Shared {
    identity: Arc<Identity>,
    cluster: ClusterId,
    node: NodeId,
    admission: Arc<dyn Admission>,
    options: EndpointOptions,
    transport: Arc<TransportConfig>,
    /// The connections that were let in, by us or by the other side.
    live: Mutex<Vec<Weak<Live>>>,
    counters: Arc<Counters>,
    /// There while others may join through this node.
    door: Mutex<Option<Arc<JoinDoor>>>,
    /// Counts the reviews.
    reviews: watch::Sender<u64>,
}

impl Endpoint {
    /// Opens an endpoint on a socket, within a tokio runtime. What the transport draws by chance follows from `random`;
    /// keys of sessions come from the operating system whatever it is.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn open(
        socket: Socket,
        identity: Arc<Identity>,
        (cluster, node): (ClusterId, NodeId),
        admission: Arc<dyn Admission>,
        options: EndpointOptions,
        random: &dyn Random,
    ) -> Result<Self, BindError> {
        let crypto = tls::server(&identity).map_err(|error| BindError::Tls { cause: error.to_string() })?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::new(transport(STRANGER_STREAMS_MAX, STRANGER_WINDOW_BYTES)))
            .max_incoming(GREETINGS_MAX)
            .incoming_buffer_size(STRANGER_BYTES_MAX)
            .incoming_buffer_size_total(STRANGERS_BYTES_MAX);
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let ids = Ids::new(random);
        let mut endpoint = EndpointConfig::new(Arc::new(RestartKey::new(&identity)));
        endpoint.rng_seed(Some(seed)).cid_generator(move || Box::new(ids.clone()));
        let runtime = Arc::new(quinn::TokioRuntime);
        let inner = quinn::Endpoint::new_with_abstract_socket(endpoint, Some(config), socket.inner, runtime)
            .map_err(|source| BindError::Socket { source })?;
        let shared = Arc::new(Shared {
            identity,
            cluster,
            node,
            admission,
            options,
            transport: Arc::new(transport(STREAMS_MAX, CONNECTION_WINDOW_BYTES)),
            live: Mutex::default(),
            counters: Arc::default(),
            door: Mutex::default(),
            reviews: watch::Sender::new(0),
        });
        let (let_in, greeted) = mpsc::channel(GREETINGS_MAX);
        tokio::spawn(taking::take_all(inner.clone(), Arc::clone(&shared), let_in));
        Ok(Self { inner, shared, greeted: AsyncMutex::new(greeted), socket_of_machine: socket.of_machine })
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Connects to a peer, and greets it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        peer: PublicKey,
        address: SocketAddr,
        protocol: Protocol,
    ) -> Result<Connection, ConnectError> {
        let within = self.shared.options.greeted_within;
        let greeted = tokio::time::timeout(within, self.greet(peer, address, protocol)).await;
        greeted.unwrap_or(Err(ConnectError::Timeout { address, within }))
    }

    /// Waits for the next connection that was let in; `None` when the endpoint is closed.
    pub async fn accept(&self) -> Option<Connection> {
        self.greeted.lock().await.recv().await
    }

    /// Asks again who is let in, and ends the connections of those who are not any more.
    pub fn review(&self) {
        for live in self.shared.live().iter().filter_map(Weak::upgrade) {
            if let Err(refusal) = self.shared.judge(&live.asks, live.taken) {
                tracing::info!(peer = %live.asks.key, reason = refusal.reason, "connection ended");
                live.connection.close(NOT_LET_IN, refusal.reason.as_bytes());
            }
        }
        self.shared.reviews.send_modify(|count| *count += 1);
    }

    /// Lets others join through this node from now on, or not any more. At first it does not.
    pub fn open_to_joins(&self, door: Option<JoinDoor>) {
        *self.shared.door() = door.map(Arc::new);
    }

    /// Returns what was counted since it was opened.
    pub fn counts(&self) -> EndpointCounts {
        let mut counts = self.shared.counters.counts();
        counts.datagrams_unread += self
            .shared
            .live()
            .iter()
            .filter_map(Weak::upgrade)
            .map(|live| live.datagrams_unread())
            .sum::<u64>();
        counts
    }

    /// Returns its node and key.
    pub(crate) fn place(&self) -> (NodeId, PublicKey) {
        (self.shared.node, self.shared.identity.public_key())
    }

    /// Asks its admission, as at a greeting.
    pub(crate) fn admits(&self, asks: &Asks) -> Result<(), Refusal> {
        self.shared.admission.admit(asks)
    }

    /// Returns what tells of further reviews.
    pub(crate) fn reviews(&self) -> watch::Receiver<u64> {
        self.shared.reviews.subscribe()
    }

    /// Ends all connections, and takes no further ones.
    pub fn close(&self) {
        self.inner.close(DONE, b"");
    }

    /// Ends all connections, waits a moment until the other sides were told, and gives the machine's socket back, however
    /// many clones of what was made of this endpoint are around.
    pub async fn shut(&self) {
        self.close();
        if tokio::time::timeout(SHUT_WITHIN, self.inner.wait_idle()).await.is_err() {
            tracing::debug!("not everybody was told that the endpoint is closed");
        }
        if self.socket_of_machine {
            // What is left of the library's endpoint listens elsewhere, where nobody looks for it. It keeps the socket
            // before, too, so that it has to move twice.
            for _ in 0..2 {
                let elsewhere = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
                if let Err(cause) = elsewhere.and_then(|socket| self.inner.rebind(socket)) {
                    tracing::warn!(%cause, "the address stays taken until the process ends");
                }
            }
        }
    }

    async fn greet(
        &self,
        peer: PublicKey,
        address: SocketAddr,
        protocol: Protocol,
    ) -> Result<Connection, ConnectError> {
        let failed = |cause: String| ConnectError::Handshake { address, cause };
        let crypto = tls::client(&self.shared.identity, peer, protocol);
        let mut config =
            quinn::ClientConfig::new(Arc::new(crypto.map_err(|error| failed(error.to_string()))?));
        config.transport_config(Arc::clone(&self.shared.transport));
        let connecting = self.inner.connect_with(config, address, "netdb").map_err(|error| match error {
            quinn::ConnectError::EndpointStopping => ConnectError::Closed,
            error => failed(error.to_string()),
        })?;
        let connection = connecting.await.map_err(|error| failed(error.to_string()))?;
        let hello = Hello { cluster: self.shared.cluster, node: self.shared.node };
        let answer = say_hello(&connection, hello).await.map_err(failed)?;
        let answer = answer.ok_or(ConnectError::Answer { address })?;
        if let Some(refusal) = answer.refusal {
            connection.close(DONE, b"");
            return Err(ConnectError::Refused { address, refusal });
        }
        if answer.cluster != self.shared.cluster {
            connection.close(NOT_LET_IN, b"another cluster");
            return Err(ConnectError::Elsewhere { address, node: answer.node, cluster: answer.cluster });
        }
        let asks = Asks { key: peer, node: answer.node, protocol };
        match self.shared.admit(asks, &connection, false) {
            Ok(live) => Ok(Connection::new(live, self.shared.options.message_bytes_max)),
            Err(refusal) => {
                connection.close(NOT_LET_IN, refusal.reason.as_bytes());
                Err(ConnectError::Unwanted { address, refusal })
            }
        }
    }
}

/// Says hello; returns the answer, `None` if it does not read, and what failed otherwise.
async fn say_hello(connection: &quinn::Connection, hello: Hello) -> Result<Option<Answer>, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    // A side that does not let us in may end the stream before it has read all of it.
    let said = send.write_all(&hello.encode()).await;
    let _ = send.finish();
    match receive.read_to_end(GREETING_BYTES + REASON_BYTES_MAX).await {
        Ok(bytes) => Ok(Answer::decode(&bytes)),
        Err(quinn::ReadToEndError::TooLong) => Ok(None),
        Err(quinn::ReadToEndError::Read(error)) => {
            Err(said.map_or_else(|earlier| earlier.to_string(), |()| error.to_string()))
        }
    }
}

fn transport(streams_max: u32, window_bytes: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    // What was asked first is sent first: entries behind it are of no use before.
    transport.send_fairness(false);
    transport
        .max_idle_timeout(Some(IDLE_MAX.try_into().expect("30 s are a valid time")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(streams_max.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(window_bytes.into())
        .datagram_receive_buffer_size(Some(DATAGRAMS_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAMS_BYTES_MAX);
    transport
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, Vec<Weak<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> MutexGuard<'_, Option<Arc<JoinDoor>>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether somebody is let in. Who wants to join is no member, hence not asked about.
    fn judge(&self, asks: &Asks, taken: bool) -> Result<(), Refusal> {
        if !taken || asks.protocol != Protocol::Join {
            return self.admission.admit(asks);
        }
        match self.door().is_some() {
            true => Ok(()),
            false => {
                Err(Refusal::new(RefusalCode::Denied, "nobody joins through this node: ask another one"))
            }
        }
    }

    /// Lets a connection in that the other side has made (`taken`), or this one.
    fn admit(&self, asks: Asks, connection: &quinn::Connection, taken: bool) -> Result<Arc<Live>, Refusal> {
        // Held while it is asked: a review sees this connection, or it is asked about behind what the review is for.
        let mut all = self.live();
        self.judge(&asks, taken)?;
        all.retain(|live| live.upgrade().is_some_and(|live| live.connection.close_reason().is_none()));
        let taken_of = |of: &dyn Fn(&Live) -> bool| {
            all.iter().filter_map(Weak::upgrade).filter(|live| live.taken && of(live)).count()
        };
        let (count, of_key) = (taken_of(&|_| true), taken_of(&|live| live.asks.key == asks.key));
        if taken && (count >= self.options.connections_max || of_key >= self.options.connections_of_key_max) {
            let reason = format!("{count} connections, {of_key} of them of this key: try later");
            return Err(Refusal::new(RefusalCode::Busy, reason));
        }
        if taken && asks.protocol == Protocol::Join {
            // The greeting may not be over when the request comes.
            connection.set_max_concurrent_bi_streams(2_u32.into());
        } else if taken {
            connection.set_max_concurrent_bi_streams(STREAMS_MAX.into());
            connection.set_receive_window(CONNECTION_WINDOW_BYTES.into());
        }
        let live = Arc::new(Live::new(asks, connection.clone(), taken, Arc::clone(&self.counters)));
        all.push(Arc::downgrade(&live));
        Ok(live)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
