//! Random appends, moves, trims and reopenings of several logs beside a naive twin: a list of payloads for each channel.

use std::collections::BTreeMap;
use std::time::Duration;

use redex::{Bounds, Compression, LogOptions, ReadError};

use super::*;
use crate::support::{Dice, each_seed};

const CHANNELS: [&str; 6] = ["a", "b", "c/1", "c/2", "d", "E.x"];
const SEGMENT_BYTES: u64 = 32 << 10;

/// What a channel should have, by number.
#[derive(Default)]
struct Twin {
    channels: BTreeMap<&'static str, Vec<String>>,
    homes: BTreeMap<&'static str, String>,
}

struct Run {
    world: World,
    options: LogOptions,
    store: Store,
    dice: Dice,
    twin: Twin,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = World::on(base::SimulatedDisk::new(), seed);
        let mut options = options();
        options.segment_bytes = SEGMENT_BYTES;
        let store = world.open_with(&options);
        Self { world, options, store, dice: Dice::new(seed), twin: Twin::default() }
    }

    fn placement(&self) -> Placement {
        let keep = |retention| Placement::With(LogConfig::keeping(retention));
        match self.dice.below(6) {
            0 => Placement::Main,
            1 => keep(Retention::of_bytes(3 * SEGMENT_BYTES)),
            2 => keep(Retention::of_bytes(1 << 30)),
            3 => keep(Retention::of_events(40)),
            4 => keep(Retention::of_age(Duration::from_secs(60))),
            _ => Placement::With(LogConfig::default().compressed(Compression::Lz4).for_one_channel()),
        }
    }

    fn step(&mut self) {
        let name = *self.dice.pick(&CHANNELS);
        match self.dice.below(100) {
            0..70 => self.append(name),
            70..78 => self.place(name),
            78..86 => self.go(name),
            86..92 => {
                self.world.clock.advance(Duration::from_secs(self.dice.below(90)));
                for log in self.store.logs() {
                    for _ in 0..3 {
                        self.world.clock.advance(Duration::from_millis(150));
                        log.flush_step();
                    }
                }
            }
            92..95 => self.reopen(),
            _ => self.compare(name),
        }
    }

    fn append(&mut self, name: &'static str) {
        let count = 1 + self.dice.below(4);
        let known = self.twin.channels.entry(name).or_default();
        let bytes = usize::try_from(self.dice.below(3_000)).unwrap();
        let payloads: Vec<String> = (0..count)
            .map(|nth| format!("{name} {} {}", known.len() as u64 + nth, "x".repeat(bytes)))
            .collect();
        let events: Vec<_> =
            payloads.iter().map(|payload| EventInput::new("k", payload.as_bytes())).collect();
        let ticket = self.store.append(&channel(name), &events).unwrap();
        if self.dice.chance(60) {
            ticket.wait(Ack::Durable).into_result().unwrap();
        }
        assert_eq!(ticket.staged().unwrap().at().unwrap().first_seq().unwrap().0, known.len() as u64);
        known.extend(payloads);
        self.twin.homes.entry(name).or_insert_with(|| "main".to_owned());
    }

    fn place(&mut self, name: &'static str) {
        let placement = self.placement();
        let placed = self.store.create_channel(&channel(name), &ChannelConfig::default(), &placement);
        match self.twin.homes.get(name) {
            None => {
                placed.unwrap();
                self.twin.homes.insert(name, home(&self.store, name));
                self.twin.channels.entry(name).or_default();
            }
            Some(known) => assert_eq!(home(&self.store, name), *known, "{placed:?}"),
        }
    }

    fn go(&mut self, name: &'static str) {
        let placement = self.placement();
        let moved = self.store.move_channel(&channel(name), &placement);
        let now = home(&self.store, name);
        match (self.twin.homes.get_mut(name), moved) {
            (None, moved) => assert!(matches!(moved, Err(redex::PlaceError::NoChannel { .. }))),
            (Some(known), Ok(())) => *known = now,
            (Some(known), Err(redex::PlaceError::WasThere { .. })) => assert_eq!(now, *known),
            (_, Err(other)) => panic!("{other}"),
        }
    }

    fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = self.world.open_with(&self.options);
        for (name, known) in &self.twin.homes {
            assert_eq!(home(&self.store, name), *known);
        }
    }

    fn compare(&mut self, name: &'static str) {
        for log in self.store.logs() {
            log.sync().unwrap();
        }
        let other = StoreReader::open(Path::new(DIR), &self.world.doors, &self.options).unwrap();
        for view in [self.store.reader().view(), other.view()] {
            self.compare_view(&view, name);
        }
        self.compare_tail(name);
    }

    fn compare_view(&self, view: &StoreView, name: &'static str) {
        let Some(known) = self.twin.channels.get(name) else {
            assert!(view.channel(&channel(name)).unwrap().is_none());
            return;
        };
        let history = view.channel(&channel(name)).unwrap().unwrap();
        assert_eq!(history.next_seq().0, known.len() as u64);
        // What each part keeps, one behind the other.
        let kept: Vec<u64> =
            history.parts.iter().flat_map(|part| part.info.first_seq.0..part.info.next_seq.0).collect();
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        let expected: Vec<_> =
            kept.iter().map(|seq| (*seq, known[usize::try_from(*seq).unwrap()].clone())).collect();
        let all = Selection::channel(&channel(name));
        assert!(read(view, &all) == expected, "{name}: {kept:?}");
        let (from, to) = (self.dice.below(known.len() as u64 + 2), self.dice.below(known.len() as u64 + 2));
        let narrowed = Selection { seqs: Bounds::between(from.min(to), from.max(to)), ..all.clone() };
        let within: Vec<_> =
            expected.iter().filter(|(seq, _)| narrowed.seqs.contains(*seq)).cloned().collect();
        assert!(read(view, &narrowed) == within);
        let mut lookup = view.lookup(&channel(name)).unwrap();
        for _ in 0..4 {
            let seq = self.dice.below(known.len() as u64 + 2);
            let held = lookup.get(base::Seq(seq)).unwrap().map(|held| (seq, held.event().payload.to_vec()));
            let due = expected.iter().find(|(known, _)| *known == seq).cloned();
            assert!(
                held.map(|(seq, payload)| (seq, String::from_utf8(payload).unwrap())) == due,
                "{name} {seq}"
            );
        }
        let last = self.dice.below(20);
        let newest = Selection { last: Some(last), ..narrowed.clone() };
        assert!(read(view, &newest) == within[within.len().saturating_sub(usize::try_from(last).unwrap())..]);
        let reverse = Selection { reverse: true, limit: Some(last), ..narrowed };
        let backward: Vec<_> = within.iter().rev().take(usize::try_from(last).unwrap()).cloned().collect();
        assert!(read(view, &reverse) == backward);
        let everything = view.read(&Selection::default()).unwrap().map(|event| event.unwrap());
        let of_channel: Vec<u64> =
            everything.filter(|event| event.channel == channel(name)).map(|event| event.seq.0).collect();
        assert_eq!(of_channel, kept, "in a reading of everything");
    }

    /// A tail from somewhere gives everything from there on, or says that it was given up.
    fn compare_tail(&self, name: &'static str) {
        let Some(known) = self.twin.channels.get(name) else { return };
        let from = self.dice.below(known.len() as u64 + 1);
        let selection = Selection { seqs: Bounds::from(from), ..Selection::channel(&channel(name)) };
        let mut tail = self.store.tail(selection);
        let mut seen = Vec::new();
        loop {
            match tail.next_batch() {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => seen.extend(batch.iter().map(|event| event.seq.0)),
                Err(ReadError::Trimmed { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(seen, (from..known.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn several_logs_agree_with_their_twin() {
    let moved = each_seed(0..40, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..250 {
            run.step();
        }
        run.reopen();
        for name in CHANNELS {
            run.compare(name);
        }
        run.store.close().unwrap();
        check(&run.world.doors);
        let view = run.store.reader().view();
        let channels = view.channels().unwrap();
        let parts = channels.iter().map(|history| history.parts.len()).max().unwrap();
        let trimmed = view.logs().iter().filter(|log| log.begins() > base::Position::ZERO).count();
        (parts, trimmed)
    });
    assert!(moved.iter().any(|(parts, _)| *parts > 3), "{moved:?}");
    assert!(moved.iter().filter(|(_, trimmed)| *trimmed > 0).count() > moved.len() / 3, "{moved:?}");
}
