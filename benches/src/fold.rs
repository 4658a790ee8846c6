//! Folding: tasks that are created, asked for and watched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use base::{Doors, Timestamp};
use cortex::models::tasks::{TaskCommand, TaskFilter, TaskQuery, TaskStatus, Tasks, TasksFold, TasksState};
use cortex::models::{SortBy, WriteOptions};
use cortex::{ErrorPolicy, Runner, RunnerOptions};
use redex::{LogOptions, LogWriter, Store};

use crate::harness::{Latency, Sample, nanoseconds};
use crate::scratch::Scratch;
use crate::session::Setting;
use crate::{Failure, Result};

/// Questions that are asked one after the other, for one reading of the clock.
const ASKED_TOGETHER: u64 = 1024;
/// Changes whose way to a watch is timed.
const WATCHED_CHANGES: usize = 2_000;

/// A log with the model of tasks.
struct World {
    store: Store,
    runner: Runner,
    tasks: Tasks,
    _scratch: Option<Scratch>,
}

impl World {
    fn in_memory() -> Result<Self> {
        Self::open(Store::open("bench".as_ref(), &Doors::memory(), &LogOptions::default())?, None)
    }

    fn on_disk(setting: &Setting) -> Result<Self> {
        let scratch = Scratch::new(&setting.dir)?;
        let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
        Self::open(store, Some(scratch))
    }

    fn at(dir: &Path) -> Result<Self> {
        Self::open(Store::open(dir, &Doors::system(), &LogOptions::default())?, None)
    }

    fn open(store: Store, scratch: Option<Scratch>) -> Result<Self> {
        let clock = Doors::memory().clock;
        let runner = Runner::new(store.main().reader(), clock, RunnerOptions::default());
        let writer: Arc<dyn LogWriter> = Arc::new(store.main().clone());
        let tasks = runner.add(TasksFold, ErrorPolicy::Stop, Some(writer))?;
        runner.start();
        Ok(Self { store, runner, tasks, _scratch: scratch })
    }

    /// Creates so many tasks, a third of them completed at once, and waits until all are in the state.
    fn fill(&self, tasks: u64) -> Result<()> {
        let mut last = None;
        for id in 0..tasks {
            last = Some(self.create(id)?);
            if id % 3 == 0 {
                last = Some(self.tasks.write(&TaskCommand::Complete { id }, &WriteOptions::default())?);
            }
        }
        last.map_or(Ok(()), |last| Ok(last.applied().map(drop)?))
    }

    fn create(&self, id: u64) -> Result<cortex::models::tasks::TaskWritten> {
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::try_from(id)? * 1_000);
        let options = WriteOptions { at: Some(at), ..WriteOptions::default() };
        Ok(self.tasks.write(&TaskCommand::Create { id, title: "something that is to be done" }, &options)?)
    }
}

/// Writes tasks into a directory, so that they can be folded again.
///
/// # Errors
///
/// What log and fold said.
pub fn write(dir: &Path, tasks: u64) -> Result<()> {
    let world = World::at(dir)?;
    let mut last = None;
    for id in 0..tasks {
        last = Some(world.create(id)?);
    }
    last.ok_or("no tasks")?.durable()?;
    Ok(world.store.close()?)
}

/// Opens a directory and folds its tasks; gives their number. What was opened stays so, to be measured.
///
/// # Errors
///
/// What log and fold said.
pub fn reopen(dir: &Path) -> Result<u64> {
    let world = std::mem::ManuallyDrop::new(World::at(dir)?);
    world.runner.step();
    Ok(world.tasks.snapshot()?.state.len() as u64)
}

/// Creates tasks in one burst from one thread, until the last is in the state; gives tasks per second.
///
/// # Errors
///
/// What log and fold said.
pub fn create(setting: &Setting, durable: bool) -> Result<Sample> {
    let world = if durable { World::on_disk(setting)? } else { World::in_memory()? };
    let begun = Instant::now();
    let mut last = None;
    for id in 0..setting.events {
        last = Some(world.create(id)?);
    }
    last.ok_or("no tasks")?.applied()?;
    let seconds = begun.elapsed().as_secs_f64();
    let found = world.tasks.snapshot()?.state.len() as u64;
    world.store.close()?;
    if found != setting.events {
        return Err(Failure::from(format!("{found} of {} tasks are there", setting.events)));
    }
    Ok(Sample::of(setting.events as f64 / seconds))
}

/// Creates tasks one by one in memory, and waits for each to be in the state; gives microseconds.
///
/// # Errors
///
/// What log and fold said.
pub fn read_own_write(setting: &Setting) -> Result<Sample> {
    let world = World::in_memory()?;
    let mut nanos = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < setting.duration {
        let before = begun.elapsed();
        world.create(nanos.len() as u64)?.applied()?;
        nanos.push(nanoseconds(begun.elapsed() - before));
    }
    world.store.close()?;
    let latency = Latency::of(&mut nanos).ok_or("nothing was written")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

/// Asks a snapshot of many tasks over and over; gives microseconds a question.
///
/// # Errors
///
/// What log and fold said.
pub fn ask(setting: &Setting, together: u64, question: fn(&TasksState, u64) -> usize) -> Result<Sample> {
    let world = World::in_memory()?;
    world.fill(setting.events)?;
    let state = world.tasks.snapshot()?.state;
    let begun = Instant::now();
    let (mut asked, mut found) = (0, 0);
    while begun.elapsed() < setting.duration {
        for _ in 0..together {
            // Odd and large, so that all ids come in turn without order.
            found += question(&state, asked * 0x9E37_79B1 % setting.events);
            asked += 1;
        }
    }
    let micros = begun.elapsed().as_secs_f64() * 1e6;
    world.store.close()?;
    if found == 0 {
        return Err(Failure::from("nothing was found"));
    }
    Ok(Sample::of(micros / asked as f64))
}

/// Looks one task up.
///
/// # Errors
///
/// As [`ask`].
pub fn find_unique(setting: &Setting) -> Result<Sample> {
    ask(setting, ASKED_TOGETHER, |state, id| usize::from(state.find_unique(id).is_some()))
}

/// Asks for the ten newest of a status.
///
/// # Errors
///
/// As [`ask`].
pub fn ten_newest(setting: &Setting) -> Result<Sample> {
    ask(setting, 64, |state, _| {
        let filter = TaskFilter::new().status(TaskStatus::Completed);
        TaskQuery::from(filter).order(SortBy::CreatedDesc).limit(10).run(state).len()
    })
}

/// Asks for a third of all tasks.
///
/// # Errors
///
/// As [`ask`].
pub fn a_third(setting: &Setting) -> Result<Sample> {
    ask(setting, 1, |state, _| state.find_many(&TaskFilter::new().status(TaskStatus::Completed)).len())
}

/// Counts the tasks of a status.
///
/// # Errors
///
/// As [`ask`].
pub fn count(setting: &Setting) -> Result<Sample> {
    ask(setting, ASKED_TOGETHER, |state, _| {
        state.count_where(&TaskFilter::new().status(TaskStatus::Completed))
    })
}

/// Creates tasks durably in memory, one by one, beside many others, while a watch follows on another thread; gives
/// the microseconds from before the write until the watch has the task.
///
/// # Errors
///
/// What log and fold said.
///
/// # Panics
///
/// When the thread that watches does.
pub fn watch_latency(setting: &Setting) -> Result<Sample> {
    let world = World::in_memory()?;
    world.fill(setting.events)?;
    let clock = Doors::memory().clock;
    let query = TaskQuery::default().order(SortBy::IdDesc).limit(10);
    let (_, mut watch) = world.tasks.snapshot_and_watch(query)?;
    let begun = Instant::now();
    let mut nanos = std::thread::scope(|scope| {
        let watcher = scope.spawn(move || -> Result<Vec<(u64, u64)>> {
            let mut seen = Vec::new();
            while seen.len() < WATCHED_CHANGES {
                let update = watch.next_blocking(&*clock)?;
                let now = nanoseconds(begun.elapsed());
                seen.extend(update.results.iter().next().map(|task| (task.id, now)));
            }
            Ok(seen)
        });
        let mut begins = Vec::new();
        for id in setting.events..setting.events + WATCHED_CHANGES as u64 {
            begins.push(nanoseconds(begun.elapsed()));
            world.create(id)?.durable()?;
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        // A watch that coalesced two changes needs some more.
        let ended = AtomicBool::new(false);
        let seen = std::thread::scope(|inner| -> Result<Vec<(u64, u64)>> {
            inner.spawn(|| {
                let mut id = setting.events + WATCHED_CHANGES as u64;
                while !ended.load(Ordering::Relaxed) && world.create(id).is_ok_and(|it| it.durable().is_ok())
                {
                    id += 1;
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
            });
            let seen = watcher.join().expect("the watcher panicked");
            ended.store(true, Ordering::Relaxed);
            seen
        })?;
        let first = setting.events;
        let latency = |(id, now): &(u64, u64)| Some(now - begins.get(usize::try_from(id - first).ok()?)?);
        Ok::<_, Failure>(seen.iter().filter_map(latency).collect::<Vec<u64>>())
    })?;
    world.store.close()?;
    let latency = Latency::of(&mut nanos).ok_or("nothing was seen")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

/// Creates tasks in one burst while so many watches follow, each polled by one thread; gives tasks per second until
/// every watch has seen the last.
///
/// # Errors
///
/// What log and fold said.
///
/// # Panics
///
/// When the thread that watches does.
pub fn create_watched(setting: &Setting, watches: u64) -> Result<Sample> {
    let world = World::in_memory()?;
    let tasks = (setting.events / 4).max(1);
    let clock = Doors::memory().clock;
    let mut followed = Vec::new();
    for nth in 0..watches {
        // Each watches something else: one page, and one id of many.
        let query = match nth % 2 {
            0 => TaskQuery::default().order(SortBy::CreatedDesc).limit(10),
            _ => TaskQuery::from(TaskFilter::new().ids([tasks - 1, nth])),
        };
        followed.push(world.tasks.snapshot_and_watch(query)?.1);
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(move || -> Result<()> {
            let mut waiting = followed;
            while let Some(last) = waiting.last_mut() {
                let update = last.next_blocking(&*clock)?;
                let is_last = |results: &cortex::Results<cortex::models::tasks::Task>| {
                    results.iter().any(|task| task.id == tasks - 1)
                };
                if is_last(&update.results) {
                    waiting.pop();
                }
                let mut failed = None;
                waiting.retain_mut(|watch| match watch.try_next() {
                    Ok(update) => !update.is_some_and(|update| is_last(&update.results)),
                    Err(stopped) => {
                        failed = Some(stopped);
                        false
                    }
                });
                failed.map_or(Ok(()), Err)?;
            }
            Ok(())
        });
        let mut last = None;
        for id in 0..tasks {
            last = Some(world.create(id)?);
        }
        last.ok_or("no tasks")?.applied()?;
        watcher.join().expect("the watcher panicked")
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    world.store.close()?;
    Ok(Sample::of(tasks as f64 / seconds))
}
