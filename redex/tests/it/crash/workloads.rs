//! What is done before the power goes.

use std::time::Duration;

use base::{CrashImage, Fault, Seq};
use redex::{Ack, ChannelConfig, Compression, Expect};

use super::workload::{Step, Workload};
use crate::ledger::{Fill, Part, Repeat};

use Ack::{Durable, Staged, Written};
use Fill::{Text, Zeros};

const A: &str = "a";
const B: &str = "b/deep";
const C: &str = "c";

fn part(channel: &'static str, events: usize, fill: Fill) -> Part {
    Part { channel, events, fill }
}

/// Appends to one channel.
fn append(channel: &'static str, events: usize, fill: Fill, ack: Ack) -> Step {
    over(&[part(channel, events, fill)], ack)
}

/// Appends over channels, atomically.
fn over(parts: &[Part], ack: Ack) -> Step {
    Step::Append { parts: parts.to_vec(), repeat: Repeat::Never, expect: None, ack }
}

fn keyed(key: &'static str, channel: &'static str, fill: Fill, ack: Ack) -> Step {
    let parts = vec![part(channel, 1, fill)];
    Step::Append { parts, repeat: Repeat::Key(key), expect: None, ack }
}

fn produced(id: &'static str, number: u64, channel: &'static str, events: usize, ack: Ack) -> Step {
    let parts = vec![part(channel, events, Text(60))];
    Step::Append { parts, repeat: Repeat::Producer(id, number), expect: None, ack }
}

fn expecting(channel: &'static str, expect: Expect, ack: Ack) -> Step {
    let parts = vec![part(channel, 1, Text(30))];
    Step::Append { parts, repeat: Repeat::Never, expect: Some((channel, expect)), ack }
}

fn create(channel: &'static str, content_type: &str, ack: Ack) -> Step {
    Step::Create { channel, config: ChannelConfig::with_content_type(content_type), ack }
}

fn elapse(milliseconds: u64) -> Step {
    Step::Elapse(Duration::from_millis(milliseconds))
}

fn sectors(seed: u64) -> Step {
    Step::Crash(CrashImage::Sectors { seed })
}

fn reordered(seed: u64) -> Step {
    Step::Crash(CrashImage::Reordered { seed })
}

fn times(count: usize, steps: &[Step]) -> Vec<Step> {
    std::iter::repeat_n(steps, count).flatten().cloned().collect()
}

/// Returns all workloads.
pub fn all() -> Vec<Workload> {
    [appending(), sizes(), identities(), lifetimes(), segments(), crashes(), options(), failures(), damage()]
        .concat()
}

/// Levels of acknowledgement, and how they mix.
fn appending() -> Vec<Workload> {
    let mixed = [Durable, Written, Staged, Written, Durable, Staged, Staged, Durable];
    vec![
        Workload::new("nothing", []),
        Workload::new("one", [append(A, 1, Text(10), Durable)]),
        Workload::new("durable", times(4, &[append(A, 1, Text(40), Durable)])),
        Workload::new("written", times(5, &[append(A, 1, Text(40), Written)])),
        Workload::new("staged", times(5, &[append(A, 1, Text(40), Staged)])),
        Workload::new("mixed", mixed.map(|ack| append(A, 2, Text(120), ack))),
        Workload::new(
            "written-then-durable",
            [times(3, &[append(A, 3, Text(200), Written)]), vec![append(B, 1, Text(5), Durable)]].concat(),
        ),
        Workload::new(
            "staged-then-sync",
            [times(6, &[append(A, 1, Text(90), Staged)]), vec![Step::Sync, append(A, 1, Text(1), Written)]]
                .concat(),
        ),
        Workload::new(
            "flusher",
            [
                append(A, 1, Text(40), Written),
                elapse(50),
                append(A, 1, Text(40), Staged),
                elapse(60),
                append(B, 1, Text(600), Written),
                elapse(120),
            ],
        ),
        Workload::new(
            "signed-by-time",
            times(4, &[append(A, 1, Text(40), Written), elapse(6), append(B, 1, Text(40), Written)]),
        ),
        Workload::new(
            "over-channels",
            times(
                3,
                &[
                    over(&[part(A, 2, Text(30)), part(B, 1, Text(30)), part(A, 1, Text(30))], Written),
                    over(&[part(C, 1, Text(300)), part(A, 1, Text(3))], Durable),
                ],
            ),
        ),
        Workload::new(
            "one-entry-of-many-appends",
            [
                times(3, &[append(A, 1, Text(30), Staged), append(B, 2, Text(30), Staged)]),
                vec![over(&[part(A, 1, Text(9)), part(C, 1, Text(9))], Durable)],
            ]
            .concat(),
        ),
    ]
}

/// Sizes: below and above sectors, blocks and the space filled ahead; bodies that look like unwritten sectors.
fn sizes() -> Vec<Workload> {
    vec![
        Workload::new("around-a-sector", (300..304).map(|size| append(A, 1, Text(size), Written))),
        Workload::new("two-sectors", times(3, &[append(A, 1, Text(900), Written)])),
        Workload::new("many-sectors", times(2, &[append(A, 3, Text(5_000), Durable)])),
        Workload::new("batch", [append(A, 400, Text(20), Durable), append(B, 100, Text(80), Written)]),
        Workload::new(
            "beyond-a-block",
            [append(A, 3, Text(40_000), Written), append(A, 1, Text(70_000), Durable)],
        ),
        Workload::new(
            "beyond-what-is-filled",
            [append(A, 1, Text(200_000), Durable), append(A, 2, Text(150_000), Written)],
        ),
        Workload::new("entries-at-once", times(3, &[append(A, 4, Text(150_000), Staged)])),
        Workload::new(
            "zeros",
            [append(A, 1, Zeros(3_000), Written), append(A, 2, Zeros(700), Durable)]
                .into_iter()
                .chain(times(2, &[append(B, 1, Zeros(10_000), Written)])),
        ),
        Workload::new(
            "zeros-and-text",
            [
                over(&[part(A, 1, Zeros(2_000)), part(B, 1, Text(2_000))], Written),
                append(A, 1, Text(3), Durable),
                over(&[part(B, 3, Zeros(530)), part(A, 1, Text(1))], Written),
            ],
        ),
        Workload::new("empty-payloads", times(4, &[append(A, 3, Text(0), Written)])),
    ]
}

/// Keys, producers, conditions, channels.
fn identities() -> Vec<Workload> {
    vec![
        Workload::new(
            "keys",
            [
                keyed("k1", A, Text(40), Durable),
                keyed("k2", B, Text(40), Written),
                keyed("k1", A, Text(40), Written),
                keyed("k3", A, Zeros(1_200), Staged),
                keyed("k4", A, Text(4), Durable),
            ],
        ),
        Workload::new(
            "producers",
            [
                produced("p", 1, A, 2, Durable),
                produced("q", 10, B, 1, Written),
                produced("p", 2, A, 1, Written),
                produced("p", 2, A, 1, Written),
                produced("q", 12, A, 3, Durable),
            ],
        ),
        Workload::new("import", (1..9).map(|number| produced("import", number, A, 50, Written))),
        Workload::new(
            "import-durable-at-times",
            (1..9).map(|number| {
                let ack = if number % 3 == 0 { Durable } else { Staged };
                produced("import", number, if number % 2 == 0 { A } else { B }, 20, ack)
            }),
        ),
        Workload::new(
            "conditions",
            [
                expecting(A, Expect::NoChannel, Written),
                expecting(A, Expect::NoChannel, Written),
                expecting(A, Expect::Exact(Seq(1)), Staged),
                expecting(A, Expect::Exact(Seq(1)), Durable),
                expecting(B, Expect::Exists, Durable),
                expecting(A, Expect::Exists, Written),
            ],
        ),
        Workload::new(
            "channels",
            [
                create("x", "text/plain", Durable),
                create("y", "application/json", Written),
                create("y", "application/json", Written),
                create("y", "text/plain", Written),
                append(A, 1, Text(20), Written),
                create("z", "application/cbor", Staged),
                append(A, 1, Text(20), Durable),
            ],
        ),
        Workload::new(
            "erasable",
            [
                Step::Create { channel: A, config: ChannelConfig::of_erasable(), ack: Written },
                over(&[part(A, 3, Text(300)), part(B, 1, Text(20)), part(A, 1, Text(3))], Written),
                append(A, 2, Text(700), Durable),
                Step::Drop,
                append(A, 2, Text(20), Written),
                append(B, 1, Text(20), Staged),
            ],
        ),
        Workload::new("many-channels", {
            const NAMES: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];
            let all: Vec<_> = NAMES.iter().map(|name| part(name, 1, Text(15))).collect();
            [over(&all[..6], Written), over(&all, Durable), over(&all[3..], Written)]
        }),
    ]
}

/// Closing, dropping and opening again.
fn lifetimes() -> Vec<Workload> {
    let some = [append(A, 2, Text(100), Durable), append(B, 1, Text(30), Written)];
    vec![
        Workload::new("closed-empty", [Step::Close]),
        Workload::new("opened-twice-empty", [Step::Reopen, Step::Reopen, append(A, 1, Text(5), Written)]),
        Workload::new("closed", [some.to_vec(), vec![Step::Close]].concat()),
        Workload::new("closed-with-staged", [append(A, 1, Text(50), Staged), Step::Close]),
        Workload::new("reopened", times(3, &[some[0].clone(), some[1].clone(), Step::Reopen])),
        Workload::new("dropped", times(3, &[some[1].clone(), Step::Drop])),
        Workload::new(
            "reopened-with-memory",
            [
                keyed("k", A, Text(10), Written),
                produced("p", 3, B, 2, Durable),
                Step::Reopen,
                keyed("k", A, Text(10), Written),
                produced("p", 4, B, 1, Written),
                keyed("l", A, Text(10), Durable),
            ],
        ),
    ]
}

/// Segments that are sealed.
fn segments() -> Vec<Workload> {
    let large = |ack| append(A, 1, Text(30_000), ack);
    let roll = |name: &str, steps: Vec<Step>| Workload::new(name, steps).small_segments();
    vec![
        roll("roll-durable", times(5, &[large(Durable)])),
        roll("roll-written", times(8, &[large(Written)])),
        roll("roll-staged", times(10, &[large(Staged)])),
        roll("roll-within-a-batch", vec![append(A, 20, Text(30_000), Written), large(Durable)]),
        roll("roll-ends-with-the-batch", vec![append(A, 3, Text(25_000), Written), elapse(150)]),
        roll("roll-and-close", [times(3, &[large(Written)]), vec![Step::Close]].concat()),
        roll(
            "roll-and-reopen",
            times(3, &[large(Written), append(B, 1, Zeros(40_000), Written), Step::Reopen]),
        ),
        roll(
            "roll-with-memory",
            times(
                2,
                &[
                    keyed("k1", A, Text(10), Written),
                    produced("p", 5, B, 3, Written),
                    large(Staged),
                    create("x", "text/plain", Written),
                    large(Written),
                    keyed("k2", A, Text(10), Durable),
                ],
            ),
        ),
        roll("roll-on-import", (1..60).map(|number| produced("i", number, A, 40, Staged)).collect()),
        roll(
            "small-behind-a-roll",
            times(2, &[append(A, 1, Text(66_000), Written), append(B, 1, Text(7), Written), elapse(150)]),
        ),
    ]
}

/// Crashes inside the workload, so that the enumeration stops recoveries, too.
fn crashes() -> Vec<Workload> {
    let mut all = Vec::new();
    for seed in 0..6 {
        let written = [
            append(A, 1, Text(40), Durable),
            append(A, 3, Text(700), Written),
            append(B, 1, Zeros(2_000), Written),
            keyed("k", A, Text(900), Written),
        ];
        let then = [append(A, 1, Text(30), Written), append(B, 1, Text(5), Durable)];
        let crash = if seed % 3 == 2 { reordered(seed) } else { sectors(seed) };
        let steps = [written.to_vec(), vec![crash], then.to_vec()].concat();
        all.push(Workload::new(&format!("crashed-{seed}"), steps));
    }
    for seed in 0..3 {
        let steps = times(
            3,
            &[
                append(A, 2, Text(600), Written),
                sectors(seed),
                append(B, 2, Text(900), Written),
                sectors(seed + 9),
            ],
        );
        all.push(Workload::new(&format!("crashed-again-and-again-{seed}"), steps));
    }
    for (name, survivors) in [
        ("nothing", CrashImage::None),
        ("everything", CrashImage::All),
        ("half", CrashImage::Prefix { operations: 2 }),
    ] {
        let steps = [
            produced("p", 1, A, 2, Durable),
            produced("p", 2, A, 2, Written),
            produced("p", 3, A, 2, Written),
            Step::Crash(survivors),
            produced("p", 9, A, 1, Durable),
        ];
        all.push(Workload::new(&format!("crashed-with-{name}"), steps));
    }
    for seed in 0..3 {
        let steps = [
            append(A, 1, Text(40_000), Written),
            append(A, 1, Text(30_000), Written),
            append(B, 1, Text(20_000), Written),
            sectors(seed),
            append(A, 1, Text(30_000), Written),
            append(B, 1, Zeros(30_000), Durable),
        ];
        all.push(Workload::new(&format!("crashed-behind-a-roll-{seed}"), steps).small_segments());
    }
    all
}

/// Options at their ends.
fn options() -> Vec<Workload> {
    let some = times(3, &[append(A, 2, Text(100), Written), append(B, 1, Text(900), Durable)]);
    let staged = times(5, &[append(A, 1, Text(300), Staged)]);
    vec![
        Workload::new("smallest-segments", times(6, &[append(A, 2, Text(5_000), Written)]))
            .with(|options| options.segment_bytes = 16 << 10),
        Workload::new("stage-of-one-append", staged.clone()).with(|options| options.staged_bytes_max = 1),
        Workload::new("signed-always", some.clone()).with(|options| options.sign_within = Duration::ZERO),
        Workload::new("signed-rarely", [some.clone(), staged, vec![elapse(30), Step::Drop]].concat())
            .with(|options| options.sign_within = Duration::from_secs(60)),
        Workload::new("no-cache", some.clone()).with(|options| options.cache_bytes = 0),
        Workload::new("lz4", some.clone()).with(|options| options.compression = Compression::Lz4),
        Workload::new("zstd", [some, vec![Step::Reopen, append(A, 3, Zeros(4_000), Written)]].concat())
            .with(|options| options.compression = Compression::Zstd),
    ]
}

fn fail(ahead: u64, fault: Fault) -> Step {
    Step::Fail { ahead, fault }
}

/// Disks that fail or are full before the power goes.
fn failures() -> Vec<Workload> {
    const EIO: Fault = Fault::Error(5);
    const ENOSPC: Fault = Fault::Error(28);
    let first = append(A, 1, Text(300), Durable);
    let then = [append(A, 1, Text(700), Written), append(B, 1, Text(40), Durable)];
    let around = |fault: Step| [vec![first.clone(), fault], then.to_vec(), then.to_vec()].concat();
    let failed = |name: &str, steps: Vec<Step>| Workload::new(name, steps).faulty();
    let large = [append(A, 2, Text(30_000), Written), append(B, 1, Text(30_000), Durable)];
    let full = |free| {
        let steps = [vec![Step::Space(Some(free))], large.to_vec(), large.to_vec(), vec![Step::Space(None)]];
        [vec![first.clone()], steps.concat(), then.to_vec()].concat()
    };
    vec![
        failed("failed-write", around(fail(0, EIO))),
        failed("failed-sync", around(fail(2, EIO))),
        failed("no-space-for-a-write", around(fail(0, ENOSPC))),
        failed("short-writes", around(fail(0, Fault::Short { bytes: 520 }))),
        failed("slow", around(fail(0, Fault::Slow { time: Duration::from_millis(300) }))),
        failed("full", full(0)),
        failed("full-soon", full(70_000)),
        failed("full-between-segments", full(40_000)).small_segments(),
        failed("full-and-crashed", [full(10_000), vec![sectors(4)], then.to_vec()].concat()),
        failed("failed-sync-and-crashed", [around(fail(2, EIO)), vec![reordered(3)], then.to_vec()].concat()),
        failed(
            "failed-close",
            vec![first.clone(), then[0].clone(), fail(1, EIO), Step::Reopen, then[1].clone()],
        ),
        failed(
            "failed-roll",
            [vec![fail(9, EIO)], large.to_vec(), vec![fail(4, EIO)], large.to_vec(), then.to_vec()].concat(),
        )
        .small_segments(),
    ]
}

/// Logs that were damaged before the power goes.
fn damage() -> Vec<Workload> {
    let durable = times(4, &[append(A, 1, Text(300), Durable)]);
    let then = [append(A, 1, Text(700), Written), append(B, 1, Text(40), Durable)];
    vec![
        Workload::new("damaged", [durable.clone(), vec![Step::Damage(1)], then.to_vec()].concat()),
        Workload::new(
            "damaged-twice",
            [durable.clone(), vec![Step::Damage(0)], then.to_vec(), vec![Step::Damage(2)], then.to_vec()]
                .concat(),
        ),
        Workload::new(
            "damaged-and-crashed",
            [durable.clone(), vec![Step::Damage(2)], then.to_vec(), vec![sectors(2)], then.to_vec()].concat(),
        ),
        Workload::new(
            "damaged-and-rolled",
            [durable, vec![Step::Damage(1)], times(3, &[append(B, 1, Text(30_000), Written)])].concat(),
        )
        .small_segments(),
    ]
}
