//! How connections of others are taken: each is greeted beside the others, within bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Asks, NOT_LET_IN, Shared};
use crate::greeting::{Answer, GREETING_BYTES, Hello};
use crate::join::message::{REQUEST_BYTES_MAX, encode_answer};
use crate::{Connection, JoinRefusal, JoinRefusalCode, Protocol, Refusal, RefusalCode, tls};

/// Connections whose greeting is under way at once, before strangers have to show that their address is theirs.
pub(super) const GREETINGS_TRUSTED_MAX: usize = 16;
/// Connections whose greeting is under way at once, before further ones are turned away.
pub(super) const GREETINGS_MAX: usize = 128;
/// The same for one address. More than are trusted, so that nobody fills another's places with a forged address.
pub(super) const GREETINGS_OF_ADDRESS_MAX: usize = 64;

/// How long the cluster may take to decide about who wants to join.
const JOIN_WITHIN: Duration = Duration::from_secs(30);

/// Why a connection was not let in.
enum Missed {
    Handshake,
    Greeting,
    /// Counted where it is.
    Refused,
}

/// Takes connections until the endpoint is closed.
pub(super) async fn take_all(
    endpoint: quinn::Endpoint,
    shared: Arc<Shared>,
    let_in: mpsc::Sender<Connection>,
) {
    let places = Places::default();
    while let Some(incoming) = endpoint.accept().await {
        let address = incoming.remote_address();
        if places.taken() >= GREETINGS_TRUSTED_MAX
            && incoming.may_retry()
            && !incoming.remote_address_validated()
        {
            // Whoever lies about its address never sees the answer.
            shared.counters.count(|counts| counts.retries += 1);
            let _ = incoming.retry();
            continue;
        }
        let Some(place) = places.take(address.ip()) else {
            shared.counters.count(|counts| counts.turned_away += 1);
            incoming.refuse();
            continue;
        };
        let (shared, let_in) = (Arc::clone(&shared), let_in.clone());
        tokio::spawn(async move {
            let taken = tokio::time::timeout(shared.options.greeted_within, shared.take(incoming)).await;
            match taken.unwrap_or(Err(Missed::Greeting)) {
                // It keeps its place, since it is a stranger still.
                Ok(connection) if connection.protocol() == Protocol::Join => {
                    shared.take_join(connection).await
                }
                Ok(connection) => {
                    drop(place);
                    shared.counters.count(|counts| counts.let_in += 1);
                    // Whoever listened is gone when this fails.
                    let _ = let_in.send(connection).await;
                }
                Err(Missed::Handshake) => shared.counters.count(|counts| counts.handshakes_failed += 1),
                Err(Missed::Greeting) => {
                    tracing::info!(%address, "a connection was not greeted in time");
                    shared.counters.count(|counts| counts.greetings_unfinished += 1);
                }
                Err(Missed::Refused) => {}
            }
        });
    }
}

impl Shared {
    /// Takes one connection: lets it in, or says why not.
    async fn take(&self, incoming: quinn::Incoming) -> Result<Connection, Missed> {
        let address = incoming.remote_address();
        let connection = match incoming.accept() {
            Ok(connecting) => connecting.await,
            Err(error) => Err(error),
        };
        let connection = connection.map_err(|error| {
            tracing::debug!(%address, %error, "no handshake");
            Missed::Handshake
        })?;
        let key = tls::peer_key(&connection).ok_or(Missed::Handshake)?;
        let protocol = tls::protocol(&connection).ok_or(Missed::Handshake)?;
        let (mut send, mut receive) = connection.accept_bi().await.map_err(|_| Missed::Greeting)?;
        let mut hello = [0; GREETING_BYTES];
        receive.read_exact(&mut hello).await.map_err(|_| Missed::Greeting)?;
        let admitted = Hello::decode(&hello).and_then(|hello| {
            self.check_cluster(hello)?;
            self.admit(Asks { key, node: hello.node, protocol }, &connection, true)
        });
        if let Err(refusal) = &admitted {
            tracing::info!(%address, %key, reason = refusal.reason, "not let in");
            self.counters.count(|counts| *counts.refused.entry(refusal.code).or_default() += 1);
        }
        let refusal = admitted.as_ref().err().cloned();
        let answer = Answer { cluster: self.cluster, node: self.node, refusal };
        send.write_all(&answer.encode()).await.map_err(|_| Missed::Greeting)?;
        send.finish().map_err(|_| Missed::Greeting)?;
        match admitted {
            Ok(live) if protocol == Protocol::Join => Ok(Connection::new(live, REQUEST_BYTES_MAX)),
            Ok(live) => Ok(Connection::new(live, self.options.message_bytes_max)),
            Err(_) => {
                // The reason is to arrive before the connection ends.
                let _ = tokio::time::timeout(self.options.greeted_within / 2, send.stopped()).await;
                connection.close(NOT_LET_IN, b"");
                Err(Missed::Refused)
            }
        }
    }

    /// Serves the one request of who wants to join.
    async fn take_join(&self, connection: Connection) {
        let within = self.options.greeted_within;
        let Some(door) = self.door().clone() else { return };
        let request = async {
            let mut request = connection.next_request().await.ok()?;
            let body = request.body().await;
            Some((request, body))
        };
        let Ok(Some((request, body))) = tokio::time::timeout(within, request).await else {
            self.counters.count(|counts| counts.greetings_unfinished += 1);
            return;
        };
        let key = connection.peer();
        let answer = match &body {
            Ok(body) => tokio::time::timeout(JOIN_WITHIN, door.answer(key, self.cluster, body)).await,
            Err(_) => {
                Ok(Err(JoinRefusal::new(JoinRefusalCode::Malformed, "the request to join is too long")))
            }
        };
        let answer = answer.unwrap_or_else(|_| {
            Err(JoinRefusal::new(JoinRefusalCode::Busy, "the cluster did not decide in time: try again"))
        });
        match &answer {
            Ok(_) => self.counters.count(|counts| counts.joins += 1),
            Err(refusal) => {
                tracing::info!(%key, reason = refusal.reason, "did not join");
                self.counters.count(|counts| *counts.joins_refused.entry(refusal.code).or_default() += 1);
            }
        }
        // Who asked ends the connection once it has the answer.
        let answered = async {
            if request.answer(&encode_answer(&answer)).await.is_ok() {
                connection.closed().await;
            }
        };
        let _ = tokio::time::timeout(within, answered).await;
    }

    fn check_cluster(&self, hello: Hello) -> Result<(), Refusal> {
        if hello.cluster == self.cluster {
            return Ok(());
        }
        let reason = format!("this node belongs to cluster {}, not {}", self.cluster, hello.cluster);
        Err(Refusal::new(RefusalCode::Cluster, reason))
    }
}

/// How many greetings are under way, by address.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One of them; given back when dropped.
struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    fn take(&self, address: IpAddr) -> Option<Place> {
        let mut places = self.lock();
        let of_address = places.get(&address).copied().unwrap_or(0);
        if of_address >= GREETINGS_OF_ADDRESS_MAX || places.values().sum::<usize>() >= GREETINGS_MAX {
            return None;
        }
        places.insert(address, of_address + 1);
        drop(places);
        Some(Place { places: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        match places.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(places.remove(&self.address)),
        }
    }
}
