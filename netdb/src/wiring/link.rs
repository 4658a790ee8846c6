//! Replication over connections: who the members are, and the way to each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::{NodeId, PublicKey};
use bytes::Bytes;
use net::{Admission, Asks, Pool, Protocol, Refusal, RefusalCode, RequestError};
use replication::{Answer, Link, LinkError};

/// The members that a node knows of: who is let in, and where each is found. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    members: Arc<RwLock<BTreeMap<NodeId, (PublicKey, SocketAddr)>>>,
}

impl Book {
    /// Replaces everything that is known.
    pub fn set(&self, members: BTreeMap<NodeId, (PublicKey, SocketAddr)>) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Returns a member's key and address.
    pub fn get(&self, node: NodeId) -> Option<(PublicKey, SocketAddr)> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }

    /// Returns everybody.
    pub fn all(&self) -> BTreeMap<NodeId, (PublicKey, SocketAddr)> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Admission for Book {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match self.get(asks.node) {
            Some((key, _)) if key == asks.key => Ok(()),
            Some(_) => Err(Refusal::new(RefusalCode::Denied, "another key has this number")),
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

impl Link for MeshLink {
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        let Self { pool, book } = self.clone();
        Box::pin(async move {
            let unreachable = |cause: String| LinkError::Unreachable { node: to, cause };
            let (key, address) = book.get(to).ok_or_else(|| unreachable("it is no member".to_owned()))?;
            let deadline = tokio::time::Instant::now() + within;
            let connecting = pool.connection(key, address, Protocol::Raft);
            let connection = match tokio::time::timeout_at(deadline, connecting).await {
                Ok(connection) => connection.map_err(|error| unreachable(error.to_string()))?,
                Err(_) => return Err(unreachable("no connection in time".to_owned())),
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let heard = connection.packets_heard();
            match connection.request(&body, left).await {
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
