//! Tasks and memories beside naive twins: random writes, queries, watches, reopenings and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use base::{ChannelName, CrashImage, Doors, ManualClock, SeededRandom, Seq, SimulatedDisk, Timestamp};
use cortex::models::memories::{
    Memories, MemoriesFold, MemoriesState, Memory, MemoryCommand, MemoryFilter, MemoryQuery,
};
use cortex::models::tasks::{
    Task, TaskCommand, TaskFilter, TaskQuery, TaskStatus, Tasks, TasksFold, TasksState,
};
use cortex::models::{Guard, SortBy, WriteOptions};
use cortex::store::MemoryStateStore;
use cortex::{
    Applied, Checkpoint, Delta, ErrorPolicy, Filter, Folded, OrderKey, Portable, Record, RecordFold, RunMode,
    Runner, RunnerOptions, Update, Watch, state_hash,
};
use redex::{Ack, FlusherMode, LogOptions, LogWriter, Store};

const IDS: u64 = 12;
const TAGS: [&str; 4] = ["a", "b", "c", "d"];
const SORTS: [SortBy; 6] = [
    SortBy::IdAsc,
    SortBy::IdDesc,
    SortBy::CreatedAsc,
    SortBy::CreatedDesc,
    SortBy::UpdatedAsc,
    SortBy::UpdatedDesc,
];

struct World {
    store: Store,
    runner: Runner,
    tasks: Tasks,
    memories: Memories,
    kept_tasks: Checkpoint<TasksFold>,
    kept_memories: Checkpoint<MemoriesFold>,
}

fn model<F: Portable + Copy>(
    fold: F,
    runner: &Runner,
    writer: &Arc<dyn LogWriter>,
    kept: &MemoryStateStore,
) -> (Folded<F>, Checkpoint<F>) {
    let loaded = Checkpoint::load(kept, &fold, runner.reader()).unwrap();
    let position = loaded.as_ref().map(|snapshot| snapshot.position);
    let model = match loaded {
        Some(snapshot) => runner.add_from(fold, ErrorPolicy::Stop, Some(writer.clone()), snapshot),
        None => runner.add(fold, ErrorPolicy::Stop, Some(writer.clone())),
    };
    let model = model.unwrap();
    let checkpoint = Checkpoint::begin(Arc::new(kept.clone()), &model, position).unwrap();
    assert_eq!(checkpoint.saved(), position);
    (model, checkpoint)
}

impl World {
    /// Opens with what a store keeps, and keeps what follows in it.
    fn open_from(disk: &SimulatedDisk, seed: u64, kept: &MemoryStateStore) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
        let doors = Doors {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
            disk: Arc::new(disk.clone()),
        };
        let mut options = LogOptions::default();
        options.flusher = FlusherMode::Manual;
        let store = Store::open(Path::new("/node"), &doors, &options).unwrap();
        let mut options = RunnerOptions::default();
        options.mode = RunMode::Manual;
        let runner = Runner::new(store.main().reader(), clock, options);
        let writer: Arc<dyn LogWriter> = Arc::new(store.main().clone());
        let (tasks, kept_tasks) = model(TasksFold, &runner, &writer, kept);
        let (memories, kept_memories) = model(MemoriesFold, &runner, &writer, kept);
        runner.start();
        runner.step();
        Self { store, runner, tasks, memories, kept_tasks, kept_memories }
    }

    /// Folds the log from its beginning, beside the models that run.
    fn replay(&self) -> (TasksState, MemoriesState) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(0)));
        let mut options = RunnerOptions::default();
        options.mode = RunMode::Manual;
        let runner = Runner::new(self.store.main().reader(), clock, options);
        let tasks = runner.add(TasksFold, ErrorPolicy::Stop, None).unwrap();
        let memories = runner.add(MemoriesFold, ErrorPolicy::Stop, None).unwrap();
        runner.start();
        runner.step();
        (tasks.snapshot().unwrap().state, memories.snapshot().unwrap().state)
    }

    /// Returns how many events of each model are visible.
    fn events(&self) -> (usize, usize) {
        let view = self.store.main().reader().view();
        let count = |name: &str| {
            let channel = view.channel(&ChannelName::new(name).unwrap()).unwrap();
            channel.map_or(0, |channel| usize::try_from(channel.next_seq.0).unwrap())
        };
        (count("cortex/tasks"), count("cortex/memories"))
    }
}

/// What the models should be.
#[derive(Debug, Clone, Default)]
struct Twin {
    tasks: BTreeMap<u64, Task>,
    memories: BTreeMap<u64, Memory>,
    task_events: u64,
    memory_events: u64,
}

fn refused(guard: Option<Guard>, version: Option<Seq>) -> Option<Applied> {
    match (guard, version) {
        (Some(Guard::Absent), Some(version)) => Some(Applied::Exists { version }),
        (Some(Guard::Version(_)), None) => Some(Applied::NotFound),
        (Some(Guard::Version(expected)), Some(actual)) if expected != actual.0 => {
            Some(Applied::Conflict { expected: Seq(expected), actual })
        }
        _ => None,
    }
}

impl Twin {
    fn task(&mut self, command: &TaskCommand<'_>, at: Timestamp, guard: Option<Guard>) -> Applied {
        let version = Seq(self.task_events);
        self.task_events += 1;
        let known = self.tasks.get_mut(&command.id());
        if let Some(refused) = refused(guard, known.as_ref().map(|task| task.version)) {
            return refused;
        }
        match (command, known) {
            (TaskCommand::Create { .. }, Some(known)) => Applied::Exists { version: known.version },
            (TaskCommand::Create { id, title } | TaskCommand::Replace { id, title }, _) => {
                self.tasks.insert(*id, task(*id, title, at, version));
                Applied::Changed
            }
            (_, None) => Applied::NotFound,
            (TaskCommand::Rename { title, .. }, Some(known)) => {
                if *known.title == **title {
                    return Applied::Unchanged;
                }
                (known.title, known.updated, known.version) = ((*title).into(), at, version);
                Applied::Changed
            }
            (TaskCommand::Complete { .. }, Some(known)) => {
                if known.status == TaskStatus::Completed {
                    return Applied::Unchanged;
                }
                (known.status, known.updated, known.version) = (TaskStatus::Completed, at, version);
                Applied::Changed
            }
            (TaskCommand::Delete { id }, Some(_)) => {
                self.tasks.remove(id);
                Applied::Changed
            }
        }
    }

    fn memory(&mut self, command: &MemoryCommand<'_>, at: Timestamp, guard: Option<Guard>) -> Applied {
        let version = Seq(self.memory_events);
        self.memory_events += 1;
        let known = self.memories.get_mut(&command.id());
        if let Some(refused) = refused(guard, known.as_ref().map(|memory| memory.version)) {
            return refused;
        }
        let list = |tags: &[&str]| tags.iter().map(|tag| Arc::from(*tag)).collect::<Vec<Arc<str>>>();
        match (command, known) {
            (MemoryCommand::Store { id, content, tags, source }, known) => {
                let mut new = memory(*id, content, at, version);
                (new.tags, new.source) = (list(tags), (*source).into());
                if let Some(known) = known {
                    (new.created, new.pinned) = (known.created, known.pinned);
                }
                self.memories.insert(*id, new);
            }
            (_, None) => return Applied::NotFound,
            (MemoryCommand::Retag { tags, .. }, Some(known)) => {
                if known.tags == list(tags) {
                    return Applied::Unchanged;
                }
                (known.tags, known.updated, known.version) = (list(tags), at, version);
            }
            (MemoryCommand::Pin { .. } | MemoryCommand::Unpin { .. }, Some(known)) => {
                let pinned = matches!(command, MemoryCommand::Pin { .. });
                if known.pinned == pinned {
                    return Applied::Unchanged;
                }
                (known.pinned, known.updated, known.version) = (pinned, at, version);
            }
            (MemoryCommand::Delete { id }, Some(_)) => {
                self.memories.remove(id);
            }
        }
        Applied::Changed
    }
}

/// A record as the fold makes it; built by folding, since the types cannot be built elsewhere.
fn task(id: u64, title: &str, at: Timestamp, version: Seq) -> Task {
    let mut task = Task::new(id, title, at);
    task.version = version;
    task
}

fn memory(id: u64, content: &str, at: Timestamp, version: Seq) -> Memory {
    let mut memory = Memory::new(id, content, at);
    memory.version = version;
    memory
}

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn one<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// Few different times, so that there are ties.
    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(1_600_000_000_000_000_000 + i64::try_from(self.below(6)).unwrap())
    }

    fn some<T>(&self, value: impl FnOnce() -> T) -> Option<T> {
        (self.below(3) == 0).then(value)
    }

    fn guard(&self, version: Option<Seq>) -> Option<Guard> {
        match self.below(8) {
            0 => Some(Guard::Absent),
            1 => Some(Guard::Version(version.map_or(3, |version| version.0))),
            2 => Some(Guard::Version(self.below(40))),
            _ => None,
        }
    }

    fn tags(&self) -> Vec<&'static str> {
        (0..self.below(4)).map(|_| self.one(&TAGS)).collect()
    }

    fn task_query(&self) -> TaskQuery {
        let mut filter = TaskFilter::new();
        if let Some(status) = self.some(|| self.one(&TaskStatus::ALL)) {
            filter = filter.status(status);
        }
        if self.below(6) == 0 {
            filter = filter.ids((0..4).map(|_| self.below(IDS)));
        }
        if self.below(6) == 0 {
            filter = filter.title_contains(self.one(&["TITLE", "1", "none"]));
        }
        if let Some(time) = self.some(|| self.time()) {
            filter = filter.created_from(time);
        }
        if self.below(5) == 0 {
            filter = filter.updated_to(self.time());
        }
        self.query(filter)
    }

    fn memory_query(&self) -> MemoryQuery {
        let mut filter = MemoryFilter::new();
        match self.below(5) {
            0 => filter = filter.tag(self.one(&TAGS)),
            1 => filter = filter.any_tag([self.one(&TAGS), self.one(&TAGS)]),
            2 => filter = filter.all_tags([self.one(&TAGS), self.one(&TAGS)]),
            3 => filter = filter.source(self.one(&["s", "t"])).all_tags([]),
            _ => {}
        }
        if let Some(pinned) = self.some(|| self.below(2) == 0) {
            filter = filter.pinned(pinned);
        }
        if self.below(6) == 0 {
            filter = filter.content_contains("TEXT 1");
        }
        if self.below(5) == 0 {
            filter = filter.updated_from(self.time()).created_to(self.time());
        }
        self.query(filter)
    }

    fn query<R: Record<Id = u64>, Q: Filter<R>>(&self, filter: Q) -> cortex::Query<R, Q> {
        let mut query = cortex::Query::from(filter).order(self.one(&SORTS));
        query.limit = self.some(|| usize::try_from(self.below(5)).unwrap());
        if self.below(5) == 0 {
            let rank = query.order.by.map_or(0, |_| self.time().as_nanos());
            query.after = Some((rank, self.below(IDS)));
        }
        query
    }
}

/// The answer of a query to records in any order, found the long way.
fn naive<'a, R: Record, Q: Filter<R>>(
    query: &cortex::Query<R, Q>,
    records: impl Iterator<Item = &'a R>,
) -> Vec<R> {
    let mut found: Vec<R> = records.filter(|record| query.filter.matches(record)).cloned().collect();
    let key = |record: &R| -> OrderKey<R::Id> { query.order.key(record) };
    found.sort_by_key(key);
    if query.order.descending {
        found.reverse();
    }
    if let Some(after) = query.after {
        found.retain(|record| if query.order.descending { key(record) < after } else { key(record) > after });
    }
    found.truncate(query.limit.unwrap_or(usize::MAX));
    found
}

/// A watch with what it gave out last.
struct Watched<F: RecordFold, Q: Filter<F::Row>> {
    watch: Watch<F, Q>,
    query: cortex::Query<F::Row, Q>,
    last: Option<BTreeMap<<F::Row as Record>::Id, F::Row>>,
}

impl<F: RecordFold, Q: Filter<F::Row>> Watched<F, Q> {
    /// Looks for an update, and compares it with the long way and with its own deltas.
    fn check<'a>(&mut self, records: impl Iterator<Item = &'a F::Row>) {
        let expected = naive(&self.query, records);
        match self.watch.try_next().unwrap() {
            None => {
                let last = self.last.as_ref().expect("the first update comes at once");
                let known: Vec<_> = last.values().cloned().collect();
                let mut same = expected;
                same.sort_by_key(Record::id);
                assert_eq!(known, same, "an update is missing for {:?}", self.query);
            }
            Some(update) => {
                let found: Vec<F::Row> = update.results.iter().map(|record| (**record).clone()).collect();
                assert_eq!(found, expected, "{:?}", self.query);
                self.follow(&update);
            }
        }
        assert!(self.watch.try_next().unwrap().is_none(), "the same twice for {:?}", self.query);
    }

    fn follow(&mut self, update: &Update<F::Row>) {
        let is_first = self.last.is_none();
        let last = self.last.get_or_insert_default();
        assert!(is_first || !update.deltas.is_empty(), "an update without a change");
        for delta in &update.deltas {
            match delta {
                Delta::Inserted(record) => {
                    assert!(last.insert(record.id(), (**record).clone()).is_none(), "inserted twice");
                }
                Delta::Updated { before, after } => {
                    assert_eq!(last.insert(after.id(), (**after).clone()).as_ref(), Some(&**before));
                }
                Delta::Removed(record) => assert_eq!(last.remove(&record.id()).as_ref(), Some(&**record)),
            }
        }
        let results: BTreeMap<_, _> =
            update.results.iter().map(|record| (record.id(), (**record).clone())).collect();
        assert_eq!(*last, results, "the deltas lead elsewhere");
    }
}

/// A write as it was made, so that it can be made again.
#[derive(Debug, Clone)]
struct Write<C> {
    command: C,
    at: Timestamp,
    guard: Option<Guard>,
}

/// A command on tasks that owns its texts.
#[derive(Debug, Clone)]
enum TaskWrite {
    Create(u64, String),
    Replace(u64, String),
    Rename(u64, String),
    Complete(u64),
    Delete(u64),
}

impl TaskWrite {
    fn command(&self) -> TaskCommand<'_> {
        match self {
            Self::Create(id, title) => TaskCommand::Create { id: *id, title },
            Self::Replace(id, title) => TaskCommand::Replace { id: *id, title },
            Self::Rename(id, title) => TaskCommand::Rename { id: *id, title },
            Self::Complete(id) => TaskCommand::Complete { id: *id },
            Self::Delete(id) => TaskCommand::Delete { id: *id },
        }
    }
}

/// A command on memories that owns its texts.
#[derive(Debug, Clone)]
enum MemoryWrite {
    Store(u64, String, Vec<&'static str>, &'static str),
    Retag(u64, Vec<&'static str>),
    Pin(u64),
    Unpin(u64),
    Delete(u64),
}

impl MemoryWrite {
    fn command(&self) -> MemoryCommand<'_> {
        match self {
            Self::Store(id, content, tags, source) => MemoryCommand::Store { id: *id, content, tags, source },
            Self::Retag(id, tags) => MemoryCommand::Retag { id: *id, tags },
            Self::Pin(id) => MemoryCommand::Pin { id: *id },
            Self::Unpin(id) => MemoryCommand::Unpin { id: *id },
            Self::Delete(id) => MemoryCommand::Delete { id: *id },
        }
    }
}

struct Run {
    dice: Dice,
    world: World,
    twin: Twin,
    /// All writes, in the order of their channels.
    task_writes: Vec<Write<TaskWrite>>,
    memory_writes: Vec<Write<MemoryWrite>>,
    /// Writes that crashes took.
    lost: usize,
    /// Openings that went on from what was kept.
    went_on: usize,
    /// How many of each were seen to be durable.
    durable: (usize, usize),
    kept: MemoryStateStore,
    task_watches: Vec<Watched<TasksFold, TaskFilter>>,
    memory_watches: Vec<Watched<MemoriesFold, MemoryFilter>>,
}

impl Run {
    fn new(disk: &SimulatedDisk, seed: u64) -> Self {
        let kept = MemoryStateStore::default();
        let world = World::open_from(disk, seed, &kept);
        Self {
            dice: Dice(SeededRandom::new(seed)),
            world,
            twin: Twin::default(),
            task_writes: Vec::new(),
            memory_writes: Vec::new(),
            lost: 0,
            went_on: 0,
            durable: (0, 0),
            kept,
            task_watches: Vec::new(),
            memory_watches: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.write_some();
        self.world.store.main().sync().unwrap();
        self.world.runner.step();
        self.check();
        if self.dice.below(4) == 0 {
            let position = self.world.kept_tasks.save().unwrap();
            assert_eq!(position, self.world.runner.folded());
        }
        if self.dice.below(4) == 0 {
            self.world.kept_memories.save().unwrap();
        }
        if self.task_watches.len() < 12 {
            let (query, other) = (self.dice.task_query(), self.dice.memory_query());
            let watch = self.world.tasks.watch(query.clone()).unwrap();
            self.task_watches.push(Watched { watch, query, last: None });
            let watch = self.world.memories.watch(other.clone()).unwrap();
            self.memory_watches.push(Watched { watch, query: other, last: None });
        } else if self.dice.below(10) == 0 {
            self.task_watches.clear();
            self.memory_watches.clear();
        }
    }

    fn write_some(&mut self) {
        for _ in 0..self.dice.below(4) {
            if self.dice.below(2) == 0 { self.write_task() } else { self.write_memory() }
        }
    }

    fn write_task(&mut self) {
        let (id, title) = (self.dice.below(IDS), format!("title {}", self.dice.below(3)));
        let write = match self.dice.below(10) {
            0..=2 => TaskWrite::Create(id, title),
            3 => TaskWrite::Replace(id, title),
            4..=5 => TaskWrite::Rename(id, title),
            6..=8 => TaskWrite::Complete(id),
            _ => TaskWrite::Delete(id),
        };
        let guard = self.dice.guard(self.twin.tasks.get(&id).map(|task| task.version));
        let at = self.dice.time();
        let options = WriteOptions { at: Some(at), guard, idempotency_key: None };
        let expected = self.twin.task(&write.command(), at, guard);
        let written = self.world.tasks.write(&write.command(), &options).unwrap();
        self.task_writes.push(Write { command: write.clone(), at, guard });
        if self.dice.below(2) == 0 {
            assert_eq!(written.applied().unwrap(), expected, "{write:?} {guard:?}");
            self.durable = (self.task_writes.len(), self.memory_writes.len());
        }
    }

    fn write_memory(&mut self) {
        let (id, content) = (self.dice.below(IDS), format!("Text {}", self.dice.below(3)));
        let write = match self.dice.below(10) {
            0..=3 => MemoryWrite::Store(id, content, self.dice.tags(), self.dice.one(&["s", "t"])),
            4..=5 => MemoryWrite::Retag(id, self.dice.tags()),
            6..=7 => MemoryWrite::Pin(id),
            8 => MemoryWrite::Unpin(id),
            _ => MemoryWrite::Delete(id),
        };
        let guard = self.dice.guard(self.twin.memories.get(&id).map(|memory| memory.version));
        let at = self.dice.time();
        let options = WriteOptions { at: Some(at), guard, idempotency_key: None };
        let expected = self.twin.memory(&write.command(), at, guard);
        let written = self.world.memories.write(&write.command(), &options).unwrap();
        self.memory_writes.push(Write { command: write.clone(), at, guard });
        if self.dice.below(2) == 0 {
            assert_eq!(written.applied().unwrap(), expected, "{write:?} {guard:?}");
            self.durable = (self.task_writes.len(), self.memory_writes.len());
        }
    }

    /// Writes something that is not waited for, and crashes: any of what was not acknowledged may be lost, the
    /// newest first.
    fn crash(mut self, disk: &SimulatedDisk, seed: u64) -> Self {
        self.durable = (self.task_writes.len(), self.memory_writes.len());
        for _ in 0..1 + self.dice.below(4) {
            self.write_some();
            if self.dice.below(2) == 0 && !self.task_writes.is_empty() {
                let last = self.world.tasks.write(&TaskCommand::Delete { id: IDS }, &WriteOptions::default());
                last.unwrap().acknowledged(Ack::Written).unwrap();
                let write = Write { command: TaskWrite::Delete(IDS), at: Timestamp::default(), guard: None };
                self.twin.task(&write.command.command(), write.at, write.guard);
                self.task_writes.push(write);
            }
        }
        let image = match self.dice.below(3) {
            0 => CrashImage::None,
            1 => CrashImage::All,
            _ => CrashImage::Sectors { seed },
        };
        disk.power_off();
        drop(self.world);
        disk.restart(&image);
        let kept = if self.dice.below(3) == 0 { MemoryStateStore::default() } else { self.kept };
        let world = World::open_from(disk, seed, &kept);
        let (tasks, memories) = world.events();
        assert!(tasks >= self.durable.0 && memories >= self.durable.1, "acknowledged writes are lost");
        self.lost += self.task_writes.len() - tasks + self.memory_writes.len() - memories;
        self.went_on += usize::from(world.kept_tasks.saved().is_some());
        self.task_writes.truncate(tasks);
        self.memory_writes.truncate(memories);
        let mut twin = Twin::default();
        for write in &self.task_writes {
            twin.task(&write.command.command(), write.at, write.guard);
        }
        for write in &self.memory_writes {
            twin.memory(&write.command.command(), write.at, write.guard);
        }
        Self { world, twin, kept, task_watches: Vec::new(), memory_watches: Vec::new(), ..self }
    }

    /// Closes and opens again, with what was kept or without; state and its hash are the same.
    fn reopen(self, disk: &SimulatedDisk, seed: u64) -> Self {
        let hashes = |world: &World| {
            let tasks = state_hash(&TasksFold, &world.tasks.snapshot().unwrap().state);
            (tasks, state_hash(&MemoriesFold, &world.memories.snapshot().unwrap().state))
        };
        let before = hashes(&self.world);
        self.world.store.close().unwrap();
        drop(self.world);
        let kept = if self.dice.below(2) == 0 { MemoryStateStore::default() } else { self.kept };
        let world = World::open_from(disk, seed, &kept);
        assert_eq!(hashes(&world), before);
        Self { world, kept, task_watches: Vec::new(), memory_watches: Vec::new(), ..self }
    }

    /// Compares state, indexes, queries and watches with the twin.
    fn check(&mut self) {
        let tasks = self.world.tasks.snapshot().unwrap().state;
        let memories = self.world.memories.snapshot().unwrap().state;
        assert!(tasks.iter().map(|task| &**task).eq(self.twin.tasks.values()));
        assert!(memories.iter().map(|memory| &**memory).eq(self.twin.memories.values()));
        assert!((tasks.clone(), memories.clone()) == self.world.replay(), "folding anew gives another state");
        for status in TaskStatus::ALL {
            let count = self.twin.tasks.values().filter(|task| task.status == status).count();
            assert_eq!(tasks.count_by_status(status), count);
        }
        let mut groups = BTreeSet::new();
        self.twin.memories.values().for_each(|memory| {
            memory.groups(&mut |group| {
                groups.insert(group.clone());
            });
        });
        assert!(memories.groups().map(|(group, _)| group).eq(&groups), "groups that nobody is in");
        for tag in TAGS {
            let has = |memory: &&Memory| memory.tags.iter().any(|own| **own == *tag);
            assert_eq!(memories.count_by_tag(tag), self.twin.memories.values().filter(has).count());
        }
        for _ in 0..4 {
            let query = self.dice.task_query();
            let found: Vec<Task> = query.run(&tasks).iter().map(|task| (**task).clone()).collect();
            assert_eq!(found, naive(&query, self.twin.tasks.values()), "{query:?}");
            let all = TaskQuery { limit: None, after: None, ..query.clone() };
            assert_eq!(query.count(&tasks), naive(&all, self.twin.tasks.values()).len(), "{query:?}");
            assert_eq!(query.exists(&tasks), !found.is_empty());
            assert_eq!(query.first(&tasks).map(|task| task.id), found.first().map(|task| task.id));
            let query = self.dice.memory_query();
            let found: Vec<Memory> = query.run(&memories).iter().map(|memory| (**memory).clone()).collect();
            assert_eq!(found, naive(&query, self.twin.memories.values()), "{query:?}");
            let all = MemoryQuery { limit: None, after: None, ..query.clone() };
            assert_eq!(query.count(&memories), naive(&all, self.twin.memories.values()).len(), "{query:?}");
        }
        self.task_watches.iter_mut().for_each(|watched| watched.check(self.twin.tasks.values()));
        self.memory_watches.iter_mut().for_each(|watched| watched.check(self.twin.memories.values()));
    }
}

#[test]
fn models_agree_with_naive_twins_at_every_position() {
    let (mut lost, mut went_on) = (0, 0);
    for seed in 0..12 {
        println!("seed {seed}");
        let disk = SimulatedDisk::new();
        let mut run = Run::new(&disk, seed);
        for round in 0..150 {
            run.step();
            match round % 20 {
                9 => run = run.reopen(&disk, seed + round),
                19 => run = run.crash(&disk, seed + round),
                _ => continue,
            }
            run.check();
        }
        lost += run.lost;
        went_on += run.went_on;
    }
    assert!(lost > 20 && went_on > 20, "{lost} writes lost, {went_on} openings from a checkpoint");
}

#[test]
fn pages_join_without_gap_or_repetition() {
    let disk = SimulatedDisk::new();
    let mut run = Run::new(&disk, 99);
    for _ in 0..60 {
        run.write_task();
    }
    run.world.store.main().sync().unwrap();
    run.world.runner.step();
    let tasks = run.world.tasks.snapshot().unwrap().state;
    for sort in SORTS {
        let all: Vec<u64> = TaskQuery::default().order(sort).run(&tasks).iter().map(|task| task.id).collect();
        let mut paged = Vec::new();
        let mut page = TaskQuery::default().order(sort).limit(3);
        loop {
            let found = page.run(&tasks);
            let Some(last) = found.last() else { break };
            paged.extend(found.iter().map(|task| task.id));
            page = page.after(last);
        }
        assert_eq!(paged, all, "{sort:?}");
    }
}
