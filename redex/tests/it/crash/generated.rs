//! Workloads that a seed makes up.

use std::time::Duration;

use base::{CrashImage, Fault};
use redex::{Ack, ChannelConfig, Compression};

use super::workload::{Step, Workload};
use crate::ledger::{Fill, Part, Repeat};
use crate::support::Dice;

const CHANNELS: [&str; 5] = ["a", "b/deep", "c", "d", "e/f/g"];
const KEYS: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
const BYTES: [usize; 11] = [0, 1, 30, 100, 300, 420, 512, 900, 3_000, 9_000, 40_000];

/// Makes up the workload of a seed.
pub fn workload(seed: u64) -> Workload {
    let dice = Dice::new(seed ^ 0x0047_656e_6572_6174);
    let count = 5 + dice.below(9);
    let mut made = Made { dice, keys: 0, numbers: 0, faulty: false };
    let steps: Vec<_> = (0..count).flat_map(|_| made.steps()).collect();
    let mut workload = Workload::new(&format!("generated-{seed}"), steps);
    workload.faulty = made.faulty;
    workload.with(|options| {
        options.segment_bytes = *made.dice.pick(&[16 << 10, 64 << 10, 1 << 20]);
        options.sync_within = Duration::from_millis(*made.dice.pick(&[1, 40, 100]));
        options.sign_within = Duration::from_millis(*made.dice.pick(&[0, 5, 1_000]));
        options.staged_bytes_max = *made.dice.pick(&[1 << 10, 32 << 20]);
        options.compression = *made.dice.pick(&[Compression::None, Compression::Lz4, Compression::Zstd]);
    })
}

struct Made {
    dice: Dice,
    /// Keys used so far, and numbers of the one producer.
    keys: usize,
    numbers: u64,
    faulty: bool,
}

impl Made {
    fn steps(&mut self) -> Vec<Step> {
        match self.dice.below(40) {
            0 | 1 => vec![Step::Reopen],
            2 => vec![Step::Drop],
            3 | 4 => vec![Step::Sync],
            5..8 => vec![Step::Elapse(Duration::from_millis(1 + self.dice.below(150)))],
            8 | 9 => vec![Step::Crash(self.survivors())],
            10 => self.create(),
            11 | 12 => self.fault(),
            13 => self.full(),
            14 => (0..3 + self.dice.below(9)).map(|_| self.append()).collect(),
            _ => vec![self.append()],
        }
    }

    fn ack(&self) -> Ack {
        *self.dice.pick(&[Ack::Durable, Ack::Durable, Ack::Written, Ack::Written, Ack::Staged])
    }

    fn survivors(&self) -> CrashImage {
        let seed = self.dice.below(1_000);
        let few = usize::try_from(seed % 4).unwrap();
        *self.dice.pick(&[
            CrashImage::None,
            CrashImage::All,
            CrashImage::Prefix { operations: few },
            CrashImage::Sectors { seed },
            CrashImage::Sectors { seed },
            CrashImage::Reordered { seed },
            CrashImage::SizeBeforeData { writes: few },
            CrashImage::DataBeforeSize { operations: few },
        ])
    }

    fn part(&self) -> Part {
        let bytes = *self.dice.pick(&BYTES);
        let events = if self.dice.chance(70) { 1 } else { 1 + self.dice.below(6) };
        Part {
            channel: self.dice.pick::<&'static str>(&CHANNELS),
            events: usize::try_from(events).unwrap(),
            fill: if self.dice.chance(15) { Fill::Zeros(bytes) } else { Fill::Text(bytes) },
        }
    }

    fn append(&mut self) -> Step {
        let parts = (0..=self.dice.below(10) / 8).map(|_| self.part()).collect();
        let repeat = match self.dice.below(10) {
            0 if self.keys < KEYS.len() => {
                self.keys += 1;
                Repeat::Key(KEYS[self.keys - 1])
            }
            1 | 2 => {
                self.numbers += 1 + self.dice.below(3);
                Repeat::Producer("p", self.numbers)
            }
            _ => Repeat::Never,
        };
        Step::Append { parts, repeat, expect: None, ack: self.ack() }
    }

    fn create(&self) -> Vec<Step> {
        let channel = self.dice.pick(&["x", "y", "z"]);
        let config = ChannelConfig::with_content_type(&format!("text/{channel}"));
        vec![Step::Create { channel, config, ack: self.ack() }]
    }

    /// Lets one of the next operations fail.
    fn fault(&mut self) -> Vec<Step> {
        self.faulty = true;
        let bytes = self.dice.below(1_200);
        let time = Duration::from_millis(self.dice.below(200));
        let fault = *self.dice.pick(&[
            Fault::Error(5),
            Fault::Error(5),
            Fault::Error(28),
            Fault::Short { bytes },
            Fault::Slow { time },
        ]);
        vec![Step::Fail { ahead: self.dice.below(5), fault }, self.append(), self.append()]
    }

    /// Appends to a disk that is about to be full, and makes room.
    fn full(&mut self) -> Vec<Step> {
        self.faulty = true;
        let free = *self.dice.pick(&[0, 100, 5_000, 300_000]);
        let mut steps = vec![Step::Space(Some(free))];
        steps.extend((0..4).map(|_| self.append()));
        steps.push(Step::Space(None));
        steps
    }
}
