//! A workload: what is done to a log, step by step, on a disk that remembers every moment.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Fault, Operation, SimulatedDisk, Snapshot};
use redex::{
    Ack, AppendError, ChannelConfig, Condition, Expect, LogOptions, Outcome, Rejection, Store, Ticket,
};

use crate::ledger::{Ledger, Moments, Part, Place, Repeat};
use crate::support::{DIR, World, channel, options};

/// One thing that is done.
#[derive(Debug, Clone)]
pub enum Step {
    Append {
        parts: Vec<Part>,
        repeat: Repeat,
        expect: Option<(&'static str, Expect)>,
        ack: Ack,
    },
    Create {
        channel: &'static str,
        config: ChannelConfig,
        ack: Ack,
    },
    Sync,
    /// Lets time pass and the flusher act.
    Elapse(Duration),
    /// Closes the log and opens it again.
    Reopen,
    /// Drops the log without closing it, and opens it again.
    Drop,
    /// Closes the log; nothing may follow.
    Close,
    /// Takes the power away, and opens what is left.
    Crash(CrashImage),
    /// Lets the operation fail that comes behind so many others.
    Fail {
        ahead: u64,
        fault: Fault,
    },
    /// Limits the space that is left, or takes the limit away.
    Space(Option<u64>),
    /// Drops the log, damages what it holds of a submission, and opens it again.
    Damage(usize),
}

/// Syncs that may turn out to have lied.
const SYNCS_REMEMBERED: usize = 3;

/// A named list of steps.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub options: LogOptions,
    pub steps: Vec<Step>,
    /// Whether the disk fails on the way.
    pub faulty: bool,
}

/// A moment at which the power may go.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The operation that comes next; `None` behind the last.
    pub next: Option<Operation>,
    /// How many operations were done.
    pub ordinal: u64,
    pub snapshot: Snapshot,
}

/// What a workload left: the log's answers, and every moment on the way.
#[derive(Debug)]
pub struct Trace {
    pub ledger: Ledger,
    pub moments: Vec<Moment>,
    pub met: Met,
}

/// What went wrong on the way.
#[derive(Debug, Default)]
pub struct Met {
    /// Appends that were rejected because they could not be written.
    pub rejected: Vec<Rejection>,
    /// Appends and syncs whose outcome was unknown; the log was opened again behind the first.
    pub unknown: usize,
    /// What reading gave, behind a failure, instead of what is durable.
    pub unserved: Vec<String>,
    /// Everything, for messages.
    pub errors: Vec<String>,
}

impl Workload {
    pub fn new(name: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        let mut options = options();
        options.segment_bytes = 1 << 20;
        Self { name: name.to_owned(), options, steps: steps.into_iter().collect(), faulty: false }
    }

    /// Seals segments as early as the options allow.
    pub fn small_segments(mut self) -> Self {
        self.options.segment_bytes = 64 << 10;
        self
    }

    /// Changes the options.
    pub fn with(mut self, change: impl FnOnce(&mut LogOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Says that the disk fails on the way.
    pub fn faulty(mut self) -> Self {
        self.faulty = true;
        self
    }

    /// Runs the steps on an empty disk, which fails only where a step says so.
    pub fn run(&self, seed: u64) -> Trace {
        let disk = SimulatedDisk::new();
        disk.remember_syncs(SYNCS_REMEMBERED);
        let trace = self.run_on(&disk, seed, self.faulty);
        assert_eq!(trace.met.unserved, [""; 0], "{}", self.name);
        assert!(self.faulty || trace.met.errors.is_empty(), "{}: {:?}", self.name, trace.met.errors);
        trace
    }

    /// Runs the steps on a disk that may fail; a log that is poisoned is opened again.
    ///
    /// With `held`, tickets are kept until the log is closed, so that an append that is rejected later is
    /// known to be.
    pub fn run_on(&self, disk: &SimulatedDisk, seed: u64, held: bool) -> Trace {
        self.run_with(disk, seed, held, |_| {})
    }

    /// Runs the steps like [`run_on`](Self::run_on), and does something before each operation.
    pub fn run_with(
        &self,
        disk: &SimulatedDisk,
        seed: u64,
        held: bool,
        before: impl FnMut(&Operation) + Send + 'static,
    ) -> Trace {
        let moments = record_with(disk, before);
        let mut runner = Runner {
            world: World::on(disk.clone(), seed),
            options: &self.options,
            store: None,
            held,
            tickets: Vec::new(),
            ledger: Ledger::default(),
            met: Met::default(),
        };
        disk.take_time_on(Some(Arc::clone(&runner.world.clock)));
        runner.open();
        for step in &self.steps {
            runner.step(step);
        }
        let (ledger, met) = runner.end();
        disk.on_operation(None);
        let last = Moment { next: None, ordinal: disk.operation_count(), snapshot: disk.snapshot() };
        let mut moments = std::mem::take(&mut *moments.lock().unwrap());
        moments.push(last);
        Trace { ledger, moments, met }
    }
}

/// Has a disk remember the moment before each operation from now on.
pub fn record(disk: &SimulatedDisk) -> Arc<Mutex<Vec<Moment>>> {
    record_with(disk, |_| {})
}

fn record_with(
    disk: &SimulatedDisk,
    mut before: impl FnMut(&Operation) + Send + 'static,
) -> Arc<Mutex<Vec<Moment>>> {
    let moments = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&moments);
    disk.on_operation(Some(Box::new(move |operation, snapshot| {
        before(operation);
        let moment = Moment { next: Some(operation.clone()), ordinal: operation.ordinal, snapshot };
        sink.lock().unwrap().push(moment);
    })));
    moments
}

struct Runner<'a> {
    world: World,
    options: &'a LogOptions,
    store: Option<Store>,
    held: bool,
    tickets: Vec<(Place, Ticket)>,
    ledger: Ledger,
    met: Met,
}

impl Runner<'_> {
    fn now(&self) -> u64 {
        self.world.disk.operation_count()
    }

    fn store(&self) -> Store {
        self.store.clone().expect("the log is open at this step")
    }

    /// Opens the log; where the disk fails, again.
    fn open(&mut self) {
        for _ in 0..3 {
            match Store::open(Path::new(DIR), &self.world.doors, self.options) {
                Ok(store) => {
                    self.ledger.note_reopened(store.main(), self.now());
                    self.store = Some(store);
                    return;
                }
                Err(error) => self.met.errors.push(format!("open: {error}")),
            }
            // Opening takes space: where there is none, somebody makes room.
            self.world.disk.fill_up(None);
        }
        panic!("does not open: {:?}", self.met.errors);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { parts, repeat, expect, ack } => {
                let condition = expect.map(|(name, expect)| Condition { channel: channel(name), expect });
                let conditions = condition.as_slice();
                self.append(*ack, |ledger, store, now| {
                    ledger.submit(store.main(), parts, *repeat, conditions, now)
                });
            }
            Step::Create { channel, config, ack } => {
                self.append(*ack, |ledger, store, now| {
                    ledger.create(store.main(), channel, config.clone(), now)
                });
            }
            Step::Sync => {
                let synced = self.store().main().sync();
                if let Err(error) = synced {
                    self.failed(&error);
                }
            }
            Step::Elapse(time) => {
                self.world.clock.advance(*time);
                self.store().main().flush_step();
            }
            Step::Reopen => {
                self.close();
                self.open();
            }
            Step::Close => self.close(),
            Step::Drop => {
                self.settle();
                self.tickets.clear();
                self.store = None;
                self.open();
            }
            Step::Crash(survivors) => {
                self.world.disk.power_off();
                self.tickets.clear();
                self.store = None;
                self.world.disk.restart(survivors);
                self.open();
            }
            Step::Fail { ahead, fault } => self.world.disk.inject(self.now() + ahead, *fault),
            Step::Space(free_bytes) => self.world.disk.fill_up(*free_bytes),
            Step::Damage(place) => {
                self.settle();
                self.tickets.clear();
                self.store = None;
                let now = self.now();
                flip_where(&self.world.disk, &self.ledger.damage(*place, now));
                self.open();
            }
        }
        self.settle();
    }

    fn append(
        &mut self,
        ack: Ack,
        submit: impl FnOnce(&mut Ledger, &Store, u64) -> Result<(Option<Place>, Ticket), AppendError>,
    ) {
        let (store, now) = (self.store(), self.now());
        let (place, ticket) = match submit(&mut self.ledger, &store, now) {
            Ok(submitted) => submitted,
            Err(error) => {
                drop(store);
                return self.failed(&error);
            }
        };
        let outcome = ticket.wait(ack);
        if matches!(outcome, Outcome::Rejected { .. }) {
            self.check_reads();
        }
        if let (Ack::Durable, Outcome::Appended { at } | Outcome::AlreadyAppended { at }) = (ack, &outcome) {
            let visible = store.main().reader().visible();
            assert!(visible >= at.position(), "durable at {}, but only {visible} is visible", at.index);
        }
        match (place, self.held) {
            (Some(place), true) => self.tickets.push((place, ticket)),
            _ => drop(ticket),
        }
        drop(store);
        self.settle();
        if let Outcome::Unknown { cause } = outcome {
            self.failed(&AppendError::Unknown { cause });
        }
    }

    /// Meets a failure that poisons: nothing is taken any more, until the log is opened again.
    fn failed(&mut self, error: &AppendError) {
        self.met.errors.push(error.to_string());
        match error {
            AppendError::Rejected { .. } => return self.settle(),
            AppendError::Unknown { .. } | AppendError::Poisoned { .. } => {}
            other => panic!("{other}"),
        }
        self.met.unknown += 1;
        self.check_reads();
        let refused = self.store().main().append(&channel("a"), &[]).unwrap_err();
        assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
        self.settle();
        self.tickets.clear();
        self.store = None;
        self.open();
    }

    /// Reads are served whatever failed: everything durable is there, and nothing that was not submitted.
    fn check_reads(&mut self) {
        let view = self.store().main().reader().view();
        if let Err(fault) = self.ledger.check(&view, Moments::at(self.now())) {
            self.met.unserved.push(fault);
        }
    }

    fn close(&mut self) {
        if let Some(store) = &self.store
            && let Err(error) = store.close()
        {
            self.met.errors.push(format!("close: {error}"));
        }
        self.settle();
        self.tickets.clear();
        self.store = None;
    }

    /// Notes what is durable by now, and what was rejected.
    fn settle(&mut self) {
        let now = self.now();
        for (place, ticket) in &self.tickets {
            if let Outcome::Rejected { reason, .. } = ticket.wait(Ack::Staged)
                && self.ledger.note_rejected(*place, now)
            {
                self.met.errors.push(reason.to_string());
                self.met.rejected.push(reason);
            }
        }
        if let Some(store) = &self.store {
            self.ledger.note_durable(store.main().reader().visible(), now);
        }
    }

    /// Ends without closing the log: that is a step of its own.
    fn end(mut self) -> (Ledger, Met) {
        self.settle();
        self.world.disk.on_operation(None);
        self.world.disk.power_off();
        self.tickets.clear();
        self.store = None;
        (self.ledger, self.met)
    }
}

/// Inverts a bit of the one place in the segments where these bytes stand.
fn flip_where(disk: &SimulatedDisk, wanted: &[u8]) {
    for (path, _) in disk.files() {
        let bytes = disk.read(&path).unwrap_or_default();
        let found = bytes.windows(wanted.len()).position(|part| part == wanted);
        if let Some(at) = found.filter(|_| path.extension().is_some_and(|extension| extension == "seg")) {
            return disk.flip_bit(&path, at as u64 * 8);
        }
    }
    panic!("what is to be damaged is not there");
}
