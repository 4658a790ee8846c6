//! Heartbeats of several groups between the same nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{NodeId, SimulatedDisk};
use replication::{Group, Groups, Link, Role, Timing};
use tokio::time::Instant;

use crate::support::{LONG, Network, appended, key, member, open_log, payloads, ways};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const HEARTBEAT: Duration = Duration::from_millis(100);
/// What a message with heartbeats begins with.
const HEARTBEATS: u8 = 6;

struct Node {
    groups: Groups,
    /// In the order of the logs.
    held: Vec<Group>,
    disks: Vec<SimulatedDisk>,
}

/// Three nodes that hold the same logs.
struct Many {
    network: Arc<Network>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Many {
    /// Starts nodes with so many groups each, of which the leaders are spread over the nodes.
    async fn start(seed: u64, groups: u8) -> Self {
        let mut many = Self { network: Arc::new(Network::new(seed)), nodes: BTreeMap::new() };
        let timing = Timing::default();
        for id in NODES {
            let mut node = Node { groups: Groups::default(), held: Vec::new(), disks: Vec::new() };
            let link: Arc<dyn Link> = Arc::new(ways(&many.network, id));
            for log in 0..groups {
                let disk = SimulatedDisk::new();
                let (log, _) = open_log(id, log + 1, &disk);
                let started = node.groups.start(log, id, key(id.0), Arc::clone(&link), &timing);
                node.held.push(started.await.unwrap());
                node.disks.push(disk);
            }
            many.network.plug(id, Some(node.groups.clone()));
            many.nodes.insert(id, node);
        }
        let members = NODES.map(|id| member(id.0)).into();
        for (at, wanted) in (0..usize::from(groups)).zip(NODES.into_iter().cycle()) {
            many.held(NodeId(1), at).begin(&members).await.unwrap();
            let leader = many.leader(at).await;
            appended(many.held(leader, at), "first").await;
            while many.leader(at).await != wanted {
                let leader = many.leader(at).await;
                // It may be refused until the other one has everything.
                let _ = many.held(leader, at).transfer(wanted, LONG).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        many
    }

    fn held(&self, id: NodeId, at: usize) -> &Group {
        &self.nodes[&id].held[at]
    }

    /// Waits until a node that is up leads a group, and returns it.
    async fn leader(&self, at: usize) -> NodeId {
        let leads =
            |(id, node): (&NodeId, &Node)| (node.held[at].standing().role == Role::Leader).then_some(*id);
        for _ in 0..20_000 {
            if let Some(leader) = self.nodes.iter().find_map(leads) {
                return leader;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("nobody leads group {at}");
    }

    fn terms(&self) -> Vec<(u64, NodeId)> {
        let held = self.nodes[&NodeId(1)].held.iter();
        held.map(|group| (group.standing().term.0, group.standing().leader.unwrap())).collect()
    }

    /// Returns how many messages with heartbeats each node sent to each other within ten seconds.
    async fn count(&self) -> BTreeMap<(NodeId, NodeId), u64> {
        self.network.take_sent(HEARTBEATS);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut counts = BTreeMap::new();
        for (_, from, to) in self.network.take_sent(HEARTBEATS) {
            *counts.entry((from, to)).or_default() += 1;
        }
        counts
    }

    /// Takes a node away at once, and returns how long it takes until others lead what it led.
    async fn fail(&mut self, id: NodeId) -> Duration {
        let led: BTreeSet<_> = (0..self.nodes[&id].held.len())
            .filter(|at| self.held(id, *at).standing().role == Role::Leader)
            .collect();
        assert!(!led.is_empty());
        self.network.plug(id, None);
        for group in self.nodes.remove(&id).unwrap().held {
            group.stop().await.unwrap();
        }
        let began = Instant::now();
        for at in led {
            self.leader(at).await;
        }
        began.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn idle_groups_cost_one_message_for_each_beat_and_peer() {
    for groups in [1, 6] {
        let many = Many::start(400, groups).await;
        let terms = many.terms();
        let counts = many.count().await;
        // The node that leads the only group tells two others; where each leads some, each tells two others.
        assert_eq!(counts.len(), if groups == 1 { 2 } else { 6 }, "{counts:?}");
        for (way, count) in counts {
            assert!((99..=101).contains(&count), "{groups} groups: {count} messages on the way {way:?}");
        }
        assert_eq!(many.terms(), terms, "nobody was elected meanwhile");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_group_beats_at_its_interval() {
    let many = Many::start(401, 1).await;
    many.count().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sent = many.network.take_sent(HEARTBEATS);
    let to_one: Vec<_> = sent.iter().filter(|(_, _, to)| *to == NodeId(2)).map(|(at, _, _)| *at).collect();
    assert!(to_one.len() >= 29);
    for pair in to_one.windows(2) {
        assert_eq!(pair[1] - pair[0], HEARTBEAT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_missing_stopped_or_slow_disturbs_no_other() {
    let many = Many::start(402, 12).await;
    let follower = NodeId(2);
    // Groups that node 1 leads.
    let [stopped, missing, slow] = [0, 3, 6];
    many.held(follower, stopped).stop().await.unwrap();
    many.nodes[&follower].groups.remove(many.held(follower, missing).id());
    many.nodes[&follower].disks[slow].fill_up(Some(0));
    let leader = many.held(NodeId(1), slow);
    let payload = "x".repeat(4 << 10);
    for _ in 0..20 {
        appended(leader, &payload).await;
    }
    assert!(many.held(follower, slow).waits_for_room());
    let terms = many.terms();
    many.network.take_sent(HEARTBEATS);
    for _ in 0..100 {
        tokio::time::sleep(HEARTBEAT).await;
        let of = |at: usize| many.held(NodeId(1), at).progress()[&follower].heard.unwrap();
        assert!(of(9) < HEARTBEAT * 2, "{:?}", of(9));
    }
    for at in [stopped, missing, slow] {
        let heard = many.held(NodeId(1), at).progress()[&follower].heard.unwrap();
        assert!(heard > HEARTBEAT * 90, "group {at} answers nothing: {heard:?}");
    }
    assert_eq!(many.terms(), terms);
    let sent = many.network.take_sent(HEARTBEATS);
    let to_it = sent.iter().filter(|(_, from, to)| *from == NodeId(1) && *to == follower).count();
    assert!(to_it <= 101, "{to_it} messages in 100 beats");
    appended(many.held(NodeId(1), 9), "goes on").await;
    assert_eq!(payloads(many.held(NodeId(1), 9)), ["first", "goes on"]);
}

#[tokio::test(start_paused = true)]
async fn that_a_leader_is_gone_is_noticed_as_soon_with_many_groups_as_with_one() {
    for groups in [1, 6] {
        for seed in 410..412 {
            let mut many = Many::start(seed, groups).await;
            let took = many.fail(NodeId(1)).await;
            // Six to seven heartbeats after the last one that was heard, and an election.
            let bounds = HEARTBEAT * 5..HEARTBEAT * 9;
            assert!(bounds.contains(&took), "{groups} groups, seed {seed}: {took:?}");
        }
    }
}
