//! State kept between openings: what is used of it, and what is not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{ChannelName, Classify, CrashImage, Doors, ErrorKind, Position, SimulatedDisk};
use cortex::models::tasks::{Task, Tasks, TasksFold, TasksState};
use cortex::store::{MemoryStateStore, StateBatch, StateStore, StoreError, Visit};
use cortex::{
    Applied, Change, Changes, Checkpoint, CheckpointError, ErrorPolicy, Fold, FoldError, Folded, Portable,
    RunMode, Runner, RunnerOptions,
};
use redex::{LogOptions, LogWriter, Store};

struct World {
    store: Store,
    runner: Runner,
}

impl World {
    fn open(disk: &SimulatedDisk) -> Self {
        let doors = Doors::with_disk(Arc::new(disk.clone()));
        let store = Store::open(Path::new("/node"), &doors, &LogOptions::default()).unwrap();
        let mut options = RunnerOptions::default();
        options.mode = RunMode::Manual;
        let runner = Runner::new(store.main().reader(), doors.clock, options);
        Self { store, runner }
    }

    /// Adds a fold from what is kept, and folds the rest.
    fn model<F: Portable>(&self, fold: F, kept: &MemoryStateStore) -> (Folded<F>, Checkpoint<F>) {
        let writer: Arc<dyn LogWriter> = Arc::new(self.store.main().clone());
        let loaded = Checkpoint::load(kept, &fold, self.runner.reader()).unwrap();
        let position = loaded.as_ref().map(|loaded| loaded.position);
        let model = match loaded {
            Some(loaded) => self.runner.add_from(fold, ErrorPolicy::Stop, Some(writer), loaded),
            None => self.runner.add(fold, ErrorPolicy::Stop, Some(writer)),
        };
        let model = model.unwrap();
        let checkpoint = Checkpoint::begin(Arc::new(kept.clone()), &model, position).unwrap();
        self.runner.start();
        self.runner.step();
        (model, checkpoint)
    }
}

fn create(tasks: &Tasks, ids: std::ops::Range<u64>) {
    let written: Vec<_> = ids.map(|id| tasks.create(id, "kept").unwrap()).collect();
    written.last().unwrap().applied().unwrap();
}

#[test]
fn opening_goes_on_from_what_was_kept() {
    let (disk, kept) = (SimulatedDisk::new(), MemoryStateStore::default());
    {
        let world = World::open(&disk);
        let (tasks, mut checkpoint) = world.model(TasksFold, &kept);
        assert_eq!(checkpoint.saved(), None);
        create(&tasks, 0..100);
        let position = checkpoint.save().unwrap();
        assert_eq!((checkpoint.saved(), position), (Some(position), tasks.folded_through()));
        assert_eq!(checkpoint.save().unwrap(), position, "nothing new");
        tasks.delete(7).unwrap();
        tasks.complete(8).unwrap().applied().unwrap();
        assert!(checkpoint.save().unwrap() > position);
        create(&tasks, 100..103);
    }
    let world = World::open(&disk);
    let (tasks, checkpoint) = world.model(TasksFold, &kept);
    assert_eq!(tasks.metrics().events_total, 3, "only what came behind the checkpoint is folded");
    assert!(checkpoint.saved().is_some());
    let state = tasks.snapshot().unwrap().state;
    assert_eq!((state.len(), state.get(7), state.get(8).unwrap().version.0), (102, None, 101));
}

/// Tasks, folded by a later version.
#[derive(Clone, Copy)]
struct Later;

impl Fold for Later {
    type State = TasksState;
    type Change = Change<Task>;

    fn name(&self) -> &str {
        TasksFold.name()
    }

    fn version(&self) -> u32 {
        2
    }

    fn channels(&self) -> Vec<ChannelName> {
        TasksFold.channels()
    }

    fn apply(
        &self,
        state: &mut TasksState,
        event: &redex::EventRef<'_>,
        changes: &mut Changes<'_, Change<Task>>,
    ) -> Result<Applied, FoldError> {
        TasksFold.apply(state, event, changes)
    }
}

impl Portable for Later {
    fn key(&self, id: u64) -> Vec<u8> {
        TasksFold.key(id)
    }

    fn export(&self, task: &Task) -> serde_json::Value {
        TasksFold.export(task)
    }

    fn import(&self, form: serde_json::Value, before: &TasksState) -> Result<Task, FoldError> {
        TasksFold.import(form, before)
    }
}

#[test]
fn another_version_of_the_fold_begins_anew_and_takes_the_place_of_the_old_one() {
    let (disk, kept) = (SimulatedDisk::new(), MemoryStateStore::default());
    {
        let world = World::open(&disk);
        let (tasks, mut checkpoint) = world.model(TasksFold, &kept);
        create(&tasks, 0..10);
        checkpoint.save().unwrap();
    }
    assert_eq!(kept.spaces().unwrap(), ["model/tasks@1"]);
    let world = World::open(&disk);
    let (tasks, mut checkpoint) = world.model(Later, &kept);
    assert_eq!((tasks.metrics().events_total, checkpoint.saved()), (10, None));
    assert_eq!(kept.spaces().unwrap(), ["model/tasks@1"], "kept until there is another one");
    checkpoint.save().unwrap();
    assert_eq!(kept.spaces().unwrap(), ["model/tasks@2"]);
}

#[test]
fn a_checkpoint_of_another_history_is_not_used() {
    let (disk, kept) = (SimulatedDisk::new(), MemoryStateStore::default());
    {
        let world = World::open(&disk);
        create(&world.model(TasksFold, &MemoryStateStore::default()).0, 0..5);
    }
    // A copy of the directory, which is restored later.
    let copy = disk.snapshot().image(&CrashImage::All);
    {
        let world = World::open(&disk);
        let (tasks, mut checkpoint) = world.model(TasksFold, &kept);
        create(&tasks, 5..7);
        checkpoint.save().unwrap();
    }
    let world = World::open(&copy);
    let (tasks, checkpoint) = world.model(TasksFold, &kept);
    assert_eq!(checkpoint.saved(), None, "ahead of the log");
    for id in 50..60 {
        create(&tasks, id..id + 1);
    }
    drop((tasks, checkpoint, world));
    let world = World::open(&copy);
    let (tasks, checkpoint) = world.model(TasksFold, &kept);
    assert_eq!(checkpoint.saved(), None, "of entries that the log does not have");
    assert_eq!(tasks.snapshot().unwrap().state.len(), 15);

    let other = World::open(&SimulatedDisk::new());
    create(&other.model(TasksFold, &MemoryStateStore::default()).0, 0..20);
    assert!(Checkpoint::load(&kept, &TasksFold, other.runner.reader()).unwrap().is_none(), "of another log");
}

#[test]
fn what_does_not_read_is_told() {
    let (disk, kept) = (SimulatedDisk::new(), MemoryStateStore::default());
    let world = World::open(&disk);
    let (tasks, mut checkpoint) = world.model(TasksFold, &kept);
    create(&tasks, 0..3);
    checkpoint.save().unwrap();
    let space = "model/tasks@1";
    let mut keys = Vec::new();
    kept.scan(space, b"", &mut |key, _| {
        keys.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let damaged = |change: &dyn Fn(&mut StateBatch)| {
        let copy = MemoryStateStore::default();
        let mut batch = StateBatch::new();
        for key in &keys {
            batch.put(space, key, kept.get(space, key).unwrap().unwrap());
        }
        change(&mut batch);
        copy.commit(batch).unwrap();
        let error = Checkpoint::load(&copy, &TasksFold, world.runner.reader()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.to_string()
    };
    assert!(damaged(&|batch| batch.put(space, &keys[0], b"{".to_vec())).contains("fold the log instead"));
    assert!(damaged(&|batch| batch.put(space, &keys[1], b"{}".to_vec())).contains("missing field `id`"));
    assert!(damaged(&|batch| batch.remove(space, &keys[2])).contains("2 of 3 records"));
}

/// A store that fails at one of its batches.
#[derive(Debug)]
struct Failing {
    store: MemoryStateStore,
    batches: AtomicU64,
    fails_at: u64,
}

impl StateStore for Failing {
    fn commit(&self, batch: StateBatch) -> Result<(), StoreError> {
        if self.batches.fetch_add(1, Ordering::Relaxed) == self.fails_at {
            return Err(StoreError::new(ErrorKind::Unavailable, "no space"));
        }
        self.store.commit(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(space, key)
    }

    fn scan(&self, space: &str, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(space, from, visit)
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        self.store.spaces()
    }
}

#[test]
fn a_store_that_fails_at_any_batch_has_all_of_a_state_or_none() {
    let disk = SimulatedDisk::new();
    let world = World::open(&disk);
    let (tasks, _) = world.model(TasksFold, &MemoryStateStore::default());
    // Three batches of a whole state.
    let title = "x".repeat(60_000);
    let written: Vec<_> = (0..150).map(|id| tasks.create(id, &title).unwrap()).collect();
    written.last().unwrap().applied().unwrap();
    let expected = tasks.snapshot().unwrap();
    for fails_at in 0..3 {
        let kept = MemoryStateStore::default();
        let failing = Failing { store: kept.clone(), batches: AtomicU64::new(0), fails_at };
        let mut checkpoint = Checkpoint::begin(Arc::new(failing), &tasks, None).unwrap();
        assert!(matches!(checkpoint.save(), Err(CheckpointError::Store(_))), "batch {fails_at}");
        let load = || Checkpoint::load(&kept, &TasksFold, world.runner.reader()).unwrap();
        assert!(load().is_none(), "batch {fails_at}");
        checkpoint.save().unwrap();
        let loaded = load().unwrap();
        assert_eq!((loaded.state, loaded.position), (expected.state.clone(), expected.position));
    }
}

#[test]
fn changes_are_kept_with_the_position_that_includes_them_or_not_at_all() {
    // A save of changes has one batch; where it had more, the later ones would fail.
    for fails_at in 0..3 {
        let disk = SimulatedDisk::new();
        let world = World::open(&disk);
        let (tasks, _) = world.model(TasksFold, &MemoryStateStore::default());
        create(&tasks, 0..10);
        let kept = MemoryStateStore::default();
        // The first batch is that of the whole state.
        let failing = Failing { store: kept.clone(), batches: AtomicU64::new(0), fails_at: 1 + fails_at };
        let mut checkpoint = Checkpoint::begin(Arc::new(failing), &tasks, None).unwrap();
        checkpoint.save().unwrap();
        let before = tasks.snapshot().unwrap();
        tasks.complete(3).unwrap().applied().unwrap();
        let now = tasks.snapshot().unwrap();
        let expected = if checkpoint.save().is_ok() { now } else { before };
        let loaded = Checkpoint::load(&kept, &TasksFold, world.runner.reader()).unwrap().unwrap();
        assert_eq!((loaded.state, loaded.position), (expected.state, expected.position), "batch {fails_at}");
    }
}

#[test]
fn who_saves_rarely_writes_the_whole_state() {
    let (disk, kept) = (SimulatedDisk::new(), MemoryStateStore::default());
    let world = World::open(&disk);
    let (tasks, mut checkpoint) = world.model(TasksFold, &kept);
    create(&tasks, 0..10);
    checkpoint.save().unwrap();
    // More changes than are kept for who is behind.
    create(&tasks, 10..10 + 70_000);
    checkpoint.save().unwrap();
    let loaded = Checkpoint::load(&kept, &TasksFold, world.runner.reader()).unwrap().unwrap();
    assert_eq!(loaded.state, tasks.snapshot().unwrap().state);
    assert!(loaded.position > Position(0));
}
