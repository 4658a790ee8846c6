//! Three databases that are one cluster, over this machine's loopback network.

mod configured;
mod models;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use netdb::base::{ErrorKind, NodeId};
use netdb::cluster::{self, Cluster, ClusterOptions};
use netdb::net::Uses;
use netdb::redex::{Idempotency, LogName};
use netdb::replication::ReplicationConfig;
use netdb::{MODELS_LOG, NetDb, Seq};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A node: its directory, its database, and its part in the cluster.
struct Node {
    dir: TempDir,
    options: ClusterOptions,
    db: NetDb,
    cluster: Cluster,
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A port that nobody listens on; it is taken again at once.
fn options(name: &str) -> ClusterOptions {
    let socket = std::net::UdpSocket::bind(loopback()).unwrap();
    ClusterOptions::new(socket.local_addr().unwrap(), name)
}

async fn open(dir: TempDir, options: ClusterOptions) -> Node {
    let builder = NetDb::builder().directory(dir.path()).with_tasks().with_memories();
    let db = builder.open_async().await.unwrap();
    let cluster = Cluster::start(&db, &options).await.unwrap();
    Node { dir, options, db, cluster }
}

impl Node {
    async fn first() -> Self {
        let dir = tempfile::tempdir().unwrap();
        NetDb::open(dir.path()).unwrap().close().unwrap();
        cluster::init(dir.path(), &netdb::base::Doors::system()).unwrap();
        open(dir, options("first")).await
    }

    /// Joins by a ticket of another node.
    async fn further(inviter: &Node, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        NetDb::open(dir.path()).unwrap().close().unwrap();
        let (doors, options) = (netdb::base::Doors::system(), options(name));
        let ticket = inviter.cluster.invite(SOON, Uses::Once).unwrap();
        cluster::join(dir.path(), &doors, &ticket, &options).await.unwrap();
        open(dir, options).await
    }

    async fn stop(self) -> (TempDir, ClusterOptions) {
        self.cluster.stop().await.unwrap();
        self.db.close_async().await.unwrap();
        (self.dir, self.options)
    }

    /// Appends to a channel by a producer, and returns the number of the event.
    async fn append(&self, number: u64) -> Seq {
        use netdb::redex::{Ack, AppendRequest, ChannelEvents};
        let orders = netdb::base::ChannelName::new("orders").unwrap();
        let payload = number.to_string();
        let events = [netdb::EventInput::new("order.placed", payload.as_bytes())];
        let parts = [ChannelEvents { channel: &orders, events: &events }];
        let idempotency = Idempotency::Producer { id: "test", number, digest: None };
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        let ticket = self.db.store().submit(&request).unwrap();
        let appended = ticket.acknowledged(Ack::Durable).await.into_result().unwrap();
        appended.at.first_seq().unwrap()
    }

    fn payloads(&self) -> Vec<String> {
        let orders = self.db.channel("orders").unwrap();
        let events = match orders.read(Seq(0)) {
            Err(reason) if reason.kind() == ErrorKind::NotFound => return Vec::new(),
            read => read.unwrap(),
        };
        events.map(|event| String::from_utf8(event.unwrap().payload.to_vec()).unwrap()).collect()
    }
}

/// Waits for something that comes about by itself.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !is() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn three() -> Vec<Node> {
    let first = Node::first().await;
    until("the first node's leadership", || first.cluster.state().active().count() == 1).await;
    let second = Node::further(&first, "second").await;
    let third = Node::further(&first, "third").await;
    let nodes = vec![first, second, third];
    for node in &nodes {
        until("three members", || node.cluster.state().active().count() == 3).await;
    }
    nodes
}

fn roots(nodes: &[Node], log: &str) -> BTreeSet<(u64, String)> {
    let root = |node: &Node| {
        let status = node.cluster.status();
        let here = status.logs.iter().find(|known| known.log == log).and_then(|known| known.here.as_ref());
        here.map_or((0, String::new()), |here| (here.end, here.root.clone()))
    };
    nodes.iter().map(root).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_take_appends_anywhere_and_outlive_their_leader() {
    let mut nodes = three().await;
    let config = ReplicationConfig::default();
    let log = nodes[1].cluster.create_channel("orders", &config).await.unwrap();
    assert_eq!(nodes[2].cluster.create_channel("orders", &config).await.unwrap(), log);
    for node in &nodes {
        until("the channel's place", || node.cluster.state().channels.contains_key("orders")).await;
        until("a replica", || node.cluster.group(log.as_str()).is_some()).await;
    }
    let mut number = 0;
    for _ in 0..10 {
        for node in &nodes {
            number += 1;
            until("the channel", || {
                node.db.store().writer_of(&"orders".parse().unwrap()).reader().name() == log.as_str()
            })
            .await;
            assert_eq!(node.append(number).await, Seq(number - 1));
            // Whoever asks sees at once what any node acknowledged.
            let other = &nodes[usize::try_from(number).unwrap() % nodes.len()];
            other.cluster.catch_up_with(&"orders".parse().unwrap()).await.unwrap();
            assert_eq!(other.payloads().len() as u64, number);
        }
    }
    let wanted: Vec<_> = (1..=number).map(|number| number.to_string()).collect();
    for node in &nodes {
        until("all events", || node.payloads() == wanted).await;
    }
    until("equal roots", || roots(&nodes, log.as_str()).len() == 1).await;
    // The leader goes; the others go on.
    let leads = |node: &Node| {
        node.cluster
            .group(log.as_str())
            .is_some_and(|group| group.standing().leader == Some(node.cluster.node()))
    };
    let leader = nodes.iter().position(leads).unwrap();
    let (dir, options) = nodes.remove(leader).stop().await;
    for node in &nodes {
        number += 1;
        assert_eq!(node.append(number).await, Seq(number - 1));
    }
    nodes.push(open(dir, options).await);
    let wanted: Vec<_> = (1..=number).map(|number| number.to_string()).collect();
    for node in &nodes {
        until("all events", || node.payloads() == wanted).await;
    }
    until("equal roots", || roots(&nodes, log.as_str()).len() == 1).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_join_is_told_why() {
    let first = Node::first().await;
    until("the first node's leadership", || first.cluster.state().active().count() == 1).await;
    let ticket = first.cluster.invite(SOON, Uses::Once).unwrap();
    let doors = netdb::base::Doors::system();
    let fresh = || {
        let dir = tempfile::tempdir().unwrap();
        NetDb::open(dir.path()).unwrap().close().unwrap();
        dir
    };
    let (one, other, none) = (fresh(), fresh(), tempfile::tempdir().unwrap());
    let kind = |joined: Result<NodeId, netdb::Error>| joined.map_err(|error| error.kind());
    let at = options("one");
    assert_eq!(kind(cluster::join(none.path(), &doors, &ticket, &at).await), Err(ErrorKind::NotFound));
    assert_eq!(kind(cluster::join(one.path(), &doors, &ticket, &at).await), Ok(NodeId(2)));
    assert_eq!(kind(cluster::join(one.path(), &doors, &ticket, &at).await), Err(ErrorKind::Conflict));
    assert_eq!(kind(cluster::join(other.path(), &doors, &ticket, &at).await), Err(ErrorKind::Denied));
    let late = first.cluster.invite(Duration::ZERO, Uses::Once).unwrap();
    assert_eq!(kind(cluster::join(other.path(), &doors, &late, &at).await), Err(ErrorKind::Denied));
    // Too few for three replicas.
    first.cluster.remove(NodeId(2)).await.unwrap();
    let refused = first.cluster.create_channel("orders", &ReplicationConfig::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(kind(first.cluster.remove(NodeId(2)).await.map(|()| NodeId(2))), Err(ErrorKind::NotFound));
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_removed_learns_so_and_the_others_go_on() {
    let nodes = three().await;
    until("three voters", || {
        nodes[0].cluster.status().logs[0].here.as_ref().is_some_and(|here| here.voters.len() == 3)
    })
    .await;
    let removed = nodes[2].cluster.status().node;
    nodes[0].cluster.remove(removed).await.unwrap();
    // From the control log, or from who does not let it in: it takes no part any more, and asks nobody for votes.
    until("the news", || nodes[2].cluster.is_removed() && nodes[2].cluster.groups().is_empty()).await;
    let status = nodes[2].cluster.status();
    assert!(status.removed && status.logs.iter().all(|log| log.here.is_none()), "{status:?}");
    assert!(!nodes[0].cluster.is_removed() && !nodes[0].cluster.status().removed);
    until("two voters", || nodes.iter().take(2).all(|node| node.cluster.status().members.len() == 2)).await;
    assert_eq!(nodes[0].cluster.shut_out_by(), None);
    nodes[1]
        .cluster
        .create_channel("orders", &ReplicationConfig { factor: 2, ..Default::default() })
        .await
        .unwrap();
    for node in nodes {
        node.stop().await;
    }
}

/// Returns the newest segment of a log.
fn newest_segment(dir: &std::path::Path, log: &str) -> std::path::PathBuf {
    let found = std::fs::read_dir(dir.join("logs").join(log)).unwrap().map(|entry| entry.unwrap().path());
    found.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_logs_were_damaged_is_given_back_what_it_lost() {
    let mut nodes = three().await;
    let log = nodes[0].cluster.create_channel("orders", &ReplicationConfig::default()).await.unwrap();
    models::begun(&nodes[1]).await;
    until("three voters", || models::voters(&nodes[1]) == 3).await;
    let mut number = 0;
    let control = netdb::replication::control::CONTROL_LOG;
    for round in 0..4 {
        let (dir, options) = nodes.remove(0).stop().await;
        match round {
            0 | 1 => {
                let path = newest_segment(dir.path(), if round == 0 { log.as_str() } else { control });
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
                std::fs::write(&path, bytes).unwrap();
            }
            2 => {
                for log in [log.as_str(), control, MODELS_LOG] {
                    std::fs::remove_file(newest_segment(dir.path(), log)).unwrap();
                }
            }
            _ => {
                for log in [log.as_str(), control, MODELS_LOG] {
                    std::fs::remove_dir_all(dir.path().join("logs").join(log)).unwrap();
                }
            }
        }
        for node in &nodes {
            let at_log =
                || node.db.store().writer_of(&"orders".parse().unwrap()).reader().name() == log.as_str();
            until("the channel", at_log).await;
            for _ in 0..10 {
                number += 1;
                assert_eq!(node.append(number).await, Seq(number - 1));
            }
        }
        nodes[0].create(round, "while it is away").await;
        let node = open(dir, options).await;
        until("the replica", || !node.cluster.is_repairing() && node.cluster.group(log.as_str()).is_some())
            .await;
        nodes.push(node);
        let wanted: Vec<_> = (1..=number).map(|number| number.to_string()).collect();
        for node in &nodes {
            until("all events", || node.payloads() == wanted).await;
        }
        for log in [log.as_str(), control, MODELS_LOG] {
            until("equal roots", || roots(&nodes, log).len() == 1).await;
        }
        models::agree(&nodes).await;
    }
    for node in nodes {
        let (dir, _) = node.stop().await;
        let doors = netdb::base::Doors::system();
        let reports = netdb::redex::verify_all(dir.path(), &doors, &Default::default()).unwrap();
        assert!(reports.iter().all(|report| report.faults.is_empty()), "{reports:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_others_hold_is_nobodys_own_and_is_written_from_everywhere() {
    let nodes = three().await;
    let config = ReplicationConfig {
        placement: netdb::replication::Placement::Pinned(vec![nodes[0].cluster.node()]),
        ..ReplicationConfig::default()
    };
    let (other, orders) = (&nodes[1], netdb::base::ChannelName::new("orders").unwrap());
    // By a node that is not to hold it.
    let log = nodes[2].cluster.create_channel("orders", &config).await.unwrap();
    assert_eq!(nodes[0].append(1).await, Seq(0));
    until("the channel's place", || other.db.store().away(&orders).is_some()).await;
    assert_eq!(other.append(2).await, Seq(1));
    assert_eq!(other.append(2).await, Seq(1), "the same one again");
    let channel = other.db.channel("orders").unwrap();
    let events = [netdb::EventInput::new("order.placed", b"no")];
    let refused = channel.append_if(netdb::redex::Expect::Exact(Seq(99)), &events).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let typed = channel.typed::<u64>(netdb::redex::Encoding::Json);
    let ticket = typed.append("order.placed", &3).unwrap();
    assert!(ticket.acknowledged(netdb::redex::Ack::Durable).await.at().is_some());
    assert_eq!(nodes[0].payloads(), ["1", "2", "3"]);
    for node in &nodes {
        let newest = node.cluster.newest_of_producer("test").await.unwrap();
        assert_eq!(newest.map(|state| state.number), Some(2));
        assert_eq!(node.cluster.newest_of_producer("nobody").await.unwrap(), None);
    }
    assert!(channel.history().unwrap().is_none(), "it is not here");
    let refused = channel.read(Seq(0)).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.to_string().contains("a node that does (1)"), "{refused}");
    let both = [nodes[0].cluster.node(), other.cluster.node()].into();
    nodes[0].cluster.move_log(log.as_str(), &both).await.unwrap();
    until("the replica", || {
        other.db.store().writer_of(&"orders".parse().unwrap()).reader().name() == log.as_str()
    })
    .await;
    assert_eq!(other.append(4).await, Seq(3));
    let mut tail = nodes[0].db.channel("orders").unwrap().tail(Seq(0));
    let mut seen = Vec::new();
    until("all events", || nodes[0].payloads().len() == 4).await;
    for _ in 0..4 {
        seen.push(tail.next().await.unwrap().unwrap().seq.0);
    }
    // Where it was, it is not any more: it is written there still, and read once it comes back.
    nodes[0].cluster.move_log(log.as_str(), &[other.cluster.node()].into()).await.unwrap();
    until("the replica's end", || nodes[0].cluster.group(log.as_str()).is_none()).await;
    assert!(nodes[0].db.channel("orders").unwrap().history().unwrap().is_none());
    // Nor does anybody find it who reads the directory; what was there is set aside.
    let dir = nodes[0].dir.path();
    let superblock = |below: &str| dir.join(below).join("superblock").exists();
    let set_aside = format!("given-up/000001-{log}");
    until("its being set aside", || superblock(&set_aside)).await;
    assert!(!superblock(&format!("logs/{log}")));
    assert_eq!(nodes[0].append(5).await, Seq(4));
    nodes[0].cluster.move_log(log.as_str(), &[nodes[0].cluster.node()].into()).await.unwrap();
    let wanted = ["1", "2", "3", "4", "5"];
    until("the replica again", || {
        nodes[0].cluster.group(log.as_str()).is_some() && nodes[0].payloads() == wanted
    })
    .await;
    // A tail goes on where it stood.
    let next = tokio::time::timeout(SOON, tail.next()).await.unwrap();
    seen.push(next.unwrap().unwrap().seq.0);
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    // What it was given back from, another node held, and it lost nothing.
    assert!(!nodes[0].cluster.is_repairing());
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_replica_appends_while_the_leader_goes() {
    let mut nodes = three().await;
    let log = nodes[0].cluster.create_channel("orders", &ReplicationConfig::default()).await.unwrap();
    let fourth = Node::further(&nodes[0], "fourth").await;
    let orders = netdb::base::ChannelName::new("orders").unwrap();
    until("the channel's place", || fourth.db.store().away(&orders).is_some()).await;
    // A channel that lives nowhere yet is made in the node's own log, as on any node.
    let own = fourth.db.channel("own").unwrap();
    until("the first look", || own.append("noted", b"1").is_ok()).await;
    assert_eq!(own.history().unwrap().unwrap().living().log, "main");
    until("three voters", || {
        let of = |node: &Node| node.cluster.group(log.as_str()).map(|group| group.standing().voters.len());
        nodes.iter().any(|node| of(node) == Some(3))
    })
    .await;
    for number in 1..=20 {
        assert_eq!(fourth.append(number).await, Seq(number - 1));
    }
    let leads = |node: &Node| {
        node.cluster
            .group(log.as_str())
            .is_some_and(|group| group.standing().leader == Some(node.cluster.node()))
    };
    let leader = nodes.remove(nodes.iter().position(leads).unwrap());
    let (stopped, ()) = tokio::join!(leader.stop(), async {
        for number in 21..=60 {
            assert_eq!(fourth.append(number).await, Seq(number - 1));
        }
    });
    drop(stopped);
    let wanted: Vec<_> = (1..=60).map(|number| number.to_string()).collect();
    for node in &nodes {
        until("all events", || node.payloads() == wanted).await;
    }
    assert!(fourth.cluster.group(log.as_str()).is_none());
    nodes.push(fourth);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_channel_begins_in_a_members_own_log_before_it_knows_which_are_replicated() {
    let first = Node::first().await;
    until("the first node's leadership", || first.cluster.state().active().count() == 1).await;
    let alone =
        || first.db.channel("alone").unwrap().append("noted", b"1").map(drop).map_err(|error| error.kind());
    until("the first look", || alone() != Err(ErrorKind::Unavailable)).await;
    assert_eq!(alone(), Ok(()));
    let (dir, options) = first.stop().await;
    let db = NetDb::builder().directory(dir.path()).open_async().await.unwrap();
    // What is there is known to be its own.
    db.channel("alone").unwrap().append("noted", b"2").unwrap();
    let refused = db.channel("orders").unwrap().append("order.placed", b"1").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let cluster = Cluster::start(&db, &options).await.unwrap();
    let placed = || db.channel("orders").unwrap().append("order.placed", b"1").map_err(|error| error.kind());
    until("the first look", || placed() != Err(ErrorKind::Unavailable)).await;
    placed().unwrap();
    cluster.stop().await.unwrap();
    db.close_async().await.unwrap();
}
