//! One connection to each peer for each protocol, made when somebody needs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::PublicKey;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::{ConnectError, Connection, Endpoint, Protocol};

/// How long a peer that could not be reached is left alone, at first; twice as long after each further failure.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Connections to peers that are shared by whoever needs them. Clones share them, too.
#[derive(Debug, Clone)]
pub struct Pool {
    endpoint: Arc<Endpoint>,
    slots: Arc<Mutex<Slots>>,
}

/// Each locked by who makes its connection.
type Slots = BTreeMap<(PublicKey, Protocol), Arc<AsyncMutex<Slot>>>;

/// What is known of a peer.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// How often in a row, and when, it could not be reached.
    failures: u32,
    failed_at: Option<Instant>,
}

impl Slot {
    /// Returns for how long the peer is to be left alone.
    fn pause(&self) -> Option<Duration> {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = (PAUSE_FIRST * 2_u32.pow(doublings)).min(PAUSE_MAX);
        pause.checked_sub(self.failed_at?.elapsed()).filter(|left| !left.is_zero())
    }
}

impl Pool {
    /// Makes an empty pool.
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, slots: Arc::default() }
    }

    /// Returns a connection to a peer: the one that is there, or a new one. Those who ask at the same time wait for the
    /// same attempt. A peer that could not be reached is left alone for 50 ms, and longer each time up to 5 s.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; [`ConnectError::NotYet`] while the peer is left alone.
    pub async fn connection(
        &self,
        peer: PublicKey,
        address: SocketAddr,
        protocol: Protocol,
    ) -> Result<Connection, ConnectError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((peer, protocol)).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        slot.connection = None;
        if let Some(wait) = slot.pause() {
            return Err(ConnectError::NotYet { address, wait });
        }
        match self.endpoint.connect(peer, address, protocol).await {
            Ok(connection) => {
                *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
                Ok(connection)
            }
            Err(error) => {
                slot.failures = slot.failures.saturating_add(1);
                slot.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Forgets a peer, as when it is no member any more; its connections end when nobody else has them.
    pub fn forget(&self, peer: PublicKey) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(known, _), _| *known != peer);
    }
}
