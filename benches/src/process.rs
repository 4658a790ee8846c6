//! The command `net-db` as a whole process: what somebody at a terminal waits for.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::harness::Sample;
use crate::report::{Table, Unit, cells};
use crate::scratch::Scratch;
use crate::session::{Session, SessionOptions};
use crate::{Failure, Result};

/// How often a child's memory is looked at. Its peak is kept by the kernel, so that only what it still gains
/// between the last look and its end can be missed.
const LOOK: Duration = Duration::from_millis(2);

const CHANNEL: &str = "flights";

/// What measuring the whole process needs.
#[derive(Debug, Clone, Args)]
pub struct ProcessOptions {
    /// The built command `net-db`; build it with --release
    #[arg(long, value_name = "PROGRAM")]
    pub net_db: PathBuf,
    /// The events to import: NDJSON, plain or zstd
    #[arg(long, value_name = "FILE")]
    pub flights: PathBuf,
}

/// What one run of a child showed.
struct Ran {
    elapsed: Duration,
    peak_bytes: u64,
    output: String,
}

/// Runs all measurements of the whole process and records them.
///
/// # Errors
///
/// When a command fails or answers something else than it should.
pub fn run(options: &ProcessOptions, session: &SessionOptions) -> Result<()> {
    let session = Session::begin(session)?;
    let program =
        options.net_db.canonicalize().map_err(|cause| format!("{}: {cause}", options.net_db.display()))?;
    let mut table = Table::new(&["whole process", "median", "min .. max", "unit"]);
    let mut record = |what: &str, unit: Unit, samples: &[Sample]| {
        let [median, ends, ..] = cells(samples);
        eprintln!("{what}: {median} {} ({ends})", unit.as_str());
        table.push(vec![what.to_owned(), median, ends, unit.as_str().to_owned()]);
    };

    let importer = Importer { program: &program, options, session: &session };
    let plain = importer.repeat(&[])?;
    record("import, durable, end to end", Unit::EventsPerSecond, &plain.rates);
    record("import, peak of resident memory", Unit::Megabytes, &plain.peaks);
    let packed = importer.repeat(&["log", "set", "main", "--compression", "zstd"])?;
    record("import, stored compressed by zstd", Unit::EventsPerSecond, &packed.rates);
    let input_bytes = std::io::copy(&mut decompressed(&options.flights)?, &mut std::io::sink())?;
    let share = |imports: &Imports| -> Result<Sample> {
        Ok(Sample::of(segment_bytes(imports.last.path())? as f64 * 100.0 / input_bytes as f64))
    };
    record("segments as a share of the NDJSON", Unit::Percent, &[share(&plain)?]);
    record("segments as a share of the NDJSON, stored compressed", Unit::Percent, &[share(&packed)?]);
    let (imported, events) = (plain.last, plain.events);
    if packed.events != events {
        return Err(format!("{} events were stored compressed, not {events}", packed.events).into());
    }

    let node = Node { program, dir: imported.path(), runs: session.runs() };
    let megabytes = segment_bytes(imported.path())? as f64 / 1e6;
    let verified = node.repeat(&["log", "verify"], |_| Ok(()))?;
    let speeds: Vec<_> = verified.iter().map(|run| Sample::of(megabytes * 1e3 / run.value)).collect();
    record("log verify", Unit::MegabytesPerSecond, &speeds);

    let carriers = format!(
        "select payload->>'carrier' as carrier, count(*) as flights from events \
         where channel = '{CHANNEL}' group by carrier order by flights desc"
    );
    let grouped = node.sql(&carriers, |answer| expect_rows(answer, 1))?;
    record("SQL: events by carrier, warm", Unit::Milliseconds, &grouped);
    let counted =
        node.sql(&format!("select count(*) from events where channel = '{CHANNEL}'"), |answer| {
            let found = answer.lines().nth(1).unwrap_or_default();
            if found == events.to_string() {
                Ok(())
            } else {
                Err(format!("{events} events, SQL counts {found}").into())
            }
        })?;
    record("SQL: count of all events, warm", Unit::Milliseconds, &counted);
    let point =
        format!("select seq, kind, key from events where channel = '{CHANNEL}' and seq = {}", events / 2);
    let first = node.sql(&point, |answer| expect_rows(answer, 1))?;
    record("start to first SQL answer: one event by seq", Unit::Milliseconds, &first);

    let file = file_name(&options.flights);
    let notes = format!(
        "each a process from its start to its end; {events} events of {file}, {megabytes:.0} MB of segments"
    );
    session.end("the whole process", &notes, &table.to_string())
}

/// Who imports the events, again and again.
struct Importer<'a> {
    program: &'a Path,
    options: &'a ProcessOptions,
    session: &'a Session,
}

/// What several imports showed.
struct Imports {
    rates: Vec<Sample>,
    peaks: Vec<Sample>,
    events: u64,
    /// What the last of them made.
    last: Scratch,
}

impl Importer<'_> {
    /// Imports as often as is measured, each time into a directory of its own on which a command was run before.
    fn repeat(&self, before: &[&str]) -> Result<Imports> {
        let mut last = Scratch::new(&self.session.setting.dir)?;
        let (mut rates, mut peaks, mut events) = (Vec::new(), Vec::new(), 0);
        for nth in 1..=self.session.runs() {
            if nth > 1 {
                last = Scratch::new(&self.session.setting.dir)?;
            }
            let dir = last.path();
            if !before.is_empty() {
                let before: Vec<_> = before.iter().map(OsStr::new).collect();
                net_db(self.program, dir, &before)?;
            }
            let file = self.options.flights.as_os_str();
            let arguments = [OsStr::new("import"), "--channel".as_ref(), CHANNEL.as_ref(), file];
            let ran = net_db(self.program, dir, &arguments)?;
            events = acknowledged(&ran.output)?;
            rates.push(Sample::of(events as f64 / ran.elapsed.as_secs_f64()));
            peaks.push(Sample::of(ran.peak_bytes as f64 / 1e6));
        }
        Ok(Imports { rates, peaks, events, last })
    }
}

/// A directory with the imported events, and who reads it.
struct Node<'a> {
    program: PathBuf,
    dir: &'a Path,
    runs: u32,
}

impl Node<'_> {
    /// Runs a command once to warm up and then as often as is measured; gives the milliseconds of each run.
    fn repeat(&self, arguments: &[&str], check: impl Fn(&str) -> Result<()>) -> Result<Vec<Sample>> {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let run = || {
            let ran = net_db(&self.program, self.dir, &arguments)?;
            check(&ran.output)?;
            Ok(Sample::of(ran.elapsed.as_secs_f64() * 1e3))
        };
        run()?;
        (0..self.runs).map(|_| run()).collect()
    }

    fn sql(&self, statement: &str, check: impl Fn(&str) -> Result<()>) -> Result<Vec<Sample>> {
        self.repeat(&["--format", "csv", "sql", "-c", statement], check)
    }
}

/// Runs `net-db` to its end, from before its start to behind its exit.
fn net_db(program: &Path, dir: &Path, arguments: &[&OsStr]) -> Result<Ran> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .arg("--quiet")
        .arg("--dir")
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or("the child has no output")?;
    let mut stderr = child.stderr.take().ok_or("the child has no error output")?;
    // Both are drained while the child runs, so that it never waits for its reader.
    let (output, errors) = (
        read_all(move |text| stdout.read_to_string(text)),
        read_all(move |text| stderr.read_to_string(text)),
    );
    let status_path = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak_bytes.max(peak(&status_path));
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    let elapsed = begun.elapsed();
    let text = |reader: std::thread::JoinHandle<std::io::Result<String>>| -> Result<String> {
        Ok(reader.join().map_err(|_| "a reader of the child's output panicked")??)
    };
    let (output, errors) = (text(output)?, text(errors)?);
    if !status.success() {
        let called = arguments.join(OsStr::new(" "));
        return Err(
            format!("net-db {} ended with {status}: {}", called.to_string_lossy(), errors.trim()).into()
        );
    }
    Ok(Ran { elapsed, peak_bytes, output })
}

fn read_all(
    read: impl FnOnce(&mut String) -> std::io::Result<usize> + Send + 'static,
) -> std::thread::JoinHandle<std::io::Result<String>> {
    std::thread::spawn(move || {
        let mut text = String::new();
        read(&mut text).map(|_| text)
    })
}

/// The most memory that a process had resident so far; 0 when it has ended.
fn peak(status_path: &str) -> u64 {
    let status = std::fs::read_to_string(status_path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

/// Takes the number off the last line of an import, `acknowledged N`.
fn acknowledged(output: &str) -> Result<u64> {
    let last = output.lines().next_back().unwrap_or_default();
    let number = last.strip_prefix("acknowledged ").and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::from(format!("the import ended with `{last}`, not `acknowledged N`")))
}

fn expect_rows(answer: &str, least: usize) -> Result<()> {
    // The first line is the heading.
    let rows = answer.lines().count().saturating_sub(1);
    if rows >= least { Ok(()) } else { Err(format!("{rows} rows, expected {least}: {answer}").into()) }
}

fn segment_bytes(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir.join("logs").join("main"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "seg") {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

/// Opens a file that may be compressed by zstd, which its name tells.
///
/// # Errors
///
/// What the operating system said.
pub fn decompressed(path: &Path) -> Result<Box<dyn Read>> {
    let file = std::fs::File::open(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    match path.extension() == Some(OsStr::new("zst")) {
        true => Ok(Box::new(zstd::Decoder::new(file)?)),
        false => Ok(Box::new(file)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_an_import_tells_its_events() {
        assert_eq!(acknowledged("resuming\nacknowledged 42\n").unwrap(), 42);
        assert!(acknowledged("").is_err());
        assert!(acknowledged("acknowledged 1\nmore").is_err());
    }

    #[test]
    fn a_childs_peak_and_output_are_seen() {
        let script: [&OsStr; 0] = [];
        let failed = net_db("/bin/false".as_ref(), ".".as_ref(), &script);
        assert!(failed.is_err());
        let ran = net_db("/bin/echo".as_ref(), "x".as_ref(), &[OsStr::new("acknowledged"), OsStr::new("7")])
            .unwrap();
        assert_eq!(ran.output, "--quiet --dir x acknowledged 7\n");
        assert!(peak("/proc/self/status") > 1 << 20);
    }
}
