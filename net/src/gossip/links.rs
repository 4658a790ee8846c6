//! The connections that packets go over, one at a time for each peer: the newest, whoever has made it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::PublicKey;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::packet::Member;
use crate::{ConnectError, Connection, Pool, Protocol};

/// Packets that wait for a connection at most; of more, the oldest go.
const WAITING_MAX: usize = 4;
/// Connections of one peer that are listened to at most: ours, its, and those that are about to be noticed as ended.
const CONNECTIONS_MAX: usize = 4;
/// Packets and connections that wait to be looked at.
const INBOX_MAX: usize = 1_024;
/// When a connection on which nothing comes back is given up.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// What comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    Packet {
        from: Connection,
        bytes: Bytes,
    },
    /// Dropped, since more came in a second than are read.
    TooMany,
    Dialed(PublicKey, Result<Connection, ConnectError>),
}

/// What became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Went {
    pub sent: u64,
    /// Given up, since there was no connection.
    pub unsent: u64,
}

#[derive(Debug)]
pub(super) struct Links {
    pool: Pool,
    packets_per_second_max: u32,
    links: BTreeMap<PublicKey, Link>,
    sender: mpsc::Sender<Incoming>,
    /// Those who dial and listen; they end with this.
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Link {
    connection: Option<Connection>,
    is_dialing: bool,
    waiting: VecDeque<Bytes>,
    /// The connections that are listened to, oldest first.
    listeners: VecDeque<(usize, AbortHandle)>,
    /// When something was sent first since the other side was heard last, and how much had been heard.
    unanswered: Option<(Instant, u64)>,
}

impl Links {
    pub fn new(pool: Pool, packets_per_second_max: u32) -> (Self, mpsc::Receiver<Incoming>) {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let (links, tasks) = (BTreeMap::new(), JoinSet::new());
        (Self { pool, packets_per_second_max, links, sender, tasks }, inbox)
    }

    /// Sends a packet, now or once there is a connection.
    pub fn send(&mut self, to: Member, packet: Bytes) -> Went {
        let link = self.links.entry(to.key).or_default();
        if let Some(connection) = link.usable()
            && connection.send_datagram(packet.clone()).is_ok()
        {
            return Went { sent: 1, unsent: 0 };
        }
        link.waiting.push_back(packet);
        let given_up = link.waiting.len().saturating_sub(WAITING_MAX);
        link.waiting.drain(..given_up);
        if !link.is_dialing {
            link.is_dialing = true;
            let (pool, sender) = (self.pool.clone(), self.sender.clone());
            self.reap();
            self.tasks.spawn(async move {
                let dialed = pool.connection(to.key, to.address, Protocol::Gossip).await;
                // Whoever asked is gone when this fails.
                let _ = sender.send(Incoming::Dialed(to.key, dialed)).await;
            });
        }
        Went { sent: 0, unsent: u64::try_from(given_up).unwrap_or(u64::MAX) }
    }

    /// Goes on when dialing is over: what waited is sent, or given up.
    pub fn dialed(&mut self, key: PublicKey, dialed: Result<Connection, ConnectError>) -> Went {
        let mut went = Went::default();
        let Some(link) = self.links.get_mut(&key) else { return went };
        link.is_dialing = false;
        for packet in std::mem::take(&mut link.waiting) {
            match &dialed {
                Ok(connection) if connection.send_datagram(packet).is_ok() => went.sent += 1,
                _ => went.unsent += 1,
            }
        }
        match dialed {
            Ok(connection) => self.take(connection),
            Err(error) => tracing::debug!(%error, "no connection for gossip"),
        }
        went
    }

    /// Listens to a connection, and sends over it from now on.
    pub fn take(&mut self, connection: Connection) {
        self.reap();
        let link = self.links.entry(connection.peer()).or_default();
        link.unanswered = None;
        if !link.listeners.iter().any(|(number, _)| *number == connection.number()) {
            let listen = listen(connection.clone(), self.sender.clone(), self.packets_per_second_max);
            link.listeners.push_back((connection.number(), self.tasks.spawn(listen)));
        }
        while link.listeners.len() > CONNECTIONS_MAX
            && let Some((_, oldest)) = link.listeners.pop_front()
        {
            oldest.abort();
        }
        link.connection = Some(connection);
    }

    /// Ends the connections with a peer.
    pub fn forget(&mut self, key: PublicKey) {
        if let Some(link) = self.links.remove(&key) {
            link.listeners.iter().for_each(|(_, listener)| listener.abort());
            link.connection.iter().for_each(Connection::close);
        }
    }

    /// Lets go of what has ended.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.links.retain(|_, link| {
            link.listeners.retain(|(_, listener)| !listener.is_finished());
            link.is_dialing || !link.listeners.is_empty()
        });
    }
}

impl Link {
    /// Returns the connection, if it is open and something comes back on it.
    fn usable(&mut self) -> Option<&Connection> {
        let connection = self.connection.as_ref().filter(|connection| connection.is_open())?;
        let heard = connection.packets_heard();
        match self.unanswered {
            // Even a datagram that nobody answers is acknowledged by the transport.
            Some((since, before)) if before == heard => {
                if since.elapsed() >= DEAF_AFTER {
                    connection.close();
                    (self.connection, self.unanswered) = (None, None);
                }
            }
            _ => self.unanswered = Some((Instant::now(), heard)),
        }
        self.connection.as_ref()
    }
}

/// Listens to one connection until it ends; reads only so many packets in a second.
async fn listen(connection: Connection, inbox: mpsc::Sender<Incoming>, per_second_max: u32) {
    let (mut begun, mut count) = (Instant::now(), 0);
    while let Ok(bytes) = connection.next_datagram().await {
        if begun.elapsed() >= Duration::from_secs(1) {
            (begun, count) = (Instant::now(), 0);
        }
        count += 1;
        let incoming = match count > per_second_max {
            true => Incoming::TooMany,
            false => Incoming::Packet { from: connection.clone(), bytes },
        };
        // Waiting slows this connection down, and its transport drops what is too much.
        if inbox.send(incoming).await.is_err() {
            return;
        }
    }
}
