//! A workload: what is done to a log, step by step, on a disk that remembers every moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Operation, SimulatedDisk, Snapshot};
use redex::{Ack, ChannelConfig, Condition, Expect, LogOptions, Outcome, Store, Ticket};

use crate::ledger::{Ledger, Part, Repeat};
use crate::support::{World, channel, options};

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
    /// Closes the log; nothing more than a reopen may follow.
    Close,
    /// Takes the power away, and opens what is left.
    Crash(CrashImage),
}

/// A named list of steps.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub options: LogOptions,
    pub steps: Vec<Step>,
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
}

impl Workload {
    pub fn new(name: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        let mut options = options();
        options.segment_bytes = 1 << 20;
        Self { name: name.to_owned(), options, steps: steps.into_iter().collect() }
    }

    /// Seals segments as early as the options allow.
    pub fn small_segments(mut self) -> Self {
        self.options.segment_bytes = 64 << 10;
        self
    }

    /// Runs the steps on an empty disk.
    pub fn run(&self, seed: u64) -> Trace {
        let disk = SimulatedDisk::new();
        let moments = record(&disk);
        let mut runner = Runner {
            world: World::on(disk.clone(), seed),
            options: &self.options,
            store: None,
            ledger: Ledger::default(),
        };
        runner.open();
        for step in &self.steps {
            runner.step(step);
        }
        let ledger = runner.end();
        disk.on_operation(None);
        let last = Moment { next: None, ordinal: disk.operation_count(), snapshot: disk.snapshot() };
        let mut moments = std::mem::take(&mut *moments.lock().unwrap());
        moments.push(last);
        Trace { ledger, moments }
    }
}

/// Has a disk remember the moment before each operation from now on.
pub fn record(disk: &SimulatedDisk) -> Arc<Mutex<Vec<Moment>>> {
    let moments = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&moments);
    disk.on_operation(Some(Box::new(move |operation, snapshot| {
        let moment = Moment { next: Some(operation.clone()), ordinal: operation.ordinal, snapshot };
        sink.lock().unwrap().push(moment);
    })));
    moments
}

struct Runner<'a> {
    world: World,
    options: &'a LogOptions,
    store: Option<Store>,
    ledger: Ledger,
}

impl Runner<'_> {
    fn now(&self) -> u64 {
        self.world.disk.operation_count()
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the log is open at this step")
    }

    fn open(&mut self) {
        let store = self.world.open_with(self.options);
        self.ledger.note_reopened(store.main(), self.now());
        self.store = Some(store);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { parts, repeat, expect, ack } => {
                let condition = expect.map(|(name, expect)| Condition { channel: channel(name), expect });
                let now = self.now();
                let store = self.store.as_ref().expect("the log is open at this step");
                let ticket =
                    self.ledger.submit(store.main(), parts, *repeat, condition.as_slice(), now).unwrap();
                self.wait(&ticket, *ack);
            }
            Step::Create { channel, config, ack } => {
                let now = self.now();
                let store = self.store.as_ref().expect("the log is open at this step");
                let ticket = self.ledger.create(store.main(), channel, config.clone(), now).unwrap();
                self.wait(&ticket, *ack);
            }
            Step::Sync => {
                self.store().main().sync().unwrap();
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
                self.store = None;
                self.open();
            }
            Step::Crash(survivors) => {
                self.world.disk.power_off();
                self.store = None;
                self.world.disk.restart(survivors);
                self.open();
            }
        }
        self.note_durable();
    }

    /// Waits for a ticket; what is durable is visible.
    fn wait(&self, ticket: &Ticket, ack: Ack) {
        let outcome = ticket.wait(ack);
        if let (Ack::Durable, Outcome::Appended { at } | Outcome::AlreadyAppended { at }) = (ack, outcome) {
            assert!(self.store().main().reader().visible() >= at.position(), "durable, but not visible");
        }
    }

    fn close(&mut self) {
        if let Some(store) = &self.store {
            store.close().unwrap();
        }
        self.note_durable();
        self.store = None;
    }

    fn note_durable(&mut self) {
        if let Some(store) = &self.store {
            let visible = store.main().reader().visible();
            let now = self.now();
            self.ledger.note_durable(visible, now);
        }
    }

    /// Ends without closing the log: that is a step of its own.
    fn end(self) -> Ledger {
        self.world.disk.on_operation(None);
        self.world.disk.power_off();
        self.ledger
    }
}
