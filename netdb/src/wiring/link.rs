//! Replication over connections: who the members are, and the way to each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use base::{NodeId, PublicKey};
use bytes::Bytes;
use net::{Admission, Asks, ConnectError, Pool, Protocol, Refusal, RefusalCode, RequestError};
use replication::{Answer, Link, LinkError};

/// The members that a node knows of: who is let in, and where each is found. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pages: Arc<RwLock<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    members: BTreeMap<NodeId, (PublicKey, SocketAddr)>,
    /// Keys that were members' once.
    removed: BTreeSet<PublicKey>,
    /// Who says that this node was removed.
    shut_out_by: Option<NodeId>,
}

impl Book {
    fn pages(&self) -> RwLockReadGuard<'_, Pages> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pages_mut(&self) -> RwLockWriteGuard<'_, Pages> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the members, and whose keys were members' once.
    pub fn set(&self, members: BTreeMap<NodeId, (PublicKey, SocketAddr)>, removed: BTreeSet<PublicKey>) {
        let mut pages = self.pages_mut();
        (pages.members, pages.removed) = (members, removed);
    }

    /// Returns a member's key and address.
    pub fn get(&self, node: NodeId) -> Option<(PublicKey, SocketAddr)> {
        self.pages().members.get(&node).copied()
    }

    /// Returns everybody.
    pub fn all(&self) -> BTreeMap<NodeId, (PublicKey, SocketAddr)> {
        self.pages().members.clone()
    }

    /// Returns the member that said last that this node was removed, until one lets it in again.
    pub fn shut_out_by(&self) -> Option<NodeId> {
        self.pages().shut_out_by
    }

    /// Notes what came of an attempt to connect to a member.
    fn note(&self, member: NodeId, connected: Result<(), &ConnectError>) {
        let says = match connected {
            Ok(()) => None,
            Err(ConnectError::Refused { refusal, .. }) if refusal.code == RefusalCode::Removed => {
                Some(member)
            }
            Err(_) => return,
        };
        if self.shut_out_by().is_some() == says.is_some() {
            return;
        }
        self.pages_mut().shut_out_by = says;
        if says.is_some() {
            tracing::error!(%member, "this node was removed from the cluster: join with a new directory");
        }
    }
}

impl Admission for Book {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match self.get(asks.node) {
            Some((key, _)) if key == asks.key => Ok(()),
            Some(_) => Err(Refusal::new(RefusalCode::Denied, "another key has this number")),
            None if self.pages().removed.contains(&asks.key) => Err(Refusal::new(
                RefusalCode::Removed,
                "this node was removed from the cluster: join with a new directory",
            )),
            None => Err(Refusal::new(RefusalCode::NotMember, "this node is no member: join by a ticket")),
        }
    }
}

/// Carries replication's messages over connections to members.
#[derive(Debug, Clone)]
pub(crate) struct MeshLink {
    pool: Pool,
    book: Book,
}

impl MeshLink {
    pub fn new(pool: Pool, book: Book) -> Self {
        Self { pool, book }
    }
}

impl MeshLink {
    fn ask(&self, to: NodeId, body: Bytes, within: Duration, urgent: bool) -> Answer {
        let Self { pool, book } = self.clone();
        Box::pin(async move {
            let unreachable = |cause: String| LinkError::Unreachable { node: to, cause };
            let (key, address) = book.get(to).ok_or_else(|| unreachable("it is no member".to_owned()))?;
            let deadline = tokio::time::Instant::now() + within;
            let connecting = pool.connection(key, address, Protocol::Raft);
            let connection = match tokio::time::timeout_at(deadline, connecting).await {
                Ok(connection) => {
                    book.note(to, connection.as_ref().map(|_| ()));
                    connection.map_err(|error| unreachable(error.to_string()))?
                }
                Err(_) => return Err(unreachable("no connection in time".to_owned())),
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let heard = connection.packets_heard();
            let answered = match urgent {
                true => connection.request_urgent(&body, left).await,
                false => connection.request(&body, left).await,
            };
            match answered {
                Ok(answer) => Ok(answer.into()),
                Err(RequestError::TooLarge { .. }) => Err(unreachable("the message is too large".to_owned())),
                Err(error) => {
                    if connection.packets_heard() == heard {
                        // Whoever was there is gone, or came back as somebody who does not know the connection.
                        connection.close();
                    }
                    Err(LinkError::Lost { node: to, cause: error.to_string() })
                }
            }
        })
    }
}

impl Link for MeshLink {
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        self.ask(to, body, within, false)
    }

    fn request_urgent(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        self.ask(to, body, within, true)
    }
}
