//! The tasks of net-mesh 0.46: a hash map behind a lock, without indexes.

use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use net::adapter::net::cortex::tasks::{OrderBy, Task, TaskStatus, TasksAdapter, TasksFilter};
use net::adapter::net::redex::{Redex, RedexFileConfig};
use netdb_benches::harness::{Latency, Sample, nanoseconds};
use netdb_benches::reopened::{Reopened, Role, all_tasks};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use netdb_benches::{Failure, Result};
use tokio::runtime::Handle;

/// The ring that its fold reads from, in events: large enough for a burst, which the default of 1,024 is not.
const TAIL_EVENTS: usize = 4 << 20;
const TITLE: &str = "something that is to be done";
/// The role of a process that opens the tasks of net-mesh.
pub const REOPENED: Role = ("net-mesh", reopen);
/// Tasks of a burst that is watched; each takes the whole state.
const WATCHED_TASKS: u64 = 10_000;
/// Changes whose way to a watch is timed; each takes its whole state.
const WATCHED_CHANGES: u64 = 5;

struct Open {
    tasks: TasksAdapter,
    _redex: Redex,
}

impl Open {
    fn in_memory() -> Result<Self> {
        let redex = Redex::new();
        let config = RedexFileConfig::default().with_tail_buffer_size(TAIL_EVENTS);
        let opened = Handle::current().block_on(TasksAdapter::open_with_config(&redex, 1, config));
        Ok(Self { tasks: opened.map_err(failure)?, _redex: redex })
    }

    fn on_disk(dir: &Path) -> Result<Self> {
        let redex = Redex::new().with_persistent_dir(dir);
        let config = RedexFileConfig::default().with_tail_buffer_size(TAIL_EVENTS).with_persistent(true);
        let opened = Handle::current().block_on(TasksAdapter::open_with_config(&redex, 1, config));
        Ok(Self { tasks: opened.map_err(failure)?, _redex: redex })
    }

    fn create(&self, id: u64) -> Result<u64> {
        self.tasks.create(id, TITLE, 1_700_000_000_000_000_000 + id * 1_000).map_err(failure)
    }

    fn wait(&self, seq: u64) -> Result<()> {
        let waited = Handle::current().block_on(self.tasks.wait_for_seq(seq));
        waited.map_err(|folded| Failure::from(format!("folded through {folded:?} only, not {seq}")))
    }

    fn fill(&self, tasks: u64) -> Result<()> {
        let mut last = 0;
        for id in 0..tasks {
            last = self.create(id)?;
            if id % 3 == 0 {
                last = self.tasks.complete(id, id).map_err(failure)?;
            }
        }
        self.wait(last)
    }
}

fn failure(error: impl std::fmt::Display) -> Failure {
    error.to_string().into()
}

/// Creates tasks in one burst, until the last is in the state.
pub fn create(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    let begun = Instant::now();
    let mut last = 0;
    for id in 0..setting.events {
        last = open.create(id)?;
    }
    open.wait(last)?;
    Ok(Sample::of(setting.events as f64 / begun.elapsed().as_secs_f64()))
}

/// Creates tasks one by one and waits for each to be in the state.
pub fn read_own_write(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    let begun = Instant::now();
    let mut nanos = Vec::new();
    while begun.elapsed() < setting.duration {
        let before = begun.elapsed();
        let seq = open.create(nanos.len() as u64)?;
        open.wait(seq)?;
        nanos.push(nanoseconds(begun.elapsed() - before));
    }
    let latency = Latency::of(&mut nanos).ok_or("nothing was written")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

/// Asks many tasks over and over; gives microseconds a question.
fn ask(setting: &Setting, together: u64, question: impl Fn(&Open, u64)) -> Result<Sample> {
    let open = Open::in_memory()?;
    open.fill(setting.events)?;
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < setting.duration {
        for _ in 0..together {
            question(&open, asked * 0x9E37_79B1 % setting.events);
            asked += 1;
        }
    }
    Ok(Sample::of(begun.elapsed().as_secs_f64() * 1e6 / asked as f64))
}

fn completed() -> TasksFilter {
    TasksFilter { status: Some(TaskStatus::Completed), ..TasksFilter::default() }
}

pub fn find_unique(setting: &Setting) -> Result<Sample> {
    ask(setting, 1024, |open, id| {
        black_box(open.tasks.state().read().find_unique(id));
    })
}

pub fn ten_newest(setting: &Setting) -> Result<Sample> {
    ask(setting, 1, |open, _| {
        let state = open.tasks.state();
        let state = state.read();
        let query = state.query().where_status(TaskStatus::Completed).order_by(OrderBy::CreatedDesc);
        black_box(query.limit(10).collect());
    })
}

pub fn a_third(setting: &Setting) -> Result<Sample> {
    ask(setting, 1, |open, _| {
        black_box(open.tasks.state().read().find_many(&completed()));
    })
}

pub fn count(setting: &Setting) -> Result<Sample> {
    ask(setting, 1, |open, _| {
        black_box(open.tasks.state().read().count_where(&completed()));
    })
}

/// Creates tasks beside many others, and waits for each to come out of a watch.
pub fn watch_latency(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    open.fill(setting.events)?;
    let mut nanos = Vec::new();
    let watched = async {
        let stream = open.tasks.watch().order_by(OrderBy::IdDesc).limit(10).stream();
        let mut watch: Pin<Box<dyn Stream<Item = Vec<Task>> + Send>> = Box::pin(stream);
        watch.next().await;
        for id in setting.events..setting.events + WATCHED_CHANGES {
            let begun = Instant::now();
            open.create(id)?;
            let next = tokio::time::timeout(Duration::from_secs(30), watch.next());
            next.await.map_err(failure)?.ok_or("the watch ended")?;
            nanos.push(nanoseconds(begun.elapsed()));
        }
        Ok::<_, Failure>(())
    };
    Handle::current().block_on(watched)?;
    let latency = Latency::of(&mut nanos).ok_or("nothing was seen")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

/// Creates tasks in one burst while a watch of ten follows, until it has seen the last.
pub fn create_watched(_: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    let stream = open.tasks.watch().order_by(OrderBy::CreatedDesc).limit(10).stream();
    let mut watch: Pin<Box<dyn Stream<Item = Vec<Task>> + Send>> = Box::pin(stream);
    Handle::current().block_on(watch.next());
    let begun = Instant::now();
    let watched = Handle::current().spawn(async move {
        while let Some(tasks) = watch.next().await {
            if tasks.iter().any(|task| task.id == WATCHED_TASKS - 1) {
                return true;
            }
        }
        false
    });
    for id in 0..WATCHED_TASKS {
        open.create(id)?;
    }
    let seen =
        Handle::current().block_on(async { tokio::time::timeout(Duration::from_secs(60), watched).await });
    if !seen.map_err(failure)?? {
        return Err("the watch ended".into());
    }
    Ok(Sample::of(WATCHED_TASKS as f64 / begun.elapsed().as_secs_f64()))
}

/// Opens a directory; gives the number of its tasks, and keeps it open until the process ends.
fn reopen(dir: &Path) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let inside = runtime.enter();
    let open = Open::on_disk(dir)?;
    let tasks = open.tasks.count() as u64;
    std::mem::forget((open, inside));
    // Its threads would wait for what was forgotten.
    runtime.shutdown_background();
    Ok(tasks)
}

/// Writes tasks to disk and opens them in a process of its own.
pub fn reopened(setting: &Setting) -> Result<Reopened> {
    let scratch = Scratch::new(&setting.dir)?;
    {
        let open = Open::on_disk(scratch.path())?;
        let mut last = 0;
        for id in 0..setting.events {
            last = open.create(id)?;
        }
        open.wait(last)?;
        open.tasks.close().map_err(failure)?;
    }
    all_tasks(&REOPENED, scratch.path(), setting.events)
}
