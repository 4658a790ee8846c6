//! A group of nodes that can be cut off, crashed and brought back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{
    ChannelName, CrashImage, Doors, Identity, Index, LogId, ManualClock, MemoryDisk, NodeId, Random,
    SeededRandom, SimulatedDisk, Timestamp,
};
use bytes::Bytes;
use redex::{
    AppendRequest, ChannelEvents, EventInput, FlusherMode, Idempotency, LogOptions, Outcome, ReplicaIdentity,
    ReplicaLog, Retention, Selection,
};
use replication::{Answer, Group, Groups, Link, LinkError, Member, Role, Timing};
use tokio::time::Instant;

pub const DIR: &str = "/node";
pub const LONG: Duration = Duration::from_secs(30);

/// Carries messages between nodes after a delay, where nothing is cut.
#[derive(Debug)]
pub struct Network {
    nodes: Mutex<BTreeMap<NodeId, Groups>>,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    random: SeededRandom,
    /// What was sent: when, from whom, to whom, and what kind of message.
    sent: Mutex<Vec<(Instant, NodeId, NodeId, u8)>>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let (nodes, cut, sent) = Default::default();
        Self { nodes, cut, random: SeededRandom::new(seed), sent }
    }

    /// Makes a node's groups reachable, or not any more.
    pub fn plug(&self, id: NodeId, groups: Option<Groups>) {
        let mut nodes = self.nodes.lock().unwrap();
        match groups {
            Some(groups) => nodes.insert(id, groups),
            None => nodes.remove(&id),
        };
    }

    /// Takes what was sent of one kind since it was asked last: when, from whom, and to whom.
    pub fn take_sent(&self, kind: u8) -> Vec<(Instant, NodeId, NodeId)> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        let of_kind = sent.into_iter().filter(|(_, _, _, found)| *found == kind);
        of_kind.map(|(at, from, to, _)| (at, from, to)).collect()
    }

    /// Cuts the way from one node to another, or opens it again.
    pub fn cut(&self, from: NodeId, to: NodeId, cut: bool) {
        let mut ways = self.cut.lock().unwrap();
        if cut {
            ways.insert((from, to))
        } else {
            ways.remove(&(from, to))
        };
    }

    /// Takes what was sent since it was asked last, and counts what is of these kinds.
    pub fn take_sent_of(&self, kinds: &[u8]) -> usize {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.iter().filter(|(_, _, _, kind)| kinds.contains(kind)).count()
    }

    /// Takes a message to a node; never arrives where the way is cut, and finds nobody where the node is down.
    async fn carry(&self, from: NodeId, to: NodeId) -> Option<Groups> {
        if !self.nodes.lock().unwrap().contains_key(&to) {
            return None;
        }
        let mut delay = [0];
        self.random.fill(&mut delay);
        tokio::time::sleep(Duration::from_micros(100 + 4 * u64::from(delay[0]))).await;
        if self.cut.lock().unwrap().contains(&(from, to)) {
            return std::future::pending().await;
        }
        self.nodes.lock().unwrap().get(&to).cloned()
    }
}

#[derive(Debug)]
struct Ways {
    network: Arc<Network>,
    me: NodeId,
}

impl Link for Ways {
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        let (network, me) = (Arc::clone(&self.network), self.me);
        network.sent.lock().unwrap().push((Instant::now(), me, to, body[0]));
        let lost = move |cause: &str| LinkError::Lost { node: to, cause: cause.to_owned() };
        let exchange = async move {
            let Some(groups) = network.carry(me, to).await else {
                return Err(LinkError::Unreachable { node: to, cause: "nobody is there".to_owned() });
            };
            let answer = groups.handle(me, body).await.map_err(|unanswered| lost(&unanswered.cause))?;
            network.carry(to, me).await;
            Ok(answer)
        };
        Box::pin(async move {
            tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| Err(lost("no answer in time")))
        })
    }
}

pub struct Node {
    pub id: NodeId,
    pub disk: SimulatedDisk,
    pub group: Group,
    pub groups: Groups,
    flusher: tokio::task::JoinHandle<()>,
}

impl Node {
    /// Has its disk sync nothing by itself any more.
    pub fn pause_flusher(&self) {
        self.flusher.abort();
    }

    pub fn is_leader(&self) -> bool {
        self.group.standing().role == Role::Leader
    }
}

pub struct Cluster {
    pub network: Arc<Network>,
    pub nodes: BTreeMap<NodeId, Node>,
    /// The disks of nodes that are down.
    pub down: BTreeMap<NodeId, SimulatedDisk>,
    /// Which nodes hold the log, as one in doubt knows it from elsewhere.
    pub named: BTreeSet<NodeId>,
    /// How many entries each repair gave.
    pub repaired: Vec<u64>,
    /// What groups that are opened from now on keep.
    pub retention: Retention,
}

pub fn key(node: u64) -> Arc<Identity> {
    Arc::new(Identity::create(&MemoryDisk::new(), Path::new("identity"), &SeededRandom::new(node)).unwrap())
}

pub fn member(id: u64) -> (NodeId, Member) {
    (NodeId(id), Member { address: format!("node-{id}") })
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

impl Cluster {
    /// Starts nodes of which the first begins the group.
    pub async fn start(seed: u64, voters: u64) -> Self {
        Self::keeping(seed, voters, Retention::default()).await
    }

    /// Starts nodes, and says what of its log the group keeps.
    pub async fn keeping(seed: u64, voters: u64, retention: Retention) -> Self {
        let mut cluster = Self {
            network: Arc::new(Network::new(seed)),
            nodes: BTreeMap::new(),
            down: BTreeMap::new(),
            named: (1..=voters).map(NodeId).collect(),
            repaired: Vec::new(),
            retention,
        };
        for id in 1..=voters {
            cluster.open(NodeId(id), SimulatedDisk::new()).await;
        }
        let members = (1..=voters).map(member).collect();
        cluster.nodes[&NodeId(1)].group.begin(&members).await.unwrap();
        cluster
    }

    /// Opens a node on a disk; one in doubt waits until it is repaired.
    pub async fn open(&mut self, id: NodeId, disk: SimulatedDisk) {
        let (log, flusher) = self.open_log(id, &disk);
        let link: Arc<dyn Link> = Arc::new(self.ways(id));
        if log.doubt().is_some() {
            self.repaired.push(replication::repair(&log, id, &link, &self.named, |_| ()).await.unwrap());
        }
        let groups = Groups::default();
        let group = groups.start(log, id, key(id.0), link, &Timing::default()).await.unwrap();
        group.keep(&self.retention);
        self.network.plug(id, Some(groups.clone()));
        self.nodes.insert(id, Node { id, disk, group, groups, flusher });
    }

    pub fn ways(&self, me: NodeId) -> impl Link + use<> {
        ways(&self.network, me)
    }

    /// Opens a node's replica, and nothing more.
    pub fn open_log(&self, id: NodeId, disk: &SimulatedDisk) -> (ReplicaLog, tokio::task::JoinHandle<()>) {
        open_log(id, 7, disk)
    }

    /// Takes the power of a node away; its disk keeps what it surely has.
    pub async fn crash(&mut self, id: NodeId) {
        self.crash_leaving(id, &CrashImage::None).await;
    }

    /// Stops a node at once; its disk keeps what the image says.
    pub async fn crash_leaving(&mut self, id: NodeId, image: &CrashImage) {
        let node = self.nodes.remove(&id).unwrap();
        self.network.plug(id, None);
        node.disk.power_off();
        // What waits for a sync is told that there is none any more.
        let _ = node.group.stop().await;
        node.flusher.abort();
        let _ = node.flusher.await;
        node.groups.remove(node.group.id());
        let disk = node.disk.clone();
        drop((node.group, node.groups));
        disk.restart(image);
        self.down.insert(id, disk);
    }

    /// Brings a node back on its disk.
    pub async fn restart(&mut self, id: NodeId) {
        let disk = self.down.remove(&id).unwrap();
        self.open(id, disk).await;
    }

    /// Cuts a node off from all others, or connects it again.
    pub fn isolate(&self, id: NodeId, cut: bool) {
        for other in 1..=9 {
            self.network.cut(id, NodeId(other), cut);
            self.network.cut(NodeId(other), id, cut);
        }
    }

    pub fn group(&self, id: NodeId) -> Group {
        self.nodes[&id].group.clone()
    }

    /// Waits until a node leads that is not one of those.
    pub async fn leader_besides(&self, not: &[NodeId]) -> NodeId {
        for _ in 0..20_000 {
            let mut nodes = self.nodes.values().filter(|node| !not.contains(&node.id));
            if let Some(node) = nodes.find(|node| node.is_leader()) {
                return node.id;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("nobody leads");
    }

    pub async fn leader(&self) -> NodeId {
        self.leader_besides(&[]).await
    }

    pub async fn follower(&self) -> NodeId {
        let leader = self.leader().await;
        *self.nodes.keys().find(|id| **id != leader).unwrap()
    }

    /// Waits until all nodes show the same log, and returns what the channel `orders` holds.
    pub async fn agreed(&self) -> Vec<String> {
        for _ in 0..20_000 {
            let logs: BTreeSet<_> = self.nodes.values().map(entries).collect();
            let visible: BTreeSet<_> =
                self.nodes.values().map(|node| node.group.reader().visible()).collect();
            if let [log] = logs.iter().collect::<Vec<_>>()[..]
                && visible.len() == 1
                && visible.first().unwrap().0 == log.len() as u64
            {
                return self.nodes.values().next().map(|node| payloads(&node.group)).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the nodes do not agree");
    }
}

/// Returns what a node reaches the others over.
pub fn ways(network: &Arc<Network>, me: NodeId) -> impl Link + use<> {
    Ways { network: Arc::clone(network), me }
}

/// Opens a node's replica of a log, and syncs it each millisecond.
pub fn open_log(id: NodeId, log: u8, disk: &SimulatedDisk) -> (ReplicaLog, tokio::task::JoinHandle<()>) {
    let doors = Doors {
        clock: Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000))),
        random: Arc::new(SeededRandom::new(id.0)),
        disk: Arc::new(disk.clone()),
    };
    let mut options = LogOptions::default();
    options.segment_bytes = 64 << 10;
    options.flusher = FlusherMode::Manual;
    let identity = ReplicaIdentity {
        log: LogId::from_bytes([log; 16]),
        origin: key(1).origin(),
        name: "shared".to_owned(),
    };
    let log = ReplicaLog::open(Path::new(DIR), &identity, &doors, &options).unwrap();
    let flushed = log.clone();
    let flusher = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            flushed.flush_step();
        }
    });
    (log, flusher)
}

/// Everything that a node's log holds.
fn entries(node: &Node) -> Vec<Vec<u8>> {
    let found = node.group.replica().entries(Index::ZERO..Index(u64::MAX), u64::MAX).unwrap();
    found.iter().map(|entry| format!("{entry:?}").into_bytes()).collect()
}

/// The visible payloads of the channel `orders`.
pub fn payloads(group: &Group) -> Vec<String> {
    let selection = Selection::channel(&channel("orders"));
    let events = group.reader().view().read(&selection).unwrap();
    events.map(|event| String::from_utf8(event.unwrap().payload.to_vec()).unwrap()).collect()
}

/// Appends an event to the channel `orders`.
pub async fn append(group: &Group, payload: &str, idempotency: Idempotency<'_>, within: Duration) -> Outcome {
    let orders = channel("orders");
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
    group.append(&request, within).await.unwrap()
}

/// Appends, and asks for the outcome to be that it was appended now.
pub async fn appended(group: &Group, payload: &str) {
    let outcome = append(group, payload, Idempotency::None, LONG).await;
    assert!(matches!(outcome, Outcome::Appended { .. }), "{payload}: {outcome:?}");
}
