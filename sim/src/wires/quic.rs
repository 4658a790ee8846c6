//! quinn over simulated datagrams.

use std::sync::Arc;
use std::time::Duration;

use base::{NodeId, SeededRandom};
use bytes::Bytes;
use net::{
    Admission, Asks, Connection, Endpoint, EndpointOptions, Pool, Protocol, Refusal, RefusalCode,
    RequestError, SimulatedNetwork,
};
use replication::{Answer, Groups, Link, LinkError};
use tokio::task::JoinHandle;

use super::{Gate, address};
use crate::node::{Keys, Passport};

/// Opens a node's endpoint; returns what it sends over, and the task that answers for it.
pub fn open(
    network: &SimulatedNetwork,
    passport: &Passport,
    groups: &Groups,
    gate: &Gate,
) -> Result<(Arc<dyn Link>, JoinHandle<()>), String> {
    let node = passport.node;
    let keys = Arc::clone(&passport.keys);
    let members = Members { keys: Arc::clone(&keys) };
    let random = SeededRandom::new(passport.random);
    let endpoint = Endpoint::open(
        network.socket(address(node.0)),
        Arc::clone(&passport.identity),
        (passport.cluster, node),
        Arc::new(members),
        EndpointOptions::default(),
        &random,
    );
    let endpoint = Arc::new(endpoint.map_err(|error| error.to_string())?);
    let pool = Pool::new(Arc::clone(&endpoint));
    let link = QuicLink { pool, keys, gate: gate.clone() };
    let serving = tokio::spawn(accept(endpoint, groups.clone(), gate.clone()));
    Ok((Arc::new(link), serving))
}

/// Everybody whose key is that of its number.
#[derive(Debug)]
struct Members {
    keys: Arc<Keys>,
}

impl Admission for Members {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match self.keys.get(&asks.node) == Some(&asks.key) {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::NotMember, "another key has this number")),
        }
    }
}

async fn accept(endpoint: Arc<Endpoint>, groups: Groups, gate: Gate) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(answer(connection, groups.clone(), gate.clone()));
    }
}

async fn answer(connection: Connection, groups: Groups, gate: Gate) {
    let from = connection.node();
    while let Ok(mut request) = connection.next_request().await {
        let (groups, gate) = (groups.clone(), gate.clone());
        tokio::spawn(async move {
            let Ok(body) = request.body().await else { return };
            gate.pass().await;
            if let Ok(answer) = groups.handle(from, body.into()).await {
                gate.pass().await;
                let _ = request.answer(&answer).await;
            }
        });
    }
}

/// Carries replication's messages over connections to members.
#[derive(Debug)]
struct QuicLink {
    pool: Pool,
    keys: Arc<Keys>,
    gate: Gate,
}

impl Link for QuicLink {
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        let (pool, gate) = (self.pool.clone(), self.gate.clone());
        let key = self.keys.get(&to).copied();
        Box::pin(async move {
            gate.pass().await;
            let unreachable = |cause: String| LinkError::Unreachable { node: to, cause };
            let key = key.ok_or_else(|| unreachable("it is no member".to_owned()))?;
            let deadline = tokio::time::Instant::now() + within;
            let connecting = pool.connection(key, address(to.0), Protocol::Raft);
            let connection = match tokio::time::timeout_at(deadline, connecting).await {
                Ok(connection) => connection.map_err(|error| unreachable(error.to_string()))?,
                Err(_) => return Err(unreachable("no connection in time".to_owned())),
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let heard = connection.packets_heard();
            let answered = connection.request(&body, left).await;
            gate.pass().await;
            match answered {
                Ok(answer) => Ok(answer.into()),
                Err(RequestError::TooLarge { .. }) => Err(unreachable("the message is too large".to_owned())),
                Err(error) => {
                    if connection.packets_heard() == heard {
                        connection.close();
                    }
                    Err(LinkError::Lost { node: to, cause: error.to_string() })
                }
            }
        })
    }
}
