//! Tasks and memories beside naive twins: random writes, queries, watches, reopenings and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use base::{CrashImage, Doors, ManualClock, SeededRandom, Seq, SimulatedDisk, Timestamp};
use cortex::models::memories::{Memories, MemoriesFold, Memory, MemoryCommand, MemoryFilter, MemoryQuery};
use cortex::models::tasks::{Task, TaskCommand, TaskFilter, TaskQuery, TaskStatus, Tasks, TasksFold};
use cortex::models::{Guard, SortBy, WriteOptions};
use cortex::{
    Applied, Delta, ErrorPolicy, Filter, OrderKey, Record, RecordFold, RunMode, Runner, RunnerOptions,
    Update, Watch,
};
use redex::{FlusherMode, LogOptions, LogWriter, Store};

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
}

impl World {
    fn open(disk: &SimulatedDisk, seed: u64) -> Self {
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
        let tasks = runner.add(TasksFold, ErrorPolicy::Stop, Some(writer.clone())).unwrap();
        let memories = runner.add(MemoriesFold, ErrorPolicy::Stop, Some(writer)).unwrap();
        runner.start();
        runner.step();
        Self { store, runner, tasks, memories }
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

struct Run {
    dice: Dice,
    world: World,
    twin: Twin,
    task_watches: Vec<Watched<TasksFold, TaskFilter>>,
    memory_watches: Vec<Watched<MemoriesFold, MemoryFilter>>,
}

impl Run {
    fn new(disk: &SimulatedDisk, seed: u64) -> Self {
        let (dice, world) = (Dice(SeededRandom::new(seed)), World::open(disk, seed));
        Self { dice, world, twin: Twin::default(), task_watches: Vec::new(), memory_watches: Vec::new() }
    }

    fn step(&mut self) {
        for _ in 0..self.dice.below(4) {
            if self.dice.below(2) == 0 { self.write_task() } else { self.write_memory() }
        }
        self.world.store.main().sync().unwrap();
        self.world.runner.step();
        self.check();
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

    fn write_task(&mut self) {
        let (id, title) = (self.dice.below(IDS), format!("title {}", self.dice.below(3)));
        let command = match self.dice.below(10) {
            0..=2 => TaskCommand::Create { id, title: &title },
            3 => TaskCommand::Replace { id, title: &title },
            4..=5 => TaskCommand::Rename { id, title: &title },
            6..=8 => TaskCommand::Complete { id },
            _ => TaskCommand::Delete { id },
        };
        let guard = self.dice.guard(self.twin.tasks.get(&id).map(|task| task.version));
        let at = self.dice.time();
        let options = WriteOptions { at: Some(at), guard, idempotency_key: None };
        let expected = self.twin.task(&command, at, guard);
        let written = self.world.tasks.write(&command, &options).unwrap();
        if self.dice.below(2) == 0 {
            assert_eq!(written.applied().unwrap(), expected, "{command:?} {guard:?}");
        }
    }

    fn write_memory(&mut self) {
        let (id, content) = (self.dice.below(IDS), format!("Text {}", self.dice.below(3)));
        let tags = self.dice.tags();
        let command = match self.dice.below(10) {
            0..=3 => MemoryCommand::Store {
                id,
                content: &content,
                tags: &tags,
                source: self.dice.one(&["s", "t"]),
            },
            4..=5 => MemoryCommand::Retag { id, tags: &tags },
            6..=7 => MemoryCommand::Pin { id },
            8 => MemoryCommand::Unpin { id },
            _ => MemoryCommand::Delete { id },
        };
        let guard = self.dice.guard(self.twin.memories.get(&id).map(|memory| memory.version));
        let at = self.dice.time();
        let options = WriteOptions { at: Some(at), guard, idempotency_key: None };
        let expected = self.twin.memory(&command, at, guard);
        let written = self.world.memories.write(&command, &options).unwrap();
        if self.dice.below(2) == 0 {
            assert_eq!(written.applied().unwrap(), expected, "{command:?} {guard:?}");
        }
    }

    /// Compares state, indexes, queries and watches with the twin.
    fn check(&mut self) {
        let tasks = self.world.tasks.snapshot().unwrap().state;
        let memories = self.world.memories.snapshot().unwrap().state;
        assert!(tasks.iter().map(|task| &**task).eq(self.twin.tasks.values()));
        assert!(memories.iter().map(|memory| &**memory).eq(self.twin.memories.values()));
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
    for seed in 0..12 {
        println!("seed {seed}");
        let disk = SimulatedDisk::new();
        let mut run = Run::new(&disk, seed);
        for round in 0..150 {
            run.step();
            if round % 40 == 39 {
                let Run { dice, world, twin, .. } = run;
                let is_crash = round % 80 == 79;
                if is_crash {
                    disk.power_off();
                } else {
                    world.store.close().unwrap();
                }
                drop(world);
                if is_crash {
                    disk.restart(&CrashImage::None);
                }
                let world = World::open(&disk, seed + round);
                run = Run { dice, world, twin, task_watches: Vec::new(), memory_watches: Vec::new() };
                run.check();
            }
        }
    }
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
