//! Nodes on a simulated network, and who is a member.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{ClusterId, Identity, NodeId, PublicKey, SeededRandom};
use net::{
    Admission, Asks, ConnectError, Connection, Endpoint, EndpointOptions, Protocol, Refusal, RefusalCode,
    SimulatedNetwork,
};

pub const WITHIN: Duration = Duration::from_secs(5);

/// Who is a member.
#[derive(Debug, Default)]
pub struct Members(Mutex<BTreeMap<PublicKey, NodeId>>);

impl Members {
    pub fn new(nodes: &[u8]) -> Arc<Self> {
        let members = Self::default();
        nodes.iter().for_each(|node| members.add(*node));
        Arc::new(members)
    }

    pub fn add(&self, node: u8) {
        self.0.lock().unwrap().insert(key(node), NodeId(node.into()));
    }

    pub fn remove(&self, node: u8) {
        self.0.lock().unwrap().remove(&key(node));
    }
}

impl Admission for Members {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match self.0.lock().unwrap().get(&asks.key) {
            Some(node) if *node == asks.node => Ok(()),
            _ => Err(Refusal::new(RefusalCode::NotMember, "this key is no member's: join the cluster first")),
        }
    }
}

pub fn identity(node: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(&[node; 32]))
}

pub fn key(node: u8) -> PublicKey {
    identity(node).public_key()
}

pub fn cluster() -> ClusterId {
    ClusterId::from_bytes([9; 16])
}

pub fn machine(node: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, node])
}

pub fn address(node: u8) -> SocketAddr {
    SocketAddr::new(machine(node), 7000)
}

/// Opens a node's endpoint at its address.
pub fn open(network: &SimulatedNetwork, node: u8, members: &Arc<Members>) -> Arc<Endpoint> {
    open_with(network, node, members, EndpointOptions::default())
}

pub fn open_with(
    network: &SimulatedNetwork,
    node: u8,
    members: &Arc<Members>,
    options: EndpointOptions,
) -> Arc<Endpoint> {
    let place = (cluster(), NodeId(node.into()));
    let (socket, random) = (network.socket(address(node)), SeededRandom::new(node.into()));
    let admission = Arc::clone(members) as _;
    Arc::new(Endpoint::open(socket, identity(node), place, admission, options, &random).unwrap())
}

/// Connects one node to another.
pub async fn connect(from: &Endpoint, to: u8, protocol: Protocol) -> Result<Connection, ConnectError> {
    from.connect(key(to), address(to), protocol).await
}

/// Makes a connection and takes it.
pub async fn pair(
    from: &Endpoint,
    (to, there): (u8, &Endpoint),
    protocol: Protocol,
) -> (Connection, Connection) {
    let (made, taken) = tokio::join!(connect(from, to, protocol), there.accept());
    (made.unwrap(), taken.unwrap())
}
