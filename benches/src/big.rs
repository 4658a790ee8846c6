//! Opening a log of any size: behind a clean close, behind a crash, and behind a kill.
//!
//! Opening reads the newest segment entry by entry, so that segment is nearly full in all of them: once of large
//! entries, as an import leaves them, once of entries that hold one event each, which is the most that there is to do.

use std::io::{BufRead, BufReader};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use base::Doors;
use clap::Args;
use redex::{Ack, EventInput, LogOptions, Store};

use crate::append::{channel, stage};
use crate::payload::{KIND, Payloads, Runs};
use crate::reopened::{self, Reopened, Role, in_a_process_of_its_own};
use crate::scratch::Scratch;
use crate::{Failure, Result};

/// Opens a log for writing, and leaves it as it is.
pub const OPEN: Role = ("open", open);
/// Appends single events and ends without closing; how many, the environment says.
pub const CRASH: Role = ("crash", crash);
/// Appends until it is killed, and says what is durable.
pub const ENDLESS: Role = ("endless", endless);

const COUNT: &str = "NETDB_BENCH_COUNT";

/// Most milliseconds of an opening behind a clean close.
const CLEAN_MILLISECONDS_MAX: f64 = 100.0;
/// Most megabytes by which a process ever grows while it opens a log behind a clean close.
const CLEAN_MEGABYTES_MAX: f64 = 64.0;
/// Most milliseconds of an opening behind a crash.
const CRASHED_MILLISECONDS_MAX: f64 = 300.0;

/// Payload of the events that make the log large.
const FILLING_BYTES: usize = 64 << 10;
/// Appends that fill a small part of a segment, so that it is found out how many fill it.
const BULK_SAMPLE: u64 = 20;
const SINGLE_SAMPLE: u64 = 4_000;
/// Bytes that the newest segment lacks of being sealed.
const MARGIN_BYTES: u64 = 256 << 10;
/// Lines after which the endless process is killed.
const LINES: usize = 200;

/// What the measurement can be told.
#[derive(Debug, Clone, Args)]
pub struct OpenBigOptions {
    /// Gigabytes of the log
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub gigabytes: u64,
    /// Openings of each kind; the summary has the median and the extremes
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Where the log is written; removed in the end
    #[arg(long)]
    pub dir: PathBuf,
}

/// Several openings of the same log.
#[derive(Debug)]
struct Openings {
    name: &'static str,
    runs: Vec<Reopened>,
}

impl Openings {
    /// Opens a log again and again, each time in a process of its own; `cold` takes the newest segment out of the page
    /// cache before.
    fn measure(
        name: &'static str,
        dir: &Path,
        options: &OpenBigOptions,
        cold: bool,
        events: u64,
    ) -> Result<Self> {
        let mut runs = Vec::new();
        for _ in 0..options.runs {
            if cold {
                drop_from_cache(&newest_segment(dir)?)?;
            }
            let run = in_a_process_of_its_own(&OPEN, dir)?;
            if run.found < events {
                return Err(Failure::from(format!("{name}: {} of {events} events are there", run.found)));
            }
            runs.push(run);
        }
        let this = Self { name, runs };
        let (ms, grown, peak) =
            (this.milliseconds(), this.of(|run| run.megabytes), this.of(|run| run.peak_megabytes));
        println!(
            "{name:<20} {:>7.1} ms ({:.1} to {:.1}), {:>5.1} MB more in memory, {:>5.1} MB meanwhile",
            ms[0], ms[1], ms[2], grown[2], peak[2]
        );
        Ok(this)
    }

    /// The median, the smallest and the largest of a figure.
    fn of(&self, figure: fn(&Reopened) -> f64) -> [f64; 3] {
        let mut figures: Vec<_> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
    }

    fn milliseconds(&self) -> [f64; 3] {
        self.of(|run| run.milliseconds)
    }

    fn json(&self) -> String {
        let [median, least, most] = self.milliseconds();
        let (grown, peak) = (self.of(|run| run.megabytes)[2], self.of(|run| run.peak_megabytes)[2]);
        format!(
            "\"{}\":{{\"ms\":[{median:.1},{least:.1},{most:.1}],\"grown_mb\":{grown:.1},\"peak_mb\":{peak:.1}}}",
            self.name
        )
    }
}

/// Writes a log, opens it in every way, prints the figures, and a line with all of them that begins with `SUMMARY`.
///
/// # Errors
///
/// What the log said, or that an opening took more than it may.
pub fn run(options: &OpenBigOptions) -> Result<()> {
    if cfg!(debug_assertions) {
        return Err("this is a debug build: build with --release".into());
    }
    std::fs::create_dir_all(&options.dir)?;
    let scratch = Scratch::new(&options.dir)?;
    let dir = scratch.path();
    let begun = Instant::now();
    let mut events = fill(dir, options.gigabytes * 1_000_000_000)?;
    println!("{} bytes, written in {:.0} s", bytes_of(dir)?, begun.elapsed().as_secs_f64());

    let (sampled, room) = sample(dir, Shape::Bulk)?;
    events += sampled + Shape::Bulk.append_and_close(dir, room)?;
    let clean = Openings::measure("clean", dir, options, false, events)?;
    let clean_cold = Openings::measure("clean_cold", dir, options, true, events)?;

    events += begin_segment(dir)?;
    let (sampled, room) = sample(dir, Shape::Single)?;
    let segments = segments(dir)?.len();
    let status = reopened::command(&CRASH, dir)?.env(COUNT, room.to_string()).status()?;
    if status.code().is_some() {
        return Err(Failure::from(format!("the process that is to crash ended with {status}")));
    }
    events += sampled + room;
    if self::segments(dir)?.len() != segments {
        return Err("the newest segment was sealed, so that the next is nearly empty".into());
    }
    let crashed = Openings::measure("crashed_single", dir, options, false, events)?;
    let crashed_cold = Openings::measure("crashed_single_cold", dir, options, true, events)?;
    let rewritten = rewritten_entries(dir)?;
    let (bytes, newest) = (bytes_of(dir)?, length(&newest_segment(dir)?)?);
    println!("{newest} bytes in the newest segment; {rewritten} entries were not known to be synced");
    let clean_single = Openings::measure("clean_single", dir, options, false, events)?;

    events += kill(dir)?;
    let killed = Openings::measure("killed", dir, options, false, events)?;

    let all = [&clean, &clean_cold, &crashed, &crashed_cold, &clean_single, &killed];
    println!(
        "SUMMARY \"gigabytes\":{},\"bytes\":{bytes},\"segments\":{segments},\"newest_bytes\":{newest},\
         \"single_entries\":{},\"rewritten_entries\":{rewritten},\"runs\":{},{}",
        options.gigabytes,
        sampled + room,
        options.runs,
        all.map(Openings::json).join(",")
    );
    let missed = [
        ("milliseconds behind a clean close", clean.milliseconds()[0], CLEAN_MILLISECONDS_MAX),
        ("milliseconds behind a clean close", clean_single.milliseconds()[0], CLEAN_MILLISECONDS_MAX),
        ("megabytes behind a clean close", clean.of(|run| run.peak_megabytes)[2], CLEAN_MEGABYTES_MAX),
        ("megabytes behind a clean close", clean_single.of(|run| run.peak_megabytes)[2], CLEAN_MEGABYTES_MAX),
        ("milliseconds behind a crash", crashed.milliseconds()[0], CRASHED_MILLISECONDS_MAX),
        ("milliseconds behind a kill", killed.milliseconds()[0], CRASHED_MILLISECONDS_MAX),
    ];
    match missed.iter().find(|(_, found, most)| found >= most) {
        None => Ok(()),
        Some((what, found, most)) => {
            Err(Failure::from(format!("{found:.1} {what}, less than {most} are required")))
        }
    }
}

/// Writes large events behind which so many bytes lie, and begins a segment; returns how many events.
fn fill(dir: &Path, bytes: u64) -> Result<u64> {
    let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
    let payload: Vec<u8> = (0..FILLING_BYTES).map(|place| (place % 251) as u8 + 1).collect();
    let batch = vec![EventInput::new(KIND, &payload); 16];
    let channel = channel()?;
    let (mut events, mut written) = (0, 0);
    while written < bytes {
        store.main().append(&channel, &batch)?.wait(Ack::Written).into_result()?;
        events += batch.len() as u64;
        written += (batch.len() * payload.len()) as u64;
    }
    store.close()?;
    Ok(events + begin_segment(dir)?)
}

/// Appends until a segment has just begun.
fn begin_segment(dir: &Path) -> Result<u64> {
    let known = segments(dir)?.len();
    let mut events = 0;
    while segments(dir)?.len() == known {
        events += Shape::Bulk.append_and_close(dir, BULK_SAMPLE)?;
    }
    Ok(events)
}

/// How events are appended.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Many an entry, as an import does.
    Bulk,
    /// One an entry, as a producer does that waits for each append.
    Single,
}

impl Shape {
    /// Appends so many times, and closes the log; returns how many events.
    fn append_and_close(self, dir: &Path, count: u64) -> Result<u64> {
        let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
        let events = self.append(&store, count)?;
        store.close()?;
        Ok(events)
    }

    fn append(self, store: &Store, count: u64) -> Result<u64> {
        let (payloads, channel) = (Payloads::default(), channel()?);
        let events = payloads.events();
        let mut runs = Runs::of(1);
        let mut appended = 0;
        for _ in 0..count {
            appended += match self {
                Self::Bulk => stage(store.main(), &channel, &events, &mut runs)?,
                Self::Single => {
                    store.main().append(&channel, runs.next(&events))?.wait(Ack::Written).into_result()?;
                    1
                }
            };
        }
        Ok(appended)
    }
}

/// Finds out how many appends the newest segment has room for, by a few of them; returns how many events those were,
/// and how many appends there is room for.
fn sample(dir: &Path, shape: Shape) -> Result<(u64, u64)> {
    let count = match shape {
        Shape::Bulk => BULK_SAMPLE,
        Shape::Single => SINGLE_SAMPLE,
    };
    let before = length(&newest_segment(dir)?)?;
    let events = shape.append_and_close(dir, count)?;
    let after = length(&newest_segment(dir)?)?;
    let room = LogOptions::default().segment_bytes.saturating_sub(MARGIN_BYTES + after);
    Ok((events, room * count / (after - before)))
}

fn open(dir: &Path) -> Result<u64> {
    let store = ManuallyDrop::new(Store::open(dir, &Doors::system(), &LogOptions::default())?);
    let channel = store.main().reader().view().channel(&channel()?)?;
    Ok(channel.map_or(0, |channel| channel.next_seq.0))
}

fn crash(dir: &Path) -> Result<u64> {
    let count = std::env::var(COUNT)?.parse()?;
    let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
    Shape::Single.append(&store, count)?;
    std::process::abort()
}

fn endless(dir: &Path) -> Result<u64> {
    let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
    let (payloads, channel) = (Payloads::default(), channel()?);
    let events = payloads.events();
    let (mut runs, mut durable) = (Runs::of(1), 0);
    loop {
        durable += stage(store.main(), &channel, &events, &mut runs)?;
        store.main().sync()?;
        println!("{durable}");
    }
}

/// Kills a process that appends; returns how many events it had acknowledged as durable.
fn kill(dir: &Path) -> Result<u64> {
    let mut child = reopened::command(&ENDLESS, dir)?.stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut durable = 0;
    for line in lines.take(LINES) {
        durable = line?.parse()?;
    }
    child.kill()?;
    child.wait()?;
    Ok(durable)
}

/// The files of the segments, in order.
fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir.join("logs/main"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn length(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}

/// How many bytes all segments have.
fn bytes_of(dir: &Path) -> Result<u64> {
    segments(dir)?.iter().map(|path| length(path)).sum()
}

/// Opens and closes a log; returns how many entries had to be written again.
fn rewritten_entries(dir: &Path) -> Result<u64> {
    let store = Store::open(dir, &Doors::system(), &LogOptions::default())?;
    let rewritten = store.recovery().rewritten_entries;
    store.close()?;
    Ok(rewritten)
}

fn newest_segment(dir: &Path) -> Result<PathBuf> {
    Ok(segments(dir)?.pop().ok_or("there is no segment")?)
}

/// Makes the system forget the contents of a file; `dd` has a way to ask for that.
fn drop_from_cache(path: &Path) -> Result<()> {
    let mut input = std::ffi::OsString::from("if=");
    input.push(path);
    let synced = Command::new("sync").arg(path).status()?;
    let status = Command::new("dd").arg(input).args(["iflag=nocache", "count=0", "status=none"]).status()?;
    match synced.success() && status.success() {
        true => Ok(()),
        false => Err("dd cannot drop a file from the cache here".into()),
    }
}
