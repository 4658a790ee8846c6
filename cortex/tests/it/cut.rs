//! Several models at one position, and a model as a table.

use std::ops::ControlFlow;
use std::sync::Arc;

use base::{ChannelName, Doors, Position, SimulatedDisk};
use cortex::{
    Applied, Changes, Column, ErrorPolicy, Fold, FoldError, FoldStopped, ModelTable, Row, RowSink,
    RowsRequest, RunMode, Runner, RunnerOptions, Tabular, Value, ValueType,
};
use redex::{Ack, AppendRequest, ChannelEvents, EventInput, Log, LogOptions, Store};

use crate::counter::{World, channel};

/// Counts events. While there are few, each makes another one: a writer that a fold never catches up with.
struct Fed(Log);

impl Fed {
    fn feed(log: &Log) {
        let channel = channel("numbers");
        let events = [EventInput::new("number", b"1")];
        let parts = [ChannelEvents { channel: &channel, events: &events }];
        let ticket = log.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
        ticket.wait(Ack::Durable).into_result().unwrap();
    }
}

impl Fold for Fed {
    type State = u64;
    type Change = ();

    fn name(&self) -> &str {
        "fed"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![channel("numbers")]
    }

    fn apply(
        &self,
        state: &mut u64,
        _: &redex::EventRef<'_>,
        _: &mut Changes<'_, ()>,
    ) -> Result<Applied, FoldError> {
        *state += 1;
        if *state < 50 {
            Self::feed(&self.0);
        }
        Ok(Applied::Changed)
    }
}

impl Tabular for Fed {
    fn columns(&self) -> &[Column] {
        const COLUMNS: &[Column] = &[Column::new("count", ValueType::U64, "how many")];
        COLUMNS
    }

    fn count(&self, _: &u64) -> usize {
        1
    }

    fn rows(&self, state: &u64, _: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        sink(&Shown(*state))
    }
}

struct Shown(u64);

impl Row for Shown {
    fn value(&self, _: usize) -> Value<'_> {
        self.0.into()
    }
}

fn shown(table: &dyn cortex::PinnedTable) -> u64 {
    let mut shown = 0;
    let _ = table.rows(&RowsRequest::all(), &mut |row| {
        let Value::U64(count) = row.value(0) else { panic!("not a number") };
        shown = count;
        ControlFlow::Continue(())
    });
    shown
}

#[test]
fn a_cut_is_where_the_log_was_visible_however_fast_it_grows() {
    let store = Store::create("/node".as_ref(), &Doors::memory(), &LogOptions::default()).unwrap();
    let mut options = RunnerOptions::default();
    options.mode = RunMode::Manual;
    let log = store.main();
    let runner = Runner::new(log.reader(), Doors::memory().clock, options);
    let fed = runner.add(Fed(log.clone()), ErrorPolicy::Stop, Some(Arc::new(log.clone()))).unwrap();
    runner.start();
    Fed::feed(log);
    for position in 1..5 {
        assert_eq!(runner.with_cut(|cut| cut.position()), Position(position));
    }
    let table: &dyn ModelTable = &fed;
    let pinned = table.pin().unwrap();
    runner.step();
    assert_eq!((pinned.position(), pinned.count(), shown(&*pinned)), (Some(Position(4)), 1, 4));
    assert_eq!(shown(&*table.pin().unwrap()), 50);
}

#[test]
fn a_cut_tells_how_each_model_stands() {
    let world = World::new(ErrorPolicy::SkipAndRecord);
    for kind in ["number", "poison", "unheard.of"] {
        world.write(kind, "1").durable().unwrap();
    }
    world.runner.with_cut(|cut| {
        let [sum] = &cut.models()[..] else { panic!("one model") };
        assert_eq!((cut.position(), sum.folded_through), (Position(3), Position(3)));
        assert_eq!(
            (sum.name.as_str(), sum.version, &sum.channels[..]),
            ("sum", 1, &[channel("numbers")][..])
        );
        assert_eq!(
            (sum.metrics.events_total, sum.metrics.skipped_total, sum.metrics.ignored_total),
            (3, 1, 1)
        );
        let [(model, skipped)] = &cut.skipped()[..] else { panic!("one event") };
        assert_eq!((model.as_str(), skipped.seq.0, skipped.reason.as_str()), ("sum", 1, "poisoned"));
    });
}

#[test]
fn a_cut_is_not_held_back_by_a_hole_that_no_model_gets_past() {
    let disk = SimulatedDisk::new();
    let world = World::on(disk.clone(), 1, ErrorPolicy::Stop, RunMode::Manual);
    for payload in ["1111111", "2222222", "3333333"] {
        world.write("number", payload).durable().unwrap();
    }
    world.store.close().unwrap();
    drop(world);
    flip_a_bit_of(&disk, b"2222222");

    let world = World::on(disk, 2, ErrorPolicy::Stop, RunMode::Manual);
    world.write("number", "4").durable().unwrap();
    let visible = world.store.main().reader().visible();
    assert_eq!(world.runner.with_cut(|cut| cut.position()), visible);
    assert!(matches!(world.sum.snapshot(), Err(FoldStopped::Read { .. })), "{:?}", world.sum.stopped());
    assert!(world.sum.folded_through() < visible);
}

fn flip_a_bit_of(disk: &SimulatedDisk, sought: &[u8]) {
    for (path, _) in disk.files() {
        let bytes = disk.read(&path).unwrap();
        if let Some(at) = bytes.windows(sought.len()).position(|window| window == sought) {
            return disk.flip_bit(&path, at as u64 * 8);
        }
    }
    panic!("no file has the bytes");
}
