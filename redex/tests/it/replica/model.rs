//! Random appends, flushes, votes, commits, truncations, purges, reopenings and crashes, beside a naive twin.

use std::collections::BTreeMap;

use base::{ManualClock, MemoryDisk, Random, SimulatedDisk, SystemDisk, Timestamp};
use redex::Bounds;

use super::*;
use crate::support::{Dice, TemporaryDirectory, each_seed};

/// What a replica should hold.
#[derive(Debug, Clone, Default)]
struct Twin {
    /// Every entry that is not purged, with its events.
    entries: Vec<(ReplicaEntry, Vec<(String, String)>)>,
    purged: Option<Slot>,
    vote: Option<Vote>,
    committed: u64,
    /// Up to here durability was told.
    durable: u64,
}

impl Twin {
    fn first(&self) -> u64 {
        self.purged.map_or(0, |slot| slot.index.0 + 1)
    }

    fn next(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }

    fn last(&self) -> Option<Slot> {
        self.entries.last().map(|(entry, _)| entry.slot).or(self.purged)
    }

    fn cut(&mut self, next: u64) {
        let kept = next.saturating_sub(self.first());
        self.entries.truncate(usize::try_from(kept).unwrap());
        self.durable = self.durable.min(next);
    }
}

struct Run {
    doors: Doors,
    dir: std::path::PathBuf,
    disk: Option<SimulatedDisk>,
    clock: Arc<ManualClock>,
    log: Option<ReplicaLog>,
    twin: Twin,
    proposer: Option<Proposer>,
    term: u64,
    told: Told,
    told_up_to: BTreeMap<u64, u64>,
    appends: u64,
    dice: Dice,
}

impl Run {
    fn new(seed: u64, disk: Arc<dyn base::Disk>, simulated: Option<SimulatedDisk>, dir: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let doors = Doors { clock: clock.clone(), random, disk };
        let mut run = Self {
            doors,
            dir: dir.to_owned(),
            disk: simulated,
            clock,
            log: None,
            twin: Twin::default(),
            proposer: None,
            term: 1,
            told: Told::default(),
            told_up_to: BTreeMap::new(),
            appends: 0,
            dice: Dice::new(seed),
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.proposer = None;
        self.term += 1;
        let log = ReplicaLog::open(&self.dir, &identity(), &self.doors, &small()).unwrap();
        assert_eq!(log.doubt(), None, "no crash takes what others were told");
        self.log = Some(log);
    }

    fn log(&self) -> &ReplicaLog {
        self.log.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..7 => self.append(),
            7..11 => self.flush(),
            11 => self.vote(),
            12..14 => self.commit(),
            14..16 => self.truncate(),
            16 => self.purge(),
            17 => self.reopen(),
            18 => self.crash(),
            _ => self.clock.advance(std::time::Duration::from_millis(700)),
        }
        self.check();
    }

    fn append(&mut self) {
        let count = 1 + self.dice.below(6);
        let mut batch = Vec::new();
        for _ in 0..count {
            let next = self.twin.next() + batch.len() as u64;
            if self.dice.below(5) == 0 {
                // What consensus writes breaks a leader's chain, who begins anew behind it.
                if batch.is_empty() {
                    self.proposer = None;
                    batch.push((blank(self.term, next), Vec::new()));
                }
                break;
            }
            let log = self.log.as_ref().unwrap();
            let term = Term(self.term);
            let proposer =
                self.proposer.get_or_insert_with(|| log.proposer(term, NodeId(1), leader(self.term % 3 + 1)));
            let mut events = Vec::new();
            for _ in 0..=self.dice.below(3) {
                let name = *self.dice.pick(&["a", "b", "c"]);
                let payload = format!(
                    "{}-{}",
                    self.appends,
                    "x".repeat(usize::try_from(self.dice.below(900)).unwrap())
                );
                self.appends += 1;
                submit(proposer, name, &payload);
                events.push((name.to_owned(), payload));
            }
            let mut sealed = proposer.seal();
            assert_eq!(sealed.len(), 1);
            batch.push((sealed.remove(0), events));
        }
        let sends = self.dice.below(2) == 0;
        let entries: Vec<_> =
            batch.iter().map(|(entry, _)| if sends { sent(entry) } else { entry.clone() }).collect();
        self.appends += 1;
        self.told_up_to.insert(self.appends, self.twin.next() + entries.len() as u64);
        self.log().append(&entries, noting(&self.told, self.appends)).unwrap();
        self.twin.entries.extend(batch);
    }

    fn flush(&mut self) {
        self.log().flush_step();
        assert_eq!(self.log().state().durable.0, self.twin.next());
        assert_eq!(self.log().state().visible.0, self.may_be_seen());
    }

    fn may_be_seen(&self) -> u64 {
        self.log().state().durable.0.min(self.twin.committed).max(self.twin.first())
    }

    fn vote(&mut self) {
        self.term += 1;
        let vote = Vote { term: Term(self.term), node: NodeId(3), committed: self.dice.below(2) == 0 };
        self.log().save_vote(vote).unwrap();
        self.twin.vote = Some(vote);
        self.proposer = None;
        assert_eq!(self.log().state().durable.0, self.twin.next(), "a vote is a barrier");
    }

    fn commit(&mut self) {
        let next = self.twin.next();
        let span = next - self.twin.committed.min(next);
        let committed = self.twin.committed + self.dice.below(span + 1);
        let Some(at) = committed.checked_sub(self.twin.first() + 1) else { return };
        let slot = self.twin.entries[usize::try_from(at).unwrap()].0.slot;
        self.log().save_committed(Some(slot)).unwrap();
        self.twin.committed = committed;
    }

    fn truncate(&mut self) {
        let least = self.twin.committed.max(self.twin.first());
        let next = least + self.dice.below(self.twin.next() - least + 1);
        self.log().truncate_after(next.checked_sub(1).map(Index)).unwrap();
        self.twin.cut(next);
        self.proposer = None;
        self.term += 1;
    }

    fn purge(&mut self) {
        let span = self.twin.committed.saturating_sub(self.twin.first());
        if span == 0 {
            return;
        }
        let gone = usize::try_from(self.dice.below(span)).unwrap();
        let slot = self.twin.entries[gone].0.slot;
        self.log().purge(slot).unwrap();
        self.twin.entries.drain(..=gone);
        self.twin.purged = Some(slot);
    }

    fn reopen(&mut self) {
        if self.dice.below(2) == 0 {
            self.log().close().unwrap();
        }
        self.log = None;
        self.note_told();
        assert_eq!(self.twin.durable, self.twin.next(), "closing makes everything durable");
        let (dir, doors) = (self.dir.clone(), self.doors.clone());
        let report = redex::verify(&dir, &doors, &redex::VerifyOptions::default()).unwrap();
        assert_eq!(report.faults, []);
        self.open();
    }

    fn crash(&mut self) {
        let Some(disk) = self.disk.clone() else { return };
        self.note_told();
        let image = *self.dice.pick(&images(self.dice.below(1 << 20)));
        disk.power_off();
        self.proposer = None;
        self.log = None;
        self.told.lock().unwrap().clear();
        disk.restart(&image);
        self.open();
        let next = self.log().state().last.map_or(0, |last| last.index.0 + 1);
        assert!(next >= self.twin.durable, "{next} of {} durable entries, {image:?}", self.twin.durable);
        assert!(next <= self.twin.next(), "entries that nobody appended, {image:?}");
        self.twin.cut(next);
        self.twin.durable = next;
        // What was known of commits may be lost, and is never beyond the end.
        let committed = self.log().committed().map_or(0, |slot| slot.index.0 + 1);
        assert!(committed <= self.twin.committed.max(self.twin.first()).min(next), "{image:?}");
        self.twin.committed = committed.max(self.twin.first());
    }

    fn note_told(&mut self) {
        for (number, outcome) in std::mem::take(&mut *self.told.lock().unwrap()) {
            assert_eq!(outcome, Ok(()));
            let up_to = self.told_up_to.remove(&number).expect("each is told once");
            self.twin.durable = self.twin.durable.max(up_to.min(self.twin.next()));
        }
    }

    fn check(&mut self) {
        self.note_told();
        let log = self.log();
        let state = log.state();
        assert_eq!((state.purged, state.last), (self.twin.purged, self.twin.last()));
        assert_eq!(log.vote(), self.twin.vote);
        assert!(self.twin.durable <= state.durable.0);
        let wanted: Vec<_> = self.twin.entries.iter().map(|(entry, _)| entry.clone()).collect();
        assert_eq!(all(log), wanted);
        // Readers see nothing but what is committed and durable; all of it once the flusher has acted.
        let seen = state.visible.0;
        assert!(seen <= self.may_be_seen(), "{state:?}, committed {}", self.twin.committed);
        for name in ["a", "b", "c"] {
            let indexes = Bounds::from(self.twin.first());
            let selection = Selection { indexes, ..Selection::channel(&channel(name)) };
            let read = payloads(&log.reader().view(), &selection);
            let visible = usize::try_from(seen - self.twin.first()).unwrap();
            let events = self.twin.entries[..visible].iter().flat_map(|(_, events)| events);
            let wanted: Vec<_> =
                events.filter(|(of, _)| of == name).map(|(_, payload)| payload.clone()).collect();
            assert_eq!(read, wanted, "channel {name}");
        }
    }
}

fn drive(mut run: Run, steps: usize) -> usize {
    for _ in 0..steps {
        run.step();
    }
    run.reopen();
    run.check();
    run.twin.entries.len()
}

#[test]
fn a_replica_on_a_simulated_disk_agrees_with_its_twin_through_crashes() {
    let entries = each_seed(0..60, |seed| {
        let disk = SimulatedDisk::new();
        drive(Run::new(seed, Arc::new(disk.clone()), Some(disk), Path::new(DIR)), 80)
    });
    assert!(entries.into_iter().sum::<usize>() > 0);
}

#[test]
fn a_replica_in_memory_agrees_with_its_twin() {
    each_seed(0..20, |seed| drive(Run::new(seed, Arc::new(MemoryDisk::new()), None, Path::new(DIR)), 80));
}

#[test]
fn a_replica_on_the_disk_of_this_machine_agrees_with_its_twin() {
    each_seed(0..4, |seed| {
        let dir = TemporaryDirectory::new();
        drive(Run::new(seed, Arc::new(SystemDisk), None, dir.path()), 60)
    });
}
