//! Three nodes in one process, in simulated time: what the store must not let happen to a group.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::type_config::async_runtime::watch::WatchReceiver as _;
use openraft::{Raft, RaftMetrics, ServerState};
use redex::{AppendRequest, ChannelEvents, EventInput};

use super::machine::Machine;
use super::*;

type Group = Raft<TypeConfig, Machine>;

/// Who can be reached.
#[derive(Clone, Default)]
struct Router(Arc<Mutex<BTreeMap<u64, Group>>>);

impl Router {
    fn reach(&self, target: u64) -> Result<Group, Unreachable<TypeConfig>> {
        let found = self.0.lock().unwrap().get(&target).cloned();
        found.ok_or_else(|| Unreachable::new(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused)))
    }
}

/// The way from anybody to one node.
struct Way {
    router: Router,
    target: u64,
}

impl RaftNetworkFactory<TypeConfig> for Router {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _: &Member) -> Way {
        Way { router: self.clone(), target }
    }
}

fn fatal(error: impl std::error::Error + 'static) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&error))
}

/// An entry as it arrives: bytes that nobody has checked yet.
fn arrived(entry: Entry) -> Entry {
    let payload = match entry.payload {
        EntryPayload::Normal(proposal) => {
            EntryPayload::Normal(Proposal::from_bytes(proposal.0.bytes().clone()))
        }
        other => other,
    };
    Entry::new(entry.log_id, payload)
}

impl RaftNetworkV2<TypeConfig> for Way {
    type SnapshotData = Vec<LogId>;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        rpc.entries = std::mem::take(&mut rpc.entries).into_iter().map(arrived).collect();
        self.router.reach(self.target)?.append_entries(rpc).await.map_err(fatal)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.router.reach(self.target)?.vote(rpc).await.map_err(fatal)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.router.reach(self.target)?.pre_vote(rpc).await.map_err(fatal)
    }

    async fn full_snapshot(
        &mut self,
        _: RaftVote,
        _: SnapshotOf<TypeConfig, Vec<LogId>>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        unreachable!("the log is the data: nobody is sent a snapshot")
    }
}

struct Node {
    id: u64,
    disk: SimulatedDisk,
    store: LogStore,
    machine: Machine,
    group: Group,
    /// While this is held, nothing is flushed.
    flushing: Arc<tokio::sync::Mutex<()>>,
    flusher: tokio::task::JoinHandle<()>,
}

impl Node {
    async fn start(id: u64, disk: SimulatedDisk, router: &Router) -> Self {
        let store = open(&simulated(&disk, id));
        let machine = Machine::default();
        let config = config("test", &Timing::default()).unwrap();
        let flushing = Arc::new(tokio::sync::Mutex::new(()));
        let (turn, log) = (Arc::clone(&flushing), store.replica().clone());
        let flusher = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let _turn = turn.lock().await;
                log.flush_step();
            }
        });
        let group = Group::new(id, config, router.clone(), store.clone(), machine.clone()).await.unwrap();
        router.0.lock().unwrap().insert(id, group.clone());
        Self { id, disk, store, machine, group, flushing, flusher }
    }

    /// Takes the power away, and gives the disk back with what it surely has.
    async fn crash(self, router: &Router) -> SimulatedDisk {
        router.0.lock().unwrap().remove(&self.id);
        self.disk.power_off();
        self.flusher.abort();
        let _ = self.flusher.await;
        let _ = self.group.shutdown().await;
        drop((self.store, self.machine, self.group));
        self.disk.restart(&CrashImage::None);
        self.disk
    }

    fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.group.metrics().borrow_watched().clone()
    }

    async fn is_applied(&self, index: u64) {
        self.group
            .wait(Some(Duration::from_secs(60)))
            .applied_index_at_least(Some(index), "applied")
            .await
            .unwrap();
    }
}

async fn three(router: &Router) -> Vec<Node> {
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(Node::start(id, SimulatedDisk::new(), router).await);
    }
    let members: BTreeMap<_, _> = (1..=3).map(|id| (id, Member { address: format!("node-{id}") })).collect();
    nodes[0].group.initialize(members).await.unwrap();
    nodes
}

/// Waits for a leader that has begun its term, and returns its place.
async fn leader(nodes: &[Node]) -> usize {
    loop {
        for (place, node) in nodes.iter().enumerate() {
            let metrics = node.metrics();
            let begun = metrics
                .last_applied
                .is_some_and(|last| last.committed_leader_id().term == metrics.current_term);
            if metrics.state == ServerState::Leader && begun {
                return place;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Seals an event for the next slot of the leader's log.
fn sealed(node: &Node, term: u64, payload: &str) -> Proposal {
    let mut proposer = node.store.replica().proposer(base::Term(term), base::NodeId(node.id), key(node.id));
    let events = [EventInput::new("test.happened", payload.as_bytes())];
    let name = base::ChannelName::new("orders").unwrap();
    let parts = [ChannelEvents { channel: &name, events: &events }];
    proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
    let mut entries = proposer.seal();
    assert_eq!(entries.len(), 1);
    match entries.remove(0).content {
        redex::EntryContent::Sealed(sealed) => Proposal(sealed),
        redex::EntryContent::Consensus(_) => unreachable!("a proposer seals"),
    }
}

fn term_of(node: &Node) -> u64 {
    node.metrics().current_term
}

async fn logs(nodes: &[Node]) -> BTreeSet<Vec<Vec<u8>>> {
    let mut logs = BTreeSet::new();
    for node in nodes {
        let entries = node.store.clone().try_get_log_entries(..).await.unwrap();
        logs.insert(entries.iter().map(|entry| format!("{entry:?}").into_bytes()).collect());
    }
    logs
}

#[tokio::test(start_paused = true)]
async fn three_nodes_agree_and_their_logs_are_equal_to_the_byte() {
    let router = Router::default();
    let nodes = three(&router).await;
    let at = leader(&nodes).await;
    let mut last = 0;
    for number in 0..50 {
        let proposal = sealed(&nodes[at], term_of(&nodes[at]), &format!("{number}"));
        last = nodes[at].group.client_write(proposal).await.unwrap().data.index.0;
    }
    for node in &nodes {
        node.is_applied(last).await;
    }
    assert_eq!(logs(&nodes).await.len(), 1);
    // Readers see the events once they are known to be committed.
    for node in &nodes {
        let seen = node.store.replica().state().visible.0;
        assert!(seen > last - 2, "{seen} of {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn g5_a_follower_acknowledges_nothing_before_its_own_sync() {
    let router = Router::default();
    let disk = SimulatedDisk::new();
    let node = Node::start(2, disk, &router).await;
    let held = node.flushing.clone().lock_owned().await;
    let rpc = |term, entries| AppendEntriesRequest::<TypeConfig> {
        vote: RaftVote { leader_id: LeaderId { term, node_id: 1 }, committed: true },
        prev_log_id: None,
        entries,
        leader_commit: None,
    };
    let group = node.group.clone();
    let send = |rpc| {
        let group = group.clone();
        tokio::spawn(async move { group.append_entries(rpc).await })
    };
    let first = send(rpc(4, blanks(4, 0..6)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // A leader of the next term tells of the same entries: the vote for it must not vouch for them.
    let second = send(rpc(5, blanks(4, 0..6)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!first.is_finished() && !second.is_finished(), "nothing of it is durable");
    drop(held);
    assert!(second.await.unwrap().unwrap().is_success());
    assert_eq!(node.store.replica().state().durable, Position(6));
}

#[tokio::test(start_paused = true)]
async fn g24_a_leader_that_restarts_gives_no_number_out_twice() {
    let router = Router::default();
    let mut nodes = three(&router).await;
    let at = leader(&nodes).await;
    // The leader's own disk is slow: the others commit what it has not synced.
    let held = nodes[at].flushing.clone().lock_owned().await;
    let term = term_of(&nodes[at]);
    let proposal = sealed(&nodes[at], term, "committed by the others");
    let written = nodes[at].group.client_write(proposal).await.unwrap();
    assert!(nodes[at].store.replica().state().durable.0 <= written.data.index.0);
    let crashed = nodes.remove(at);
    let id = crashed.id;
    drop(held);
    let disk = crashed.crash(&router).await;
    // It is back within its lease.
    nodes.push(Node::start(id, disk, &router).await);
    assert!(nodes[2].store.clone().try_get_log_entries(written.data.index.0..).await.unwrap().is_empty());
    let state = nodes[2].metrics().state;
    assert_ne!(state, ServerState::Leader, "its term is over");
    let at = leader(&nodes).await;
    assert!(term_of(&nodes[at]) > term);
    let proposal = sealed(&nodes[at], term_of(&nodes[at]), "what comes next");
    let next = nodes[at].group.client_write(proposal).await.unwrap();
    for node in &nodes {
        node.is_applied(next.data.index.0).await;
    }
    assert_eq!(logs(&nodes).await.len(), 1);
    let entries = nodes[0].store.clone().try_get_log_entries(..).await.unwrap();
    assert!(entries.iter().any(|entry| entry.log_id == written.log_id), "what was committed is there");
}

#[tokio::test(start_paused = true)]
async fn what_a_majority_has_outlasts_the_crash_of_every_node() {
    let router = Router::default();
    let nodes = three(&router).await;
    let at = leader(&nodes).await;
    let mut last = 0;
    for number in 0..20 {
        let proposal = sealed(&nodes[at], term_of(&nodes[at]), &format!("{number}"));
        last = nodes[at].group.client_write(proposal).await.unwrap().data.index.0;
    }
    let mut disks = Vec::new();
    for node in nodes {
        disks.push((node.id, node.crash(&router).await));
    }
    let mut nodes = Vec::new();
    for (id, disk) in disks {
        nodes.push(Node::start(id, disk, &router).await);
    }
    leader(&nodes).await;
    for node in &nodes {
        node.is_applied(last).await;
    }
    assert_eq!(logs(&nodes).await.len(), 1);
}
