//! A fold that counts, and fails on demand.

use std::path::Path;
use std::sync::Arc;

use base::{ChannelName, Doors, ManualClock, SeededRandom, SimulatedDisk, Timestamp};
use cortex::{
    Applied, Changes, ErrorPolicy, Fold, FoldError, Folded, RunMode, Runner, RunnerOptions, Written,
};
use redex::{AppendRequest, ChannelEvents, EventInput, FlusherMode, LogOptions, Store};

/// Sums numbers; `poison` cannot be applied, `panic` panics, other kinds are ignored.
#[derive(Debug, Clone, Copy)]
pub struct Sum;

impl Fold for Sum {
    type State = i64;
    type Change = i64;

    fn name(&self) -> &str {
        "sum"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![channel("numbers")]
    }

    fn apply(
        &self,
        state: &mut i64,
        event: &redex::EventRef<'_>,
        changes: &mut Changes<'_, i64>,
    ) -> Result<Applied, FoldError> {
        match event.kind {
            "number" => {
                let text = std::str::from_utf8(event.payload).map_err(FoldError::new)?;
                let number: i64 = text.parse().map_err(FoldError::new)?;
                *state += number;
                changes.note(|| number);
                Ok(if number == 0 { Applied::Unchanged } else { Applied::Changed })
            }
            "poison" => Err(FoldError::new("poisoned")),
            "panic" => panic!("on demand"),
            _ => Ok(Applied::Ignored),
        }
    }
}

/// A log on a simulated disk with a fold that only moves when it is told to, or by those who wait.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: Store,
    pub runner: Runner,
    pub sum: Folded<Sum>,
}

impl World {
    pub fn new(policy: ErrorPolicy) -> Self {
        Self::on(SimulatedDisk::new(), 1, policy, RunMode::Manual)
    }

    pub fn on(disk: SimulatedDisk, seed: u64, policy: ErrorPolicy, mode: RunMode) -> Self {
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
        options.mode = mode;
        let runner = Runner::new(store.main().reader(), clock.clone(), options);
        let sum = runner.add(Sum, policy, Some(Arc::new(store.main().clone()))).unwrap();
        runner.start();
        Self { clock, store, runner, sum }
    }

    pub fn write(&self, kind: &str, payload: &str) -> Written<Sum> {
        write(&self.sum, kind, payload)
    }
}

pub fn write(sum: &Folded<Sum>, kind: &str, payload: &str) -> Written<Sum> {
    let channel = channel("numbers");
    let events = [EventInput::new(kind, payload.as_bytes())];
    let parts = [ChannelEvents { channel: &channel, events: &events }];
    sum.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap()
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}
