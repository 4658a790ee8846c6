//! Random histories, against a naive twin that remembers what every event refers to.

use redex::{ChannelEvents, Selection};

use super::*;
use crate::support::{Dice, each_seed};

const CHANNELS: [(&str, bool); 5] =
    [("photos", false), ("photos/small", false), ("people", true), ("notes", true), ("rare", false)];

/// What the twin knows of an event.
#[derive(Debug)]
struct Known {
    name: &'static str,
    seq: u64,
    index: u64,
    references: Vec<u64>,
}

struct Run {
    world: World,
    options: LogOptions,
    store: Store,
    twin: Vec<Known>,
    dice: Dice,
    /// How many blobs were referred to so far.
    blobs: u64,
    sealed: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (world, dice) = (World::new(), Dice::new(seed));
        let mut options = small();
        if dice.chance(40) {
            options.retention = Retention::of_bytes(60 << 10);
        }
        let store = world.open_with(&options);
        for (name, erasable) in CHANNELS {
            let config = if erasable { ChannelConfig::of_erasable() } else { ChannelConfig::default() };
            store.main().create_channel(&channel(name), &config).unwrap().wait(Ack::Durable);
        }
        Self { world, options, store, twin: Vec::new(), dice, blobs: 0, sealed: 0 }
    }

    /// Picks what an event refers to: mostly nothing, else new blobs and those of before.
    fn references(&mut self) -> Vec<u64> {
        let count = if self.dice.chance(50) { 0 } else { 1 + self.dice.below(3) };
        let pick = |_| {
            if self.blobs > 0 && self.dice.chance(30) {
                return self.dice.below(self.blobs);
            }
            self.blobs += 1;
            self.blobs - 1
        };
        (0..count).map(pick).collect()
    }

    fn append(&mut self) {
        let parts = 1 + self.dice.below(3);
        let made: Vec<_> = (0..parts)
            .map(|_| {
                let (name, _) = *self.dice.pick(&CHANNELS);
                let references = self.references();
                let blobs: Vec<_> = references.iter().copied().map(reference).collect();
                (name, channel(name), references, blobs, vec![b'x'; self.dice.below(3_000) as usize])
            })
            .collect();
        let events: Vec<_> = made
            .iter()
            .map(|(.., blobs, payload)| [EventInput::new("k", payload).with_blobs(blobs)])
            .collect();
        let parts: Vec<_> = made
            .iter()
            .zip(&events)
            .map(|((_, channel, ..), events)| ChannelEvents { channel, events })
            .collect();
        let request = redex::AppendRequest { parts: &parts, ..redex::AppendRequest::default() };
        let ack = if self.dice.chance(50) { Ack::Written } else { Ack::Durable };
        let at = self.store.main().submit(&request).unwrap().wait(ack).into_result().unwrap().at;
        for (name, _, references, ..) in made {
            let before = self.twin.iter().rev().find(|known| known.name == name);
            let seq = before.map_or(0, |known| known.seq + 1);
            self.twin.push(Known { name, seq, index: at.index.0, references });
        }
    }

    fn redact(&mut self) {
        // A redaction syncs first, by which the log may give something up.
        self.store.main().sync().unwrap();
        let begins = self.store.main().reader().view().begins().0;
        let erasable: Vec<_> =
            CHANNELS.iter().filter(|(_, erasable)| *erasable).map(|(name, _)| *name).collect();
        let kept = |known: &&mut Known| erasable.contains(&known.name) && known.index >= begins;
        let mut candidates: Vec<_> = self.twin.iter_mut().filter(kept).collect();
        if candidates.is_empty() {
            return;
        }
        let place = self.dice.below(candidates.len() as u64) as usize;
        let known = &mut candidates[place];
        self.store.main().redact(&channel(known.name), known.seq..known.seq + 1, "").unwrap();
        known.references.clear();
    }

    /// Opens the log again: closed cleanly, or as a crash left what was written.
    fn reopen(&mut self) {
        if self.dice.chance(50) {
            self.store.close().unwrap();
            self.store = World::new().open();
        } else {
            self.world =
                World::on(self.world.disk.snapshot().image(&CrashImage::All), self.dice.below(1 << 30));
        }
        let report = self.world.verify();
        assert_eq!(report.faults, []);
        self.store = self.world.open_with(&self.options);
    }

    /// Returns the index of the first entry that the log's files have.
    fn first_kept(&self) -> u64 {
        self.store.main().reader().view().segments()[0].first_index.0
    }

    fn check(&mut self) {
        let beside = self.dice.chance(20);
        if beside {
            // What is synced others see, too; it may also let the log give something up.
            self.store.main().sync().unwrap();
        }
        let begins = self.first_kept();
        let held = self.twin.iter().filter(|known| known.index >= begins);
        let expected = hashes(held.flat_map(|known| known.references.iter().copied()));
        assert_eq!(visit(self.store.main().reader()), expected);
        self.sealed = self.sealed.max(self.store.main().reader().view().segments().len());
        if beside {
            let beside = StoreReader::open(Path::new(DIR), &self.world.doors, &small()).unwrap();
            assert_eq!(visit_all(&beside), expected);
            // What the twin takes for held is what readers find.
            let read = self.store.main().reader().view().read(&Selection::default()).unwrap();
            let read: Hashes = read.flat_map(|event| event.unwrap().blobs).map(|it| it.hash).collect();
            assert!(read.is_subset(&expected));
        }
    }
}

#[test]
fn what_is_visited_is_what_the_events_in_the_files_refer_to() {
    let sealed = each_seed(0..40, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            match run.dice.below(100) {
                0..80 => run.append(),
                80..88 => run.redact(),
                88..92 => run.reopen(),
                _ => {
                    run.world.clock.advance(Duration::from_millis(200));
                    run.store.main().flush_step();
                }
            }
            if run.dice.chance(30) {
                run.check();
            }
        }
        run.check();
        run.sealed
    });
    assert!(sealed.iter().all(|segments| *segments > 3), "{sealed:?}");
}
