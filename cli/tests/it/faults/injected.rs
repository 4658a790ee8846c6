//! System calls that fail or are the last of the process, by the tracer's injection.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use netdb::base::SeededRandom;

use super::{Ended, pick};
use crate::support::{BINARY, Place, Run, finish, numbers_in, values};

/// What happens at a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// It fails with this error.
    Once(&'static str),
    /// It and all later ones of its thread do.
    Ever(&'static str),
    /// The process is killed before it.
    Kill,
}

/// A call and what happens at the n-th.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injection {
    call: &'static str,
    effect: Effect,
}

/// The calls that are counted in a run without a fault.
const CALLS: &str = "fdatasync,fsync,pwrite64,write,rename,ftruncate,pread64";
/// Seconds after which a process counts as one that hangs.
const SECONDS_MAX: &str = "60";

/// The command that meets the fault, and what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// An import that makes the log.
    ImportFirst,
    /// An import that goes on behind a part of its input.
    Import,
    /// The same with records that make many entries, and several steps of filling ahead.
    ImportLarge,
    /// An import that seals a segment and begins the next.
    ImportSegment,
    /// An append that makes the log.
    AppendFirst,
    /// An append to a log.
    Append,
    /// An append of more than a step of filling ahead.
    AppendLarge,
}

impl Job {
    /// The heavy one comes once.
    const ALL: [Self; 12] = [
        Self::ImportFirst,
        Self::Import,
        Self::ImportLarge,
        Self::AppendFirst,
        Self::Append,
        Self::AppendLarge,
        Self::ImportFirst,
        Self::Import,
        Self::ImportLarge,
        Self::ImportLarge,
        Self::AppendLarge,
        Self::ImportSegment,
    ];

    fn is_first(self) -> bool {
        matches!(self, Self::ImportFirst | Self::AppendFirst)
    }

    fn imports(self) -> bool {
        !matches!(self, Self::AppendFirst | Self::Append | Self::AppendLarge)
    }

    /// How many records its input has, and how many bytes each has more than it needs.
    fn records(self) -> (u64, usize) {
        match self {
            Self::ImportFirst | Self::Import => (6_000, 0),
            Self::ImportLarge => (400, 12_000),
            Self::ImportSegment => (70, 1 << 20),
            Self::AppendFirst | Self::Append => (1, 0),
            Self::AppendLarge => (1, 3 << 20),
        }
    }

    fn line(self, number: u64) -> String {
        let padding = "x".repeat(self.records().1);
        format!("{{\"n\":{number},\"padding\":\"{padding}\"}}")
    }

    fn input(self, count: u64) -> String {
        (0..count)
            .map(|number| format!("{{\"type\":\"counted\",\"data\":{}}}\n", self.line(number)))
            .collect()
    }

    /// Makes what it finds: a log with an event, and a part of its input imported, unless it is the first.
    fn prepare(self, place: &Place) {
        let count = self.records().0;
        if !self.is_first() {
            place.ok(&["log", "append", "e", &Self::Append.line(0)]);
            if self.imports() {
                place.write("input.ndjson", self.input(count / 2));
                place.ok(&["import", "--channel", "c", place.file("input.ndjson").to_str().unwrap()]);
            }
        }
        place.write("input.ndjson", if self.imports() { self.input(count) } else { self.line(1) });
    }

    /// Events of each channel that were acknowledged by [`prepare`](Self::prepare).
    fn prepared(self) -> (u64, u64) {
        let count = self.records().0;
        (if self.imports() && !self.is_first() { count / 2 } else { 0 }, u64::from(!self.is_first()))
    }

    /// Runs it, behind the words of a tracer.
    fn run(self, place: &Place, tracer: &[&str]) -> Run {
        let file = place.file("input.ndjson");
        let mut command = match tracer {
            [] => Command::new(BINARY),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(BINARY);
                command
            }
        };
        match self.imports() {
            true => command.args(["import", "--channel", "c"]).arg(&file),
            false => {
                command.args(["log", "append", "e", "-", "--idempotency-key", "once", "--format", "ndjson"])
            }
        };
        command.env("NETDB_DIR", place.data()).env_remove("NETDB_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if !self.imports() {
            // The process may have stopped reading, or never begun.
            let _ = stdin.write_all(place.read("input.ndjson").as_bytes());
        }
        drop(stdin);
        finish(child)
    }

    /// Which calls of each name, counted from 1 in the thread that makes most of them, are about the log's files or
    /// the process's outputs, without a fault. The loader's own are not.
    fn calls(self) -> BTreeMap<String, Vec<u64>> {
        static KNOWN: Mutex<BTreeMap<Job, BTreeMap<String, Vec<u64>>>> = Mutex::new(BTreeMap::new());
        if let Some(known) = KNOWN.lock().unwrap().get(&self) {
            return known.clone();
        }
        let place = Place::new();
        self.prepare(&place);
        let trace = place.file("trace");
        let tracer =
            ["strace", "-f", "-y", "-qq", "-o", trace.to_str().unwrap(), "-e", &format!("trace={CALLS}")];
        let run = self.run(&place, &tracer);
        assert_eq!(run.code, 0, "{run:?}");
        let data = place.data();
        let mut of_threads = BTreeMap::<(String, String), (u64, Vec<u64>)>::new();
        for line in place.read("trace").lines() {
            let Some((thread, line)) = line.split_once(' ') else { continue };
            let Some((call, arguments)) = line.trim_start().split_once('(') else { continue };
            let (count, ours) = of_threads.entry((call.to_owned(), thread.to_owned())).or_default();
            *count += 1;
            if call == "write" || arguments.contains(data.to_str().unwrap()) {
                ours.push(*count);
            }
        }
        let mut calls = BTreeMap::<String, Vec<u64>>::new();
        for ((call, _), (_, ours)) in of_threads {
            let most = calls.entry(call).or_default();
            if ours.len() > most.len() {
                *most = ours;
            }
        }
        KNOWN.lock().unwrap().insert(self, calls.clone());
        calls
    }
}

impl Injection {
    pub(super) const fn new(call: &'static str, effect: Effect) -> Self {
        Self { call, effect }
    }

    /// Runs a command with it; one of the `light` ones only, if that is asked for.
    pub(super) fn run(self, dice: &SeededRandom, light: bool) -> Ended {
        let (job, nth) = loop {
            let job = *pick(dice, &Job::ALL);
            if light && job == Job::ImportSegment {
                continue;
            }
            if let Some(calls) = job.calls().get(self.call).filter(|calls| !calls.is_empty()) {
                break (job, *pick(dice, calls));
            }
        };
        let place = Place::new();
        job.prepare(&place);
        let (what, inject) = match self.effect {
            Effect::Once(error) => (error.to_owned(), format!("error={error}:when={nth}")),
            Effect::Ever(error) => (format!("{error}+"), format!("error={error}:when={nth}+")),
            Effect::Kill => ("KILL".to_owned(), format!("signal=KILL:when={nth}")),
        };
        let trace = place.file("trace");
        let (trace_only, inject) = (format!("trace={}", self.call), format!("inject={}:{inject}", self.call));
        let tracer =
            ["timeout", "--kill-after=5", SECONDS_MAX, "strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
        let run = job.run(&place, &[&tracer[..], &["-e", &trace_only, "-e", &inject]].concat());
        let trace = place.read("trace");
        let killed = trace.contains("+++ killed by SIGKILL +++");
        let mut ended = Ended {
            kind: format!("{} {what}", self.call),
            exit: if killed { "killed".to_owned() } else { run.code.to_string() },
            met: killed || trace.contains("(INJECTED)"),
            findings: Vec::new(),
        };
        let context = format!("{job:?}, call {nth}");
        self.check_end(&mut ended, &run, killed, &context);
        check_log(&mut ended, job, &place, &run, &context);
        ended
    }

    /// The process ends in one of the ways that are told apart by the command's contract, and says why.
    fn check_end(self, ended: &mut Ended, run: &Run, killed: bool, context: &str) {
        if killed {
            ended.expect(matches!(self.effect, Effect::Kill), || format!("{context}: killed: {run:?}"));
            return;
        }
        ended.expect(matches!(run.code, 0 | 1 | 6), || format!("{context}: exit {}: {run:?}", run.code));
        ended.expect(!run.stderr.contains("panicked"), || format!("{context}: {run:?}"));
        // What keeps the process from writing keeps it from saying so.
        if run.code != 0 && self.call != "write" {
            ended.expect(run.stderr.contains("net-db: error: "), || format!("{context}: no reason: {run:?}"));
        }
    }
}

/// What the process acknowledged: events of the channels `c` and `e`.
fn acknowledged(job: Job, run: &Run) -> (u64, u64) {
    let (imported, appended) = job.prepared();
    if job.imports() {
        let said = run.stdout.lines().find_map(|line| line.strip_prefix("acknowledged "));
        (said.map_or(imported, |count| count.parse::<u64>().unwrap().max(imported)), appended)
    } else {
        (imported, appended + u64::from(run.stdout.contains("\"outcome\":\"appended\"")))
    }
}

/// The numbers in a channel's events; none when there is no such channel, or no log yet.
fn numbers(place: &Place, channel: &str) -> Result<Vec<u64>, String> {
    let run = place.run(&["log", "read", channel, "--format", "ndjson"]);
    match run.code {
        0 => Ok(numbers_in(&run.stdout)),
        3 => Ok(Vec::new()),
        _ => Err(format!("{channel} does not read: {run:?}")),
    }
}

/// The position up to which readers in other processes were let.
fn visible(place: &Place) -> u64 {
    let bytes = std::fs::read(place.data().join("logs/main/visible")).unwrap_or_default();
    bytes.get(48..56).map_or(0, |position| u64::from_le_bytes(position.try_into().unwrap()))
}

/// The log holds what it must and nothing else, and goes on.
fn check_log(ended: &mut Ended, job: Job, place: &Place, run: &Run, context: &str) {
    let acknowledged = acknowledged(job, run);
    let all = match job.imports() {
        true => (job.records().0, job.prepared().1),
        false => (0, job.prepared().1 + 1),
    };
    ended
        .expect(run.code != 0 || acknowledged == all, || format!("{context}: ended well too early: {run:?}"));

    let visible = visible(place);
    let verified = place.run(&["log", "verify", "--all-signatures", "--format", "ndjson"]);
    match verified.code {
        0 => {
            let position = values(&verified.stdout)[0]["position"].as_u64().unwrap();
            ended.expect(position >= visible, || format!("{context}: {visible} were visible: {verified:?}"));
        }
        // The fault came before there was a log.
        3 => ended.expect(acknowledged == (0, 0), || format!("{context}: no log: {run:?} {verified:?}")),
        _ => ended.findings.push(format!("{context}: {run:?}, then {verified:?}")),
    }
    let first = if job.is_first() && !job.imports() { 1 } else { 0 };
    check_numbers(ended, place, "c", 0, acknowledged.0..=all.0, context);
    check_numbers(ended, place, "e", first, acknowledged.1..=all.1, context);

    let again = job.run(place, &[]);
    ended.expect(again.code == 0, || format!("{context}: {run:?}, then again {again:?}"));
    check_numbers(ended, place, "c", 0, all.0..=all.0, context);
    check_numbers(ended, place, "e", first, all.1..=all.1, context);

    let next = place.run(&["log", "append", "e", &Job::Append.line(first + all.1)]);
    ended.expect(next.code == 0, || format!("{context}: {run:?}, then later {next:?}"));
    check_numbers(ended, place, "e", first, all.1 + 1..=all.1 + 1, context);
    let verified = place.run(&["log", "verify", "--all-signatures"]);
    ended.expect(verified.code == 0, || format!("{context}: {run:?}, in the end {verified:?}"));
}

/// A channel has the numbers from the first on, so many of them.
fn check_numbers(
    ended: &mut Ended,
    place: &Place,
    channel: &str,
    first: u64,
    counts: std::ops::RangeInclusive<u64>,
    context: &str,
) {
    match numbers(place, channel) {
        Ok(numbers) => {
            let count = numbers.len() as u64;
            let right = counts.contains(&count) && numbers.iter().copied().eq(first..first + count);
            ended.expect(right, || {
                format!("{context}: {channel} has {numbers:?}, expected {counts:?} events")
            });
        }
        Err(text) => ended.findings.push(format!("{context}: {text}")),
    }
}
