//! Tasks, memories and an application's own model in a cluster: one log of all members.

use netdb::base::ChannelName;
use netdb::cortex::{Changes, Fold, FoldError};
use netdb::redex::Condition;
use netdb::{Applied, Batch, ErrorPolicy, EventInput, Expect, Guard, MODELS_LOG, TaskCommand, WriteOptions};

use super::*;

/// Waits until the models of a node run.
pub(super) async fn begun(node: &Node) {
    tokio::time::timeout(SOON, node.db.models_begun()).await.expect("the models begin").unwrap();
}

impl Node {
    pub(super) async fn create(&self, id: u64, title: &str) -> Applied {
        self.db.tasks().unwrap().create(id, title).unwrap().applied_async().await.unwrap()
    }

    fn title(&self, id: u64) -> Option<String> {
        let found = self.db.tasks().unwrap().snapshot().unwrap().state.find_unique(id);
        found.map(|task| task.title.to_string())
    }

    fn tasks(&self) -> usize {
        self.db.tasks().unwrap().snapshot().unwrap().state.len()
    }

    fn leads_models(&self) -> bool {
        let group = self.cluster.group(MODELS_LOG);
        group.is_some_and(|group| group.standing().leader == Some(self.cluster.node()))
    }
}

/// Waits until all nodes have the same log, and the same state of all models.
pub(super) async fn agree(nodes: &[Node]) {
    for node in nodes {
        begun(node).await;
    }
    until("equal roots", || roots(nodes, MODELS_LOG).len() == 1).await;
    let states =
        || -> BTreeSet<Vec<u8>> { nodes.iter().map(|node| node.db.snapshot().unwrap().encode()).collect() };
    until("equal states", || states().len() == 1).await;
}

pub(super) fn voters(node: &Node) -> usize {
    node.cluster.group(MODELS_LOG).map_or(0, |group| group.standing().voters.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_the_clusters_and_outlive_leaders_restarts_and_newcomers() {
    let mut nodes = three().await;
    for (id, node) in (1..).zip(&nodes) {
        begun(node).await;
        assert_eq!(node.create(id, "look").await, Applied::Changed);
        assert_eq!(node.title(id).as_deref(), Some("look"), "whoever wrote reads it at once");
        let memory = node.db.memories().unwrap().store(id, "seen", &["all"], "test").unwrap();
        assert_eq!(memory.applied_async().await.unwrap(), Applied::Changed);
    }
    for node in &nodes {
        until("all tasks", || node.tasks() == 3).await;
        until("three voters", || voters(node) == 3).await;
        assert!(node.db.log().reader().view().channels().unwrap().is_empty(), "`main` has nothing of models");
    }
    agree(&nodes).await;
    // The leader goes; the others go on.
    until("a leader", || nodes.iter().any(Node::leads_models)).await;
    let leader = nodes.iter().position(Node::leads_models).unwrap();
    let (dir, options) = nodes.remove(leader).stop().await;
    for (id, node) in (4..).zip(&nodes) {
        assert_eq!(node.create(id, "go on").await, Applied::Changed);
    }
    nodes.push(open(dir, options).await);
    for node in &nodes {
        begun(node).await;
        until("all tasks", || node.tasks() == 5).await;
    }
    // All stop, and start again.
    let mut stopped = Vec::new();
    for node in nodes {
        stopped.push(node.stop().await);
    }
    let mut nodes = Vec::new();
    for (dir, options) in stopped {
        nodes.push(open(dir, options).await);
    }
    for node in &nodes {
        begun(node).await;
        until("all tasks", || node.tasks() == 5).await;
    }
    agree(&nodes).await;
    let first = nodes.iter().find(|node| node.cluster.node() == NodeId(1)).unwrap();
    let fourth = Node::further(first, "fourth").await;
    begun(&fourth).await;
    assert_eq!(fourth.tasks(), 5, "a newcomer's models begin with all that is committed");
    assert_eq!(fourth.create(1, "again").await, Applied::Exists { version: Seq(0) });
    nodes.push(fourth);
    until("four voters", || nodes.iter().all(|node| voters(node) == 4)).await;
    agree(&nodes).await;
    // It is held by all members, and by nobody else.
    nodes[0].cluster.remove(NodeId(4)).await.unwrap();
    let moved = nodes[0].cluster.move_log(MODELS_LOG, &[NodeId(1)].into()).await.unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Conflict);
    until("three voters", || nodes.iter().take(3).all(|node| voters(node) == 3)).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_change_one_task_at_once_one_does() {
    let nodes = three().await;
    for node in &nodes {
        begun(node).await;
    }
    nodes[0].create(1, "begin").await;
    let rename = |node: &Node, version: Seq, title: &str| {
        let options = WriteOptions { guard: Some(Guard::Version(version.0)), ..WriteOptions::default() };
        node.db.tasks().unwrap().write(&TaskCommand::Rename { id: 1, title }, &options).unwrap()
    };
    let version = |node: &Node| {
        node.db.tasks().unwrap().snapshot().unwrap().state.find_unique(1).map(|task| task.version)
    };
    for round in 0..10 {
        until("the last change", || version(&nodes[1]).is_some() && version(&nodes[1]) == version(&nodes[2]))
            .await;
        let seen = version(&nodes[1]).unwrap();
        let titles = [format!("one {round}"), format!("two {round}")];
        let (one, two) = (rename(&nodes[1], seen, &titles[0]), rename(&nodes[2], seen, &titles[1]));
        let (one, two) = tokio::join!(one.applied_async(), two.applied_async());
        let (one, two) = (one.unwrap(), two.unwrap());
        let winner = match (&one, &two) {
            (Applied::Changed, Applied::Conflict { expected, .. }) if *expected == seen => &titles[0],
            (Applied::Conflict { expected, .. }, Applied::Changed) if *expected == seen => &titles[1],
            both => panic!("{both:?}"),
        };
        for node in &nodes {
            until("the winner", || node.title(1).as_ref() == Some(winner)).await;
        }
    }
    // Conditions of the log are decided where it is put in order.
    let channel = ChannelName::new("cortex/tasks").unwrap();
    let demand = |node: &Node, id: u64, next: u64| {
        let mut batch = Batch::new();
        batch.push(&TaskCommand::Create { id, title: "only" }, &WriteOptions::default());
        batch.expect(Condition { channel: channel.clone(), expect: Expect::Exact(Seq(next)) });
        batch.submit(&node.db.tasks().unwrap(), None).unwrap()
    };
    // One event of the beginning, and two of each round.
    let (one, two) = (demand(&nodes[1], 2, 21), demand(&nodes[2], 3, 21));
    let (one, two) = tokio::join!(one.applied_async(), two.applied_async());
    let refused = match (one, two) {
        (Ok(Applied::Changed), Err(refused)) | (Err(refused), Ok(Applied::Changed)) => refused,
        both => panic!("{both:?}"),
    };
    assert_eq!(netdb::base::Classify::kind(&refused), ErrorKind::Conflict, "{refused}");
    for node in &nodes {
        until("two tasks", || node.tasks() == 2).await;
    }
    agree(&nodes).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_member_takes_part_its_models_say_what_to_wait_for_and_main_takes_nothing_of_them() {
    let dir = tempfile::tempdir().unwrap();
    NetDb::open(dir.path()).unwrap().close().unwrap();
    cluster::init(dir.path(), &netdb::base::Doors::system()).unwrap();
    let alone = NetDb::builder().directory(dir.path()).with_tasks().open().unwrap();
    let told = alone.tasks().unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable);
    assert!(told.to_string().contains("wait until the node takes part in its cluster"), "{told}");
    let kinds = [alone.memories().map(drop), alone.snapshot().map(drop), alone.model::<Counted>().map(drop)];
    assert!(kinds.iter().all(|it| it.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)));
    assert_eq!(alone.models_run().unwrap_err().kind(), ErrorKind::Unavailable);
    for channel in ["cortex/tasks", "cortex/memories"] {
        let refused = alone.channel(channel).unwrap().append("task.created", b"{}").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    }
    let waits = tokio::spawn({
        let alone = alone.clone();
        async move { alone.models_begun().await }
    });
    alone.close_async().await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    drop(alone);
    let first = open(dir, options("first")).await;
    begun(&first).await;
    assert_eq!(first.create(1, "look").await, Applied::Changed);
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_with_models_of_its_own_is_no_beginning_of_a_cluster_and_joins_none() {
    let first = Node::first().await;
    until("the first node's leadership", || first.cluster.state().active().count() == 1).await;
    let dir = tempfile::tempdir().unwrap();
    let doors = netdb::base::Doors::system();
    let db = NetDb::builder().directory(dir.path()).with_tasks().open().unwrap();
    assert_eq!(cluster::init(dir.path(), &doors).unwrap_err().kind(), ErrorKind::Unavailable, "it is open");
    db.tasks().unwrap().create(1, "mine").unwrap().durable().unwrap();
    db.close().unwrap();
    drop(db);
    let refused = cluster::init(dir.path(), &doors).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("net-db export"), "{refused}");
    let ticket = first.cluster.invite(SOON, Uses::Once).unwrap();
    let refused = cluster::join(dir.path(), &doors, &ticket, &options("second")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    // It goes on alone.
    let db = NetDb::builder().directory(dir.path()).with_tasks().open().unwrap();
    assert_eq!(db.snapshot().unwrap().tasks().unwrap().len(), 1);
    // Channels of models have their place already.
    let denied = first.cluster.create_channel("cortex/tasks", &ReplicationConfig::default()).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
    first.stop().await;
}

/// Counts the events of a channel that is not called like one of models.
#[derive(Debug)]
struct Counted;

impl Fold for Counted {
    type State = u64;
    type Change = ();

    fn name(&self) -> &str {
        "counted"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![ChannelName::new("counted").unwrap()]
    }

    fn apply(
        &self,
        state: &mut u64,
        _: &netdb::redex::EventRef<'_>,
        _: &mut Changes<'_, ()>,
    ) -> Result<Applied, FoldError> {
        *state += 1;
        Ok(Applied::Changed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applications_own_model_folds_what_any_node_appends_to_its_channel() {
    let (dir, options) = Node::first().await.stop().await;
    let db = NetDb::builder().directory(dir.path()).with_model(Counted, ErrorPolicy::Stop).open().unwrap();
    let cluster = Cluster::start(&db, &options).await.unwrap();
    let first = Node { dir, options, db, cluster };
    begun(&first).await;
    let second = Node::further(&first, "second").await;
    begun(&second).await;
    let counted = ChannelName::new("counted").unwrap();
    until("the channel's place", || second.db.store().writer_of(&counted).reader().name() == MODELS_LOG)
        .await;
    for node in [&first, &second, &first] {
        let channel = node.db.channel("counted").unwrap();
        channel.append_async(&[EventInput::new("counted", b"")]).await.unwrap();
    }
    let count = || first.db.model::<Counted>().unwrap().snapshot().unwrap().state;
    until("all events", || count() == 3).await;
    for node in [first, second] {
        node.stop().await;
    }
}
