//! Random operations on a log, compared with a naive twin after each of them.

use std::ops::Range;
use std::time::Duration;

use base::{Clock, Hash, Position, Seq, Timestamp};
use redex::{
    Ack, AppendRequest, BlobReference, Bounds, ChannelConfig, ChannelEvents, Channels, Expect, Idempotency,
    LogOptions, LogView, Lookup, Outcome, Selection, Store, Tail, Ticket,
};

use crate::support::{Dice, World, channel, each_seed, options};

mod twin;

use twin::{Decision, Input, Repeat, Request, Stored, Twin, channels_of, conditions, with_inputs};

/// Channels that are written; `never` is only read.
const CHANNELS: &[&str] = &["a", "a/b", "b", "rare", "sys/marks", "never"];
const KINDS: &[&str] = &["made", "changed", ""];
const KEYS: &[&str] = &["x", "y", ""];
const STEPS: usize = 60;

#[test]
fn reads_agree_with_the_twin_in_small_logs() {
    each_seed(0..120, |seed| Run::new(seed, 0..40).run());
}

#[test]
fn reads_agree_with_the_twin_over_many_segments() {
    let segments = each_seed(1000..1060, |seed| Run::new(seed, 0..30_000).run());
    assert!(segments.iter().any(|segments| *segments > 6) || segments.len() < 20, "{segments:?}");
}

#[test]
fn reads_agree_with_the_twin_where_entries_are_as_large_as_segments() {
    let segments = each_seed(2000..2020, |seed| Run::new(seed, 10_000..90_000).run());
    assert!(segments.iter().any(|segments| *segments > 12) || segments.len() < 20, "{segments:?}");
}

struct Run {
    world: World,
    options: LogOptions,
    dice: Dice,
    payload_bytes: Range<u64>,
    store: Store,
    twin: Twin,
    tickets: Vec<(Ticket, Outcome)>,
    tails: Vec<Following>,
    /// Readers of single events, of views that were the newest at some time.
    lookups: Vec<(Position, Lookup)>,
    /// What somebody was told to be durable.
    acknowledged: Position,
    /// Requests that may be repeated.
    requests: Vec<Request>,
}

/// A tail and what it gave so far.
struct Following {
    tail: Tail,
    selection: Selection,
    given: Vec<Stored>,
}

impl Run {
    fn new(seed: u64, payload_bytes: Range<u64>) -> Self {
        let world = World::on(base::SimulatedDisk::new(), seed);
        let mut options = options();
        options.segment_bytes = 64 << 10;
        let dice = Dice::new(seed);
        if dice.chance(30) {
            options.staged_bytes_max = dice.below(20_000) + 1;
        }
        if dice.chance(30) {
            options.cache_bytes = 0;
        }
        let store = world.open_with(&options);
        Self {
            world,
            options,
            dice,
            payload_bytes,
            store,
            twin: Twin::default(),
            tickets: Vec::new(),
            tails: Vec::new(),
            lookups: Vec::new(),
            acknowledged: Position::ZERO,
            requests: Vec::new(),
        }
    }

    /// Returns how many segments the log had in the end.
    fn run(mut self) -> usize {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.reopen();
        self.check();
        self.store.close().unwrap();
        assert_eq!(self.world.verify().faults, []);
        self.store.main().reader().view().segments().len()
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..50 => self.submit(),
            50..56 => self.create_channel(),
            56..72 => self.settle(),
            72..77 => {
                let position = self.store.main().sync().unwrap();
                self.acknowledged = self.acknowledged.max(position);
            }
            77..85 => self.pass_time(),
            85..91 => self.follow(),
            91..96 => self.reopen(),
            _ => self.point_reads(),
        }
    }

    fn now(&self) -> i64 {
        self.world.clock.now().as_nanos()
    }

    fn submit(&mut self) {
        let request = self.request();
        let decision = self.twin.decide(&request);
        let now = self.now();
        let ticket = self.submitted(&request);
        let outcome = ticket.wait(Ack::Staged);
        match (&decision, &outcome) {
            (Decision::Append, Outcome::Appended { at }) => self.twin.append(&request, at, now),
            (Decision::Already(known), Outcome::AlreadyAppended { at }) => assert_eq!(known, at),
            (Decision::Rejected(due), Outcome::Rejected { reason, .. }) => assert_eq!(due, reason),
            _ => panic!("{request:?} gave {outcome:?} instead of {decision:?}"),
        }
        if let Repeat::Producer { id, .. } = &request.repeat {
            let known = self.store.main().producer(id).map(|producer| producer.number);
            assert_eq!(known, self.twin.producer(id));
        }
        self.requests.push(request);
        self.tickets.push((ticket, outcome));
    }

    fn submitted(&self, request: &Request) -> Ticket {
        let names: Vec<_> = request.parts.iter().map(|(name, _)| channel(name)).collect();
        let inputs: Vec<Input> = request.parts.iter().flat_map(|(_, events)| events.clone()).collect();
        let conditions = conditions(request);
        let idempotency = match &request.repeat {
            Repeat::None => Idempotency::None,
            Repeat::Key(key) => Idempotency::Key(key),
            Repeat::Producer { id, number, digest } => {
                Idempotency::Producer { id, number: *number, digest: *digest }
            }
        };
        with_inputs(&inputs, |mut events| {
            let parts: Vec<_> = names
                .iter()
                .zip(&request.parts)
                .map(|(channel, (_, part))| {
                    let (own, rest) = events.split_at(part.len());
                    events = rest;
                    ChannelEvents { channel, events: own }
                })
                .collect();
            let request = AppendRequest { parts: &parts, conditions: &conditions, idempotency };
            self.store.main().submit(&request).unwrap()
        })
    }

    fn request(&self) -> Request {
        let dice = &self.dice;
        if dice.chance(10) && !self.requests.is_empty() {
            return dice.pick(&self.requests).clone();
        }
        let parts = match dice.below(10) {
            0 => 0,
            1..8 => 1,
            _ => dice.below(4) + 1,
        };
        let parts = (0..parts)
            .map(|_| {
                let count = if dice.chance(5) { 0 } else { dice.below(3) + 1 };
                (self.channel_to_write(), (0..count).map(|_| self.input()).collect())
            })
            .collect();
        let conditions = (0..if dice.chance(25) { dice.below(2) + 1 } else { 0 })
            .map(|_| {
                let name = *dice.pick(CHANNELS);
                let next = self.twin.next_seq(name).unwrap_or(0);
                let expect = match dice.below(6) {
                    0 => Expect::Any,
                    1 => Expect::NoChannel,
                    2 => Expect::Exists,
                    3 => Expect::Exact(Seq(dice.below(next + 2))),
                    _ => Expect::Exact(Seq(next)),
                };
                (name.to_owned(), expect)
            })
            .collect();
        let repeat = match dice.below(10) {
            0 | 1 => Repeat::Key(format!("key-{}", dice.below(5))),
            2 | 3 => {
                let id = format!("producer-{}", dice.below(2));
                let last = self.twin.producer(&id).unwrap_or(0);
                let number = (last + dice.below(3)).saturating_sub(1);
                let digest = dice.chance(30).then(|| Hash::of(&[dice.byte() % 2]));
                Repeat::Producer { id, number, digest }
            }
            _ => Repeat::None,
        };
        Request { parts, conditions, repeat }
    }

    fn channel_to_write(&self) -> String {
        let name = match self.dice.below(20) {
            0 => "rare",
            1..10 => "a",
            10..14 => "a/b",
            14..18 => "b",
            _ => "sys/marks",
        };
        name.to_owned()
    }

    fn input(&self) -> Input {
        let dice = &self.dice;
        let mut input = Input { kind: (*dice.pick(KINDS)).to_owned(), ..Input::default() };
        input.key = dice.chance(60).then(|| (*dice.pick(KEYS)).to_owned());
        if dice.chance(20) {
            input.headers =
                (0..dice.below(3)).map(|n| (format!("h{n}"), vec![dice.byte(); n as usize])).collect();
        }
        input.time = dice.chance(30).then(|| dice.below(1000) as i64 - 500);
        if dice.chance(10) {
            input.blobs = vec![BlobReference { hash: Hash::of(&[dice.byte()]), bytes: dice.below(1 << 40) }];
        }
        let span = self.payload_bytes.end - self.payload_bytes.start;
        let bytes = self.payload_bytes.start + dice.below(if dice.chance(60) { span / 20 + 1 } else { span });
        // Every other payload is full of zeros, so that frames are escaped.
        let fill = if dice.chance(50) { 0 } else { dice.byte() };
        input.payload = vec![fill; usize::try_from(bytes).unwrap()];
        input
    }

    fn create_channel(&mut self) {
        let name = *self.dice.pick(&CHANNELS[..5]);
        let config = match self.dice.below(3) {
            0 => ChannelConfig::default(),
            1 => ChannelConfig::with_content_type("application/json"),
            _ => ChannelConfig::with_content_type(""),
        };
        let now = self.now();
        let ticket = self.store.main().create_channel(&channel(name), &config).unwrap();
        let outcome = ticket.wait(Ack::Staged);
        self.twin.create_channel(name, &config, &outcome, now);
        self.tickets.push((ticket, outcome));
    }

    /// Waits for a ticket, or drops it.
    fn settle(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let place = self.dice.below(self.tickets.len() as u64) as usize;
        let (ticket, outcome) = self.tickets.swap_remove(place);
        match self.dice.below(5) {
            0 => assert_eq!(ticket.wait(Ack::Staged), outcome),
            1 | 2 => {
                assert_eq!(ticket.wait(Ack::Written), outcome);
                self.tickets.push((ticket, outcome));
            }
            3 => {
                assert_eq!(ticket.wait(Ack::Durable), outcome);
                if let Outcome::Appended { at } | Outcome::AlreadyAppended { at } = &outcome
                    && !at.ranges().is_empty()
                {
                    self.acknowledged = self.acknowledged.max(at.position());
                }
            }
            _ => drop(ticket),
        }
    }

    fn pass_time(&mut self) {
        self.world.clock.advance(Duration::from_micros(self.dice.below(150_000)));
        if let Some(due) = self.store.main().flush_step() {
            let now = self.world.clock.monotonic();
            assert!(due <= now + self.options.sync_within);
            if self.dice.chance(50) {
                self.world.clock.advance(due.saturating_sub(now));
                self.store.main().flush_step();
            }
        }
    }

    fn reopen(&mut self) {
        if self.dice.chance(50) {
            self.store.close().unwrap();
        }
        for (ticket, outcome) in std::mem::take(&mut self.tickets) {
            if self.dice.chance(50) {
                assert_eq!(ticket.wait(Ack::Durable), outcome);
            }
        }
        self.store.close().unwrap();
        self.check();
        for following in std::mem::take(&mut self.tails) {
            assert!(following.tail.is_ended());
        }
        let closed_at = self.store.main().reader().visible();
        self.store = self.world.open_with(&self.options);
        assert!(!self.store.recovery().unclean);
        assert_eq!(self.store.main().reader().visible(), closed_at);
        self.acknowledged = closed_at;
    }

    fn follow(&mut self) {
        let mut selection = self.selection(Position(u64::MAX));
        selection.last = None;
        selection.limit = None;
        selection.reverse = false;
        let tail = self.store.main().reader().tail(selection.clone());
        self.tails.push(Following { tail, selection, given: Vec::new() });
    }

    fn check(&mut self) {
        let view = self.store.main().reader().view();
        assert!(view.position() >= self.acknowledged, "what is durable is visible");
        self.check_channels(&view);
        let latest = self.twin.events.iter().rfind(|event| event.index < view.position().0);
        if let Some(latest) = latest {
            assert!(view.last_recorded_at().unwrap().as_nanos() >= latest.recorded_at);
        }
        for _ in 0..2 {
            let selection = self.selection(view.position());
            self.check_read(&view, &selection);
        }
        let earlier = self.store.main().reader().view_at(Position(self.dice.below(view.position().0 + 2)));
        assert!(earlier.position() <= view.position());
        let selection = self.selection(earlier.position());
        self.check_read(&earlier, &selection);
        if self.dice.chance(10) {
            self.check_channels(&earlier);
        }
        self.check_tails(view.position());
        self.check_lookups(&[view, earlier]);
    }

    /// Looks single events up, by readers of new and of old views; they share what the log keeps in memory.
    fn check_lookups(&mut self, views: &[LogView]) {
        let name = channel(self.dice.pick::<&str>(CHANNELS));
        self.lookups.extend(views.iter().map(|view| (view.position(), view.lookup(&name))));
        while self.lookups.len() > 8 {
            self.lookups.swap_remove(self.dice.below(self.lookups.len() as u64) as usize);
        }
        let most = self.twin.channels.values().map(|channel| channel.next).max().unwrap_or(0);
        for (position, lookup) in &mut self.lookups {
            for _ in 0..3 {
                let seq = self.dice.below(most + 2);
                let found = lookup.get(Seq(seq)).unwrap().map(|held| held.event().to_event());
                let seqs = Bounds::between(seq, seq + 1);
                let selection = Selection { seqs, ..Selection::channel(lookup.channel()) };
                let due = self.twin.select(&selection, *position);
                let found: Vec<Stored> = found.iter().map(Stored::from).collect();
                assert_same(&found.iter().collect::<Vec<_>>(), &due, &selection, *position);
            }
        }
    }

    fn check_channels(&self, view: &LogView) {
        let position = view.position();
        assert_eq!(channels_of(view.channels().unwrap()), self.twin.channels_at(position), "at {position}");
        for name in CHANNELS {
            let found = view.channel(&channel(name)).unwrap();
            let known = self.twin.channels.get(*name).filter(|known| known.created_index < position.0);
            assert_eq!(found.map(|info| info.created_index.0), known.map(|known| known.created_index));
        }
    }

    fn check_tails(&mut self, position: Position) {
        for following in &mut self.tails {
            loop {
                let batch = following.tail.next_batch().unwrap();
                if batch.is_empty() {
                    break;
                }
                following.given.extend(batch.iter().map(Stored::from));
            }
            assert!(following.tail.position() >= position || following.selection.indexes.from.is_some());
            let due = self.twin.select(&following.selection, position);
            assert_same(&following.given.iter().collect::<Vec<_>>(), &due, &following.selection, position);
        }
    }

    fn check_read(&self, view: &LogView, selection: &Selection) {
        let found: Vec<Stored> =
            view.read(selection).unwrap().map(|event| Stored::from(&event.unwrap())).collect();
        let due = self.twin.select(selection, view.position());
        assert_same(&found.iter().collect::<Vec<_>>(), &due, selection, view.position());
        let mut scan = view.scan(selection).unwrap();
        let mut events = 0;
        while let Some(chunk) = scan.next_chunk().unwrap() {
            assert!(!chunk.is_empty());
            events += chunk.len() as u64;
        }
        assert_eq!((events, scan.statistics().events), (found.len() as u64, found.len() as u64));
        assert!(scan.next_chunk().unwrap().is_none(), "the end stays the end");
    }

    /// Reads single events by number: one index block, and no more of the log than lies between two points.
    fn point_reads(&mut self) {
        let view = self.store.main().reader().view();
        for _ in 0..5.min(self.twin.events.len()) {
            let event = self.dice.pick(&self.twin.events);
            let mut selection = Selection::channel(&channel(&event.channel));
            selection.seqs = Bounds::between(event.seq, event.seq + 1);
            selection.reverse = self.dice.chance(30);
            self.check_read(&view, &selection);
            let mut scan = view.scan(&selection).unwrap();
            while scan.next_chunk().unwrap().is_some() {}
            let statistics = scan.statistics();
            assert!(statistics.index_blocks <= 1, "{selection:?}: {statistics:?}");
            assert!(statistics.segments <= 1, "{selection:?}: {statistics:?}");
        }
    }

    fn selection(&self, position: Position) -> Selection {
        let dice = &self.dice;
        let mut selection = Selection::default();
        if dice.chance(70) {
            let count = if dice.chance(70) { 1 } else { dice.below(3) };
            let names = (0..count).map(|_| channel(dice.pick::<&str>(CHANNELS))).collect();
            selection.channels = Channels::Names(names);
        }
        let most = self.twin.channels.values().map(|channel| channel.next).max().unwrap_or(0);
        if dice.chance(35) {
            selection.seqs = self.bounds(most + 2);
        }
        if dice.chance(35) {
            let end = self.twin.events.last().map_or(0, |event| event.index).min(position.0);
            selection.indexes = self.bounds(end + 3);
        }
        if dice.chance(35) {
            let time = |_| {
                let event = self.twin.events.get(dice.below(self.twin.events.len() as u64 + 1) as usize);
                let nanos = event.map_or(self.now(), |event| event.recorded_at);
                Timestamp::from_nanos(nanos + dice.below(3) as i64 - 1)
            };
            let bounds = self.bounds(2);
            selection.recorded = Bounds { from: bounds.from.map(time), to: bounds.to.map(time) };
        }
        if dice.chance(15) {
            selection.kinds = Some((0..dice.below(3)).map(|_| (*dice.pick(KINDS)).to_owned()).collect());
        }
        if dice.chance(15) {
            selection.keys = Some((0..dice.below(3)).map(|_| (*dice.pick(KEYS)).to_owned()).collect());
        }
        selection.reverse = dice.chance(35);
        selection.limit = dice.chance(20).then(|| dice.below(8));
        selection.last = dice.chance(20).then(|| dice.below(8));
        selection.skip_holes = dice.chance(20);
        selection
    }

    /// Returns a range below `end`, possibly half open, empty or inverted.
    fn bounds(&self, end: u64) -> Bounds<u64> {
        let one = |share| self.dice.chance(share).then(|| self.dice.below(end));
        let (mut from, mut to) = (one(70), one(60));
        if from > to && to.is_some() && self.dice.chance(80) {
            (from, to) = (to, from);
        }
        Bounds { from, to }
    }
}

#[track_caller]
fn assert_same(found: &[&Stored], due: &[&Stored], selection: &Selection, position: Position) {
    if found == due {
        return;
    }
    let place = found.iter().zip(due).take_while(|(found, due)| found == due).count();
    let short = |events: &[&Stored]| -> Vec<String> {
        let text =
            |event: &&Stored| format!("{} {} at {}.{}", event.channel, event.seq, event.index, event.ordinal);
        events.iter().skip(place).take(3).map(text).collect()
    };
    let (found_rest, due_rest) = (short(found), short(due));
    panic!(
        "{selection:?} below {position}: {} events instead of {}; they differ from place {place} on: \
         {found_rest:?} instead of {due_rest:?}",
        found.len(),
        due.len()
    );
}
