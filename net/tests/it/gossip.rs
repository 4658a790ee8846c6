//! Who is there, as nodes tell each other over a network that cuts, loses and repeats.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Classify, ErrorKind, NodeId, PublicKey, SeededRandom, SystemRandom};
use bytes::Bytes;
use net::{
    Endpoint, EndpointOptions, Gossip, GossipError, GossipOptions, Introduction, Liveness, Pool, Protocol,
    Seed, SimulatedNetwork, Socket, Weather,
};
use tokio::time::Instant;

use crate::nodes::{Members, address, cluster, connect, identity, key, machine, open};

/// By when a member that stopped is down for all, with the default settings and up to five nodes.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// One node that gossips.
struct Node {
    endpoint: Arc<Endpoint>,
    gossip: Gossip,
    dispatch: tokio::task::JoinHandle<()>,
}

/// Nodes on one network.
struct Nodes {
    network: SimulatedNetwork,
    members: Arc<Members>,
    seed: u64,
    nodes: BTreeMap<u8, Node>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.endpoint.close();
        self.dispatch.abort();
    }
}

fn seed_of(node: u8) -> Seed {
    Seed { node: NodeId(node.into()), key: key(node), address: address(node) }
}

fn facts(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl Nodes {
    fn new(seed: u64, weather: Weather, members: &[u8]) -> Self {
        let network = SimulatedNetwork::new(seed, weather);
        Self { network, members: Members::new(members), seed, nodes: BTreeMap::new() }
    }

    /// Starts a node, which knows node 1 only.
    async fn start(&mut self, node: u8, epoch: u64) {
        self.start_alone(node, epoch, GossipOptions::default());
        self.gossip(node).join(&[seed_of(1)]).await.unwrap();
    }

    /// Starts a node that knows nobody.
    fn start_alone(&mut self, node: u8, epoch: u64, options: GossipOptions) {
        let endpoint = open(&self.network, node, &self.members);
        let pool = Pool::new(Arc::clone(&endpoint));
        let me = Introduction {
            address: address(node),
            epoch,
            facts: facts(&format!("node {node}, life {epoch}")),
        };
        let random = Arc::new(SeededRandom::new(self.seed * 1_000 + u64::from(node)));
        let gossip = Gossip::start(Arc::clone(&endpoint), pool, me, options, random).unwrap();
        let dispatch = tokio::spawn(dispatch(Arc::clone(&endpoint), gossip.clone()));
        self.nodes.insert(node, Node { endpoint, gossip, dispatch });
    }

    async fn start_all(&mut self, nodes: &[u8]) {
        for node in nodes {
            self.start(*node, 1).await;
        }
    }

    /// Stops a node as a crash does: what its transport would say in the end is swallowed. Mends all links.
    async fn crash(&mut self, node: u8) {
        self.network.unplug(address(node));
        for other in self.nodes.keys() {
            self.network.cut(machine(node), machine(*other));
        }
        self.nodes.remove(&node);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.network.mend();
    }

    fn gossip(&self, node: u8) -> &Gossip {
        &self.nodes[&node].gossip
    }

    /// What a node knows of others: number, liveness, epoch, facts.
    fn view(&self, node: u8) -> Vec<(u8, Liveness, u64, String)> {
        let told = |peer: &net::Peer| {
            assert_ne!(peer.node, NodeId(node.into()), "a node is none of the others");
            assert_eq!(peer.key, key(u8::try_from(peer.node.0).unwrap()));
            let facts = String::from_utf8(peer.facts.to_vec()).unwrap();
            (u8::try_from(peer.node.0).unwrap(), peer.liveness, peer.epoch, facts)
        };
        self.gossip(node).peers().iter().map(told).collect()
    }

    /// Waits until all nodes know something of a node; returns how long that took.
    async fn until_all(
        &self,
        what: &str,
        holds: impl Fn(u8, &[(u8, Liveness, u64, String)]) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        let watch = async {
            for (node, running) in &self.nodes {
                let mut changes = running.gossip.watch();
                while !holds(*node, &self.view(*node)) {
                    changes.changed().await.unwrap();
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), watch).await.is_err() {
            let views: Vec<_> = self.nodes.keys().map(|node| (node, self.view(*node))).collect();
            panic!("not {what}: {views:#?}");
        }
        begun.elapsed()
    }

    /// Waits until all nodes see all others with their facts.
    async fn until_complete(&self) -> Duration {
        let count = self.nodes.len() - 1;
        self.until_all("complete", |_, view| {
            view.len() == count
                && view
                    .iter()
                    .all(|(_, liveness, _, facts)| *liveness == Liveness::Alive && !facts.is_empty())
        })
        .await
    }

    async fn until_down(&self, down: u8) -> Duration {
        self.until_all("down", |_, view| {
            view.iter().any(|(node, liveness, ..)| *node == down && *liveness == Liveness::Down)
        })
        .await
    }
}

/// Gives a node's connections to its gossip.
async fn dispatch(endpoint: Arc<Endpoint>, gossip: Gossip) {
    let mut others = Vec::new();
    while let Some(connection) = endpoint.accept().await {
        match connection.protocol() {
            Protocol::Gossip => gossip.take(connection).await.unwrap(),
            _ => others.push(connection),
        }
    }
}

fn rough() -> Weather {
    Weather { delay: Duration::from_millis(1)..Duration::from_millis(20), lost: 20, repeated: 20 }
}

#[tokio::test(start_paused = true)]
async fn five_nodes_that_know_one_see_each_other_and_what_they_say() {
    let mut nodes = Nodes::new(1, rough(), &[1, 2, 3, 4, 5]);
    nodes.start_all(&[1, 2, 3, 4, 5]).await;
    let took = nodes.until_complete().await;
    assert!(took < Duration::from_secs(40), "{took:?}");
    let expected: Vec<_> =
        [1, 2, 4, 5].map(|node| (node, Liveness::Alive, 1, format!("node {node}, life 1"))).to_vec();
    assert_eq!(nodes.view(3), expected);
    assert_eq!(nodes.gossip(3).peers()[0].address, address(1));
    nodes.gossip(2).update(facts("busy")).unwrap();
    nodes.gossip(2).update(facts("busier")).unwrap();
    let took =
        nodes.until_all("told", |me, view| me == 2 || view.iter().any(|(.., facts)| facts == "busier")).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_is_down_for_all_in_time_and_comes_back_with_a_new_life() {
    for seed in 0..5 {
        let mut nodes = Nodes::new(seed, rough(), &[1, 2, 3, 4, 5]);
        nodes.start_all(&[1, 2, 3, 4, 5]).await;
        nodes.until_complete().await;
        nodes.crash(4).await;
        let took = nodes.until_down(4).await;
        assert!(took >= GossipOptions::default().suspect_for && took < DOWN_WITHIN, "{took:?}");
        assert!(
            nodes.view(1).iter().all(|(node, liveness, ..)| (*node == 4) == (*liveness == Liveness::Down))
        );
        nodes.start(4, 2).await;
        nodes.until_complete().await;
        assert!(nodes.view(5).contains(&(4, Liveness::Alive, 2, "node 4, life 2".to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_restarts_with_an_old_life_goes_on_behind_the_one_that_is_known() {
    for (epoch, at_once) in [(3, false), (7, false), (7, true), (1, true)] {
        let mut nodes = Nodes::new(3, Weather::fair(), &[1, 2, 3]);
        nodes.start_all(&[1, 2]).await;
        nodes.start(3, 7).await;
        nodes.until_complete().await;
        nodes.gossip(3).update(facts("before")).unwrap();
        nodes.until_all("told", |me, view| me == 3 || view.iter().any(|(.., facts)| facts == "before")).await;
        nodes.crash(3).await;
        if !at_once {
            nodes.until_down(3).await;
        }
        nodes.start(3, epoch).await;
        let expected = format!("node 3, life {epoch}");
        let is_back = |view: &[(u8, Liveness, u64, String)]| {
            view.iter().any(|(node, liveness, epoch, facts)| {
                (*node, *liveness) == (3, Liveness::Alive) && *epoch >= 7 && *facts == expected
            })
        };
        nodes.until_all("back", |me, view| me == 3 || is_back(view)).await;
        nodes.until_complete().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_one_way_makes_nobody_suspect_who_is_reached_through_others() {
    for (from, to) in [(2, 3), (3, 2)] {
        let mut nodes = Nodes::new(5, Weather::fair(), &[1, 2, 3, 4, 5]);
        nodes.start_all(&[1, 2, 3, 4, 5]).await;
        nodes.until_complete().await;
        nodes.network.cut(machine(from), machine(to));
        let begun = Instant::now();
        let mut watches: Vec<_> = nodes.nodes.values().map(|node| node.gossip.watch()).collect();
        while begun.elapsed() < Duration::from_secs(120) {
            let changes = watches.iter_mut().map(|watch| Box::pin(watch.changed()));
            let _ = tokio::time::timeout(Duration::from_secs(1), first_of(changes.collect())).await;
            for node in [1, 2, 3, 4, 5] {
                let other =
                    nodes.view(node).into_iter().find(|(_, liveness, ..)| *liveness != Liveness::Alive);
                assert_eq!(other, None, "seen by {node} after {:?}", begun.elapsed());
            }
        }
        assert!(nodes.network.counts().cut > 100);
        nodes.network.mend();
        nodes.until_complete().await;
    }
}

/// Waits for the first of many futures.
async fn first_of<F: Future + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|context| {
        match futures.iter_mut().any(|future| std::pin::Pin::new(future).poll(context).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn halves_that_were_apart_find_each_other_again() {
    let mut nodes = Nodes::new(6, Weather::fair(), &[1, 2, 3, 4]);
    nodes.start_all(&[1, 2, 3, 4]).await;
    nodes.until_complete().await;
    for (one, other) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        nodes.network.cut(machine(one), machine(other));
        nodes.network.cut(machine(other), machine(one));
    }
    nodes
        .until_all("apart", |me, view| {
            let apart = if me < 3 { [3, 4] } else { [1, 2] };
            view.iter().all(|(node, liveness, ..)| apart.contains(node) == (*liveness == Liveness::Down))
        })
        .await;
    nodes.network.mend();
    nodes.until_complete().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_alone_asks_its_seeds_and_whoever_was_there_until_somebody_answers() {
    let mut nodes = Nodes::new(6, Weather::fair(), &[1, 2]);
    nodes.start(2, 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(nodes.view(2).is_empty());
    // Node 1 has no seed, since it is its own.
    nodes.start(1, 1).await;
    let took = nodes.until_complete().await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    for (from, to) in [(1, 2), (2, 1)] {
        nodes.network.cut(machine(from), machine(to));
    }
    nodes
        .until_all("apart", |_, view| view.iter().all(|(_, liveness, ..)| *liveness == Liveness::Down))
        .await;
    nodes.network.mend();
    let took = nodes.until_complete().await;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_is_heard_and_told_over_the_connection_that_works() {
    let mut nodes = Nodes::new(14, Weather::fair(), &[1, 2]);
    nodes.start_all(&[1, 2]).await;
    nodes.until_complete().await;
    for life in 2..6 {
        // The other side still has a connection to the life before, and learns by silence that it has ended.
        nodes.crash(2).await;
        nodes.start(2, life).await;
        let begun = Instant::now();
        let is_back =
            |view: &[(u8, Liveness, u64, String)]| view.iter().any(|(_, _, epoch, _)| *epoch == life);
        nodes.until_all("back", |me, view| me == 2 || is_back(view)).await;
        nodes.until_complete().await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_comes_back_is_given_up() {
    let mut nodes = Nodes::new(15, Weather::fair(), &[1, 2]);
    nodes.start_all(&[1, 2]).await;
    nodes.until_complete().await;
    nodes.crash(2).await;
    // It knows nobody: the other side is to find out that its connection leads to the life before.
    nodes.start_alone(2, 2, GossipOptions::default());
    let took = nodes.until_complete().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_disappears_and_is_not_believed_about() {
    let mut nodes = Nodes::new(7, Weather::fair(), &[1, 2, 3, 4]);
    nodes.start_all(&[1, 2, 3, 4]).await;
    nodes.until_complete().await;
    nodes.members.remove(4);
    nodes.nodes.values().for_each(|node| node.endpoint.review());
    let took =
        nodes.until_all("removed", |me, view| me == 4 || view.iter().all(|(node, ..)| *node != 4)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    // It says on that it is there, and nobody hears it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for node in [1, 2, 3] {
        assert_eq!(nodes.view(node).len(), 2, "{:?}", nodes.view(node));
    }
    nodes.members.add(4);
    nodes.until_complete().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_about_nodes_that_one_does_not_know_is_counted_and_not_believed() {
    // Node 2 knows 5 as a member, and 1 does not.
    let mut nodes = Nodes::new(8, Weather::fair(), &[1, 2]);
    nodes.start(1, 1).await;
    nodes.members = Members::new(&[1, 2, 5]);
    nodes.start(2, 1).await;
    nodes.start(5, 1).await;
    nodes.gossip(5).join(&[seed_of(2)]).await.unwrap();
    let knows = |view: &[(u8, Liveness, u64, String)], nodes: &[u8]| {
        view.iter().map(|(node, ..)| *node).collect::<Vec<_>>() == nodes
    };
    nodes
        .until_all("known", |me, view| match me {
            1 => knows(view, &[2]),
            2 => knows(view, &[1, 5]),
            _ => view.iter().any(|(node, ..)| *node == 2),
        })
        .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(knows(&nodes.view(1), &[2]));
    let counts = nodes.gossip(1).counts();
    assert!(counts.unknown > 0 && counts.malformed == 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_down_at_once() {
    let mut nodes = Nodes::new(9, Weather::fair(), &[1, 2, 3, 4]);
    nodes.start_all(&[1, 2, 3, 4]).await;
    nodes.until_complete().await;
    nodes.gossip(3).leave().await.unwrap();
    let begun = Instant::now();
    let left = |view: &[(u8, Liveness, u64, String)]| {
        view.iter().any(|(node, liveness, ..)| (*node, *liveness) == (3, Liveness::Down))
    };
    nodes.until_all("gone", |me, view| me == 3 || left(view)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let heard = nodes.gossip(3).counts().received;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(left(&nodes.view(1)), "it has come back: {:?}", nodes.view(1));
    assert_eq!(nodes.gossip(3).counts().received, heard);
    assert!(nodes.gossip(3).update(facts("unheard")).is_ok());
    nodes.gossip(3).leave().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn packets_that_do_not_read_or_are_forged_or_too_many_are_dropped_and_counted() {
    let mut nodes = Nodes::new(10, Weather::fair(), &[1, 2, 3]);
    nodes.start_all(&[1, 2]).await;
    nodes.until_complete().await;
    let three = open(&nodes.network, 3, &nodes.members);
    let connection = connect(&three, 1, Protocol::Gossip).await.unwrap();
    for bytes in [0, 1, 159, 160, 1_150] {
        connection.send_datagram(vec![0xFF; bytes].into()).unwrap();
    }
    // What node 2 would say of itself, from node 3.
    connection.send_datagram(announce(2, &[])).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counts = nodes.gossip(1).counts();
    assert_eq!((counts.malformed, counts.forged, counts.too_many), (5, 1, 0));
    for _ in 0..100 {
        for _ in 0..20 {
            connection.send_datagram(announce(2, &[])).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counts = nodes.gossip(1).counts();
    assert!((200..700).contains(&counts.forged) && counts.too_many >= 1_000, "{counts:?}");
    // Meanwhile the others go on.
    nodes.start(3, 1).await;
    nodes.until_complete().await;
    assert!(nodes.gossip(2).counts().malformed == 0);
}

/// An announce of a node, to node 1, as `PROTOCOL.md` says; with facts of keys.
fn announce(node: u8, facts: &[(PublicKey, &[u8])]) -> Bytes {
    let mut bytes = b"NdGp\x01\x07\0\0\0\0\0".to_vec();
    bytes.push(u8::try_from(facts.len()).unwrap());
    bytes.extend_from_slice(&[0; 4]);
    for member in [node, 1] {
        bytes.extend_from_slice(key(member).as_bytes());
        bytes.extend_from_slice(&u64::from(member).to_le_bytes());
        bytes.extend_from_slice(&1_u64.to_le_bytes());
        bytes.extend_from_slice(&[10, 0, 0, member, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&7_000_u16.to_le_bytes());
        bytes.extend_from_slice(&[4, 0, 0, 0, 0, 0]);
    }
    for (key, facts) in facts {
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&1_u64.to_le_bytes());
        bytes.extend_from_slice(&[9, 0, 0, 0]);
        bytes.extend_from_slice(&u16::try_from(facts.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(facts);
    }
    bytes.into()
}

#[tokio::test(start_paused = true)]
async fn facts_of_who_is_not_known_are_not_kept() {
    let mut nodes = Nodes::new(13, Weather::fair(), &[1, 3]);
    nodes.start_all(&[1]).await;
    let three = open(&nodes.network, 3, &nodes.members);
    let connection = connect(&three, 1, Protocol::Gossip).await.unwrap();
    let said = [(key(3), b"of a member".as_slice()), (key(99), b"of a stranger")];
    connection.send_datagram(announce(3, &said)).unwrap();
    connection.next_datagram().await.unwrap();
    assert_eq!(nodes.view(1), [(3, Liveness::Alive, 1, "of a member".to_owned())]);
    // Whatever is known of others would be passed on to this one.
    connection.send_datagram(announce(3, &[])).unwrap();
    for _ in 0..2 {
        let told = connection.next_datagram().await.unwrap();
        assert_eq!(told[..4], *b"NdGp");
        assert!(!told.windows(32).any(|bytes| bytes == key(99).as_bytes()));
        assert!(told.windows(32).any(|bytes| bytes == key(1).as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_members_are_remembered() {
    let mut nodes = Nodes::new(11, Weather::fair(), &[1, 2, 3, 4]);
    let mut few = GossipOptions::default();
    few.members_max = 2;
    nodes.start_alone(1, 1, few);
    nodes.start_all(&[2, 3, 4]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(nodes.view(1).len(), 2);
    assert!(nodes.gossip(1).counts().over_limit > 0);
}

#[tokio::test(start_paused = true)]
async fn settings_facts_and_connections_that_cannot_be_are_refused() {
    let mut nodes = Nodes::new(12, Weather::fair(), &[1, 2]);
    nodes.start_all(&[1]).await;
    let two = open(&nodes.network, 2, &nodes.members);
    let start = |options: GossipOptions, bytes: usize| {
        let me = Introduction { address: address(2), epoch: 1, facts: vec![0; bytes].into() };
        Gossip::start(
            Arc::clone(&two),
            Pool::new(Arc::clone(&two)),
            me,
            options,
            Arc::new(SeededRandom::new(1)),
        )
    };
    let mut slow = GossipOptions::default();
    slow.answer_within = slow.probe_every / 2;
    slow.members_max = 0;
    let error = start(slow, 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("answer_within") && text.contains("members_max"), "{text}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(matches!(
        start(GossipOptions::default(), 257),
        Err(GossipError::FactsTooLarge { bytes: 257, max: 256 })
    ));
    let gossip = start(GossipOptions::default(), 256).unwrap();
    assert!(matches!(gossip.update(vec![0; 257].into()), Err(GossipError::FactsTooLarge { .. })));
    let seeds = vec![seed_of(1); 33];
    assert!(matches!(gossip.join(&seeds).await, Err(GossipError::TooManySeeds { count: 33, max: 32 })));
    let raft = connect(&two, 1, Protocol::Raft).await.unwrap();
    assert!(matches!(gossip.take(raft).await, Err(GossipError::Protocol { protocol: Protocol::Raft })));
}

/// More than fit into one packet, so that not all are told of at once.
#[tokio::test(start_paused = true)]
async fn many_nodes_find_each_other_too() {
    let all: Vec<u8> = (1..=24).collect();
    let mut nodes = Nodes::new(16, Weather::fair(), &all);
    nodes.start_all(&all).await;
    let took = nodes.until_complete().await;
    assert!(took < Duration::from_secs(60), "{took:?}");
    nodes.crash(7).await;
    let took = nodes.until_down(7).await;
    assert!(took < DOWN_WITHIN, "{took:?}");
    let counts: Vec<_> = nodes.nodes.values().map(|node| node.gossip.counts()).collect();
    assert!(
        counts.iter().all(|counts| counts.malformed + counts.forged + counts.too_many == 0),
        "{counts:?}"
    );
}

#[tokio::test]
async fn gossip_goes_over_the_machines_own_network() {
    let members = Members::new(&[1, 2]);
    let mut running = Vec::new();
    for node in [1, 2] {
        let place = (cluster(), NodeId(node.into()));
        let socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let admission = Arc::clone(&members) as _;
        let options = EndpointOptions::default();
        let endpoint = Arc::new(
            Endpoint::open(socket, identity(node), place, admission, options, &SystemRandom).unwrap(),
        );
        let address = endpoint.local_address().unwrap();
        let me = Introduction { address, epoch: 1, facts: vec![node; 256].into() };
        let (pool, random) = (Pool::new(Arc::clone(&endpoint)), Arc::new(SystemRandom));
        let options = GossipOptions::default();
        let gossip = Gossip::start(Arc::clone(&endpoint), pool, me, options, random).unwrap();
        let dispatch = tokio::spawn(dispatch(Arc::clone(&endpoint), gossip.clone()));
        running.push((address, Node { endpoint, gossip, dispatch }));
    }
    let seed = Seed { node: NodeId(1), key: key(1), address: running[0].0 };
    running[1].1.gossip.join(&[seed]).await.unwrap();
    for (me, other) in [(0, 2), (1, 1)] {
        let mut changes = running[me].1.gossip.watch();
        let told = changes.wait_for(|peers| peers.iter().any(|peer| *peer.facts == [other; 256]));
        let peers = tokio::time::timeout(DOWN_WITHIN, told).await.unwrap().unwrap().clone();
        let expected = (NodeId(other.into()), key(other), running[usize::from(other) - 1].0, Liveness::Alive);
        assert_eq!((peers[0].node, peers[0].key, peers[0].address, peers[0].liveness), expected);
    }
}

/// What all nodes saw, when, while nodes start, stop, leave and are cut off in bad weather.
fn history(seed: u64) -> Vec<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut nodes = Nodes::new(seed, rough(), &[1, 2, 3, 4]);
        nodes.start_all(&[1, 2, 3, 4]).await;
        let begun = Instant::now();
        let mut lines = Vec::new();
        for step in 0..60 {
            match step {
                10 => nodes.crash(4).await,
                25 => nodes.start(4, 2).await,
                30 => nodes.network.cut(machine(2), machine(3)),
                40 => nodes.network.mend(),
                45 => nodes.gossip(3).leave().await.unwrap(),
                _ => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            for node in nodes.nodes.keys() {
                lines.push(format!(
                    "{:?} {node}: {:?} {:?}",
                    begun.elapsed(),
                    nodes.view(*node),
                    nodes.gossip(*node).counts()
                ));
            }
        }
        lines.push(format!("{:?}", nodes.network.counts()));
        lines
    })
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..4 {
        assert_eq!(history(seed), history(seed), "seed {seed}");
    }
    assert_ne!(history(1), history(2));
}
