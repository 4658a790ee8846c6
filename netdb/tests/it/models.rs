//! Models in a database.

use base::ErrorKind;
use netdb::cortex::{Change, Changes, Fold, FoldError, Portable, Record, Table};
use netdb::{Applied, Batch, MemoryCommand, Model, NetDb, Snapshot, TaskCommand, WriteOptions};

#[test]
fn a_database_has_the_models_that_it_was_opened_with() {
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    assert_eq!(db.tasks().unwrap().create(1, "one").unwrap().applied().unwrap(), Applied::Changed);
    let missing = db.memories().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("add `.with_memories()` to its builder"), "{missing}");
    assert!(NetDb::in_memory().unwrap().snapshot().is_err());
    let twice = NetDb::builder().in_memory().with_tasks().with_tasks().open().unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Invalid);
}

#[test]
fn a_snapshot_shows_all_models_at_one_position() {
    let db = NetDb::builder().in_memory().with_tasks().with_memories().open().unwrap();
    let (tasks, memories) = (db.tasks().unwrap(), db.memories().unwrap());
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..500 {
                let mut batch = Batch::new();
                batch.push(&TaskCommand::Create { id, title: "both" }, &WriteOptions::default());
                let memory = MemoryCommand::Store { id, content: "both", tags: &[], source: "" };
                batch.push(&memory, &WriteOptions::default());
                batch.submit(&tasks, None).unwrap().applied().unwrap();
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut seen = 0;
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let snapshot = db.snapshot().unwrap();
            let (tasks, memories) = (snapshot.tasks().unwrap().len(), snapshot.memories().unwrap().len());
            assert_eq!(tasks, memories, "at {}", snapshot.position);
            assert!(tasks >= seen);
            seen = tasks;
        }
    });
    assert_eq!(memories.snapshot().unwrap().state.len(), 500);
    db.close().unwrap();
}

#[test]
fn a_batch_comes_into_the_log_whole_or_not_at_all() {
    let db = NetDb::builder().in_memory().with_tasks().with_memories().open().unwrap();
    let tasks = db.tasks().unwrap();
    tasks.create(1, "one").unwrap().applied().unwrap();
    let next = |name: &str| {
        let channel = db.channel(name).unwrap();
        let known = db.log().reader().view().channel(channel.name()).unwrap();
        (channel.name().clone(), known.unwrap().next_seq)
    };
    let (channel, read_at) = next("cortex/tasks");
    let batch = || {
        let mut batch = Batch::new();
        batch.push(&TaskCommand::Complete { id: 1 }, &WriteOptions::default());
        let memory = MemoryCommand::Store { id: 1, content: "done", tags: &["work"], source: "" };
        batch.push(&memory, &WriteOptions::default());
        let expect = netdb::Expect::Exact(read_at);
        batch.expect(netdb::redex::Condition { channel: channel.clone(), expect });
        batch
    };
    tasks.rename(1, "another").unwrap().applied().unwrap();
    let refused = batch().submit(&tasks, None).unwrap().applied().unwrap_err();
    assert_eq!(base::Classify::kind(&refused), ErrorKind::Conflict);
    assert!(db.memories().unwrap().snapshot().unwrap().state.is_empty());

    let (_, now) = next("cortex/tasks");
    let mut again = Batch::new();
    again.push(&TaskCommand::Complete { id: 1 }, &WriteOptions::default());
    again.expect(netdb::redex::Condition { channel, expect: netdb::Expect::Exact(now) });
    assert_eq!(again.submit(&tasks, None).unwrap().applied().unwrap(), Applied::Changed);
}

#[test]
fn what_was_acknowledged_is_in_the_state_after_reopening() {
    let place = tempfile::tempdir().unwrap();
    let open = || NetDb::builder().directory(place.path()).with_tasks().open().unwrap();
    let db = open();
    let tasks = db.tasks().unwrap();
    for id in 0..100 {
        tasks.create(id, "kept").unwrap();
    }
    tasks.complete(7).unwrap().applied().unwrap();
    let before = tasks.snapshot().unwrap();
    drop(tasks);
    drop(db);
    let db = open();
    let after = db.snapshot().unwrap();
    assert_eq!(*after.tasks().unwrap(), before.state);
    db.close().unwrap();
}

#[tokio::test]
async fn a_write_can_be_awaited_until_it_is_in_the_state() {
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    let tasks = db.tasks().unwrap();
    assert_eq!(tasks.create(1, "one").unwrap().applied_async().await.unwrap(), Applied::Changed);
    assert_eq!(tasks.create(1, "two").unwrap().applied_async().await.unwrap().to_owned(), {
        Applied::Exists { version: base::Seq(0) }
    });
    let mut watch = tasks.watch(netdb::TaskQuery::default()).unwrap();
    assert_eq!(watch.next().await.unwrap().results.len(), 1);
    let written = tasks.create(2, "three").unwrap();
    let token = written.token().unwrap();
    let (update, reached) = tokio::join!(watch.next(), tasks.reached(&token).unwrap());
    reached.unwrap();
    assert_eq!(update.unwrap().results.len(), 2);
}

#[tokio::test]
async fn what_blocks_has_a_twin_that_does_not() {
    let place = tempfile::tempdir().unwrap();
    let open = || NetDb::builder().directory(place.path()).with_tasks().open_async();
    let db = open().await.unwrap();
    let written = db.tasks().unwrap().create(1, "one").unwrap();
    assert_eq!(written.durable_async().await.unwrap().at.position(), base::Position(1));
    assert_eq!(db.snapshot_async().await.unwrap().tasks().unwrap().len(), 1);
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Unavailable, "one writer at a time");
    db.close_async().await.unwrap();
    drop(db);
    assert_eq!(open().await.unwrap().snapshot_async().await.unwrap().tasks().unwrap().len(), 1);
}

#[test]
fn a_snapshot_that_was_written_down_is_where_models_go_on() {
    let place = tempfile::tempdir().unwrap();
    let builder = || NetDb::builder().directory(place.path()).with_tasks().with_memories();
    let db = builder().open().unwrap();
    let (tasks, memories) = (db.tasks().unwrap(), db.memories().unwrap());
    tasks.create(1, "one").unwrap().applied().unwrap();
    memories.store(7, "seven", &["a", "b"], "Ada").unwrap().applied().unwrap();
    memories.pin(7).unwrap().applied().unwrap();
    let snapshot = db.snapshot().unwrap();
    let written = snapshot.encode();
    tasks.complete(1).unwrap().applied().unwrap();
    memories.delete(7).unwrap().applied().unwrap();
    let after = db.snapshot().unwrap();
    drop((tasks, memories, db));

    let read = Snapshot::decode(&written).unwrap();
    assert_eq!((read.log, read.position), (snapshot.log, snapshot.position));
    assert_eq!((read.tasks(), read.memories()), (snapshot.tasks(), snapshot.memories()));
    let db = builder().from_snapshot(read.clone()).open().unwrap();
    let again = db.snapshot().unwrap();
    assert_eq!((again.tasks(), again.memories()), (after.tasks(), after.memories()));
    let events = db.tasks().unwrap().metrics().events_total;
    assert_eq!(events, 1, "only what is behind the snapshot was folded");
    drop(db);

    let other = NetDb::builder().in_memory().with_tasks().from_snapshot(read.clone()).open().unwrap_err();
    assert!(other.to_string().contains("the snapshot is of log"), "{other}");
    let mut ahead = read;
    ahead.position = base::Position(99);
    let ahead = builder().from_snapshot(ahead).open().unwrap_err();
    assert!(ahead.to_string().contains("stands at position 99"), "{ahead}");
}

#[test]
fn what_is_no_snapshot_is_refused_and_unknown_fields_are_passed_over() {
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    db.tasks().unwrap().create(1, "one").unwrap().applied().unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&db.snapshot().unwrap().encode()).unwrap();
    let decode = |document: &serde_json::Value| Snapshot::decode(document.to_string().as_bytes());
    document["comment"] = "from a newer version".into();
    document["models"][0]["records"][0]["colour"] = "red".into();
    document["models"].as_array_mut().unwrap().push(serde_json::json!({
        "name": "later", "fold_version": 1, "records": [{"id": 1}]
    }));
    assert_eq!(decode(&document).unwrap().tasks().unwrap().len(), 1);

    let mut other_fold = document.clone();
    other_fold["models"][0]["fold_version"] = 99.into();
    assert!(decode(&other_fold).unwrap().tasks().is_none(), "folded from the log instead");
    for (field, value, message) in [
        ("version", serde_json::json!(2), "version 2, this program reads version 1"),
        ("format", "tar".into(), "the format is `tar`"),
        ("log", "x".into(), "the log:"),
    ] {
        let mut wrong = document.clone();
        wrong[field] = value;
        let error = decode(&wrong).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    document["models"][0]["records"][0]["id"] = "one".into();
    assert!(decode(&document).unwrap_err().to_string().contains("a record of `tasks`"));
    assert!(Snapshot::decode(b"{").is_err());
}

/// Counts the tasks of each title: a model of an application over a channel that has another model, too.
#[derive(Clone, Copy)]
struct Titles;

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Title {
    id: u64,
    title: String,
}

impl Record for Title {
    type Id = u64;
    type Group = ();

    const ID_MIN: u64 = u64::MIN;
    const ID_MAX: u64 = u64::MAX;
    const PARTITIONS: usize = 1;
    const ORDERS: usize = 0;

    fn id(&self) -> u64 {
        self.id
    }

    fn partition(&self) -> usize {
        0
    }

    fn rank(&self, _: usize) -> i64 {
        0
    }

    fn groups(&self, _: &mut dyn FnMut(&())) {}
}

impl Fold for Titles {
    type State = Table<Title>;
    type Change = Change<Title>;

    fn name(&self) -> &str {
        "titles"
    }

    fn version(&self) -> u32 {
        3
    }

    fn channels(&self) -> Vec<base::ChannelName> {
        vec![base::ChannelName::new("titles").unwrap()]
    }

    fn apply(
        &self,
        state: &mut Table<Title>,
        event: &netdb::redex::EventRef<'_>,
        changes: &mut Changes<'_, Change<Title>>,
    ) -> Result<Applied, FoldError> {
        let title = std::str::from_utf8(event.payload).map_err(FoldError::new)?.to_owned();
        let change = state.put(Title { id: event.seq.0, title });
        changes.note(|| change);
        Ok(Applied::Changed)
    }
}

impl Portable for Titles {
    fn key(&self, id: u64) -> Vec<u8> {
        id.to_be_bytes().to_vec()
    }

    fn export(&self, title: &Title) -> serde_json::Value {
        serde_json::to_value(title).unwrap()
    }

    fn import(&self, form: serde_json::Value, _: &Table<Title>) -> Result<Title, FoldError> {
        serde_json::from_value(form).map_err(FoldError::new)
    }
}

#[test]
fn an_applications_model_is_part_of_snapshots() {
    let place = tempfile::tempdir().unwrap();
    let open = |model: Model<Titles>, snapshot: Option<Snapshot>| {
        let builder = NetDb::builder().directory(place.path()).with_tasks().with(model);
        snapshot.into_iter().fold(builder, netdb::Builder::from_snapshot).open()
    };
    let db = open(Model::new(Titles).portable(), None).unwrap();
    db.channel("titles").unwrap().append("title", b"one").unwrap();
    db.tasks().unwrap().create(1, "one").unwrap().durable().unwrap();
    let snapshot = db.snapshot().unwrap();
    assert_eq!(snapshot.model::<Titles>().unwrap().get(0).unwrap().title, "one");
    db.close().unwrap();
    drop(db);

    let read = Snapshot::decode(&snapshot.encode()).unwrap();
    assert_eq!(read.tasks(), snapshot.tasks());
    let again = Snapshot::decode(&read.encode()).unwrap();
    assert_eq!(again.encode(), snapshot.encode(), "what nobody here knows is passed on");
    let db = open(Model::new(Titles).portable(), Some(read.clone())).unwrap();
    assert_eq!(db.snapshot().unwrap().model::<Titles>(), snapshot.model::<Titles>());
    assert_eq!(db.model::<Titles>().unwrap().metrics().events_total, 0, "nothing was folded again");
    drop(db);

    let db = open(Model::new(Titles), Some(snapshot.clone())).unwrap();
    assert_eq!(db.model::<Titles>().unwrap().metrics().events_total, 0, "live state needs no form");
    let without = Snapshot::decode(&db.snapshot().unwrap().encode()).unwrap();
    drop(db);
    let db = open(Model::new(Titles), Some(without)).unwrap();
    assert_eq!(db.snapshot().unwrap().model::<Titles>(), snapshot.model::<Titles>());
    assert_eq!(db.model::<Titles>().unwrap().metrics().events_total, 1, "folded from the log");
    drop(db);

    let mut document: serde_json::Value = serde_json::from_slice(&snapshot.encode()).unwrap();
    let records = document["models"].as_array_mut().unwrap();
    records.iter_mut().find(|model| model["name"] == "titles").unwrap()["records"][0]["id"] = "x".into();
    let damaged = Snapshot::decode(document.to_string().as_bytes()).unwrap();
    let error = open(Model::new(Titles).portable(), Some(damaged)).unwrap_err();
    assert!(error.to_string().contains("a record of `titles`"), "{error}");
}

#[test]
fn a_log_with_models_keeps_what_they_are_folded_from() {
    let mut options = netdb::LogOptions::default();
    options.segment_bytes = 64 << 10;
    options.retention = netdb::redex::Retention::of_bytes(64 << 10);
    let place = tempfile::tempdir().unwrap();
    let builder = || NetDb::builder().directory(place.path()).log_options(options.clone());
    let db = builder().with_tasks().open().unwrap();
    let tasks = db.tasks().unwrap();
    for id in 0..500 {
        tasks.create(id, &"x".repeat(1_000)).unwrap().durable().unwrap();
    }
    assert_eq!(db.log().holds()[0].name, "models");
    drop(tasks);
    db.close().unwrap();
    drop(db);
    let db = builder().with_tasks().open().unwrap();
    assert_eq!(db.snapshot().unwrap().tasks().unwrap().len(), 500, "nothing was given up");
    db.close().unwrap();
    drop(db);

    // Without models the log is as its retention says, and models cannot be folded from it any more.
    let db = builder().open().unwrap();
    db.channel("other").unwrap().append("k", &[0; 100_000]).unwrap();
    let begun = std::time::Instant::now();
    while db.log().reader().view().begins() == base::Position::ZERO {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "nothing is given up");
        std::thread::yield_now();
    }
    db.close().unwrap();
    drop(db);
    let refused = builder().with_tasks().open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.to_string().contains("needs the log from position 0 on"), "{refused}");
}

#[test]
fn a_burst_of_a_million_creates_is_folded_whole() {
    const TASKS: u64 = 1_000_000;
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    let tasks = db.tasks().unwrap();
    let (_, mut watch) = tasks.snapshot_and_watch(netdb::TaskQuery::default().limit(1)).unwrap();
    let mut last = None;
    for id in 0..TASKS {
        last = Some(tasks.create(id, "one of a million").unwrap());
    }
    assert_eq!(last.unwrap().applied().unwrap(), Applied::Changed);
    assert_eq!(tasks.stopped(), None);
    let metrics = tasks.metrics();
    assert_eq!((metrics.events_total, metrics.skipped_total), (TASKS, 0));
    let state = tasks.snapshot().unwrap().state;
    assert_eq!(state.len() as u64, TASKS);
    assert!(state.iter().map(|task| task.id).eq(0..TASKS));
    assert_eq!(watch.try_next().unwrap().unwrap().results.iter().next().unwrap().id, 0);
    db.close().unwrap();
}
