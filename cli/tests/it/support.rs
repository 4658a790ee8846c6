//! Running the binary in a directory of its own.

#![allow(clippy::disallowed_methods, reason = "tests prepare and look at real files")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netdb::base::{Clock as _, Signal, SystemClock};

pub const BINARY: &str = env!("CARGO_BIN_EXE_net-db");

/// A data directory, and files beside it.
pub struct Place {
    root: tempfile::TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// The data directory, which does not exist until a command makes it.
    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.file(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("NETDB_DIR", self.data()).env_remove("NETDB_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// Runs with this on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let run = finish(child);
        // The process may have stopped reading.
        let _ = writer.join().unwrap();
        run
    }

    /// Runs what must succeed and returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run.stdout
    }

    /// The events of a channel, as `log read` shows them.
    pub fn events(&self, channel: &str) -> Vec<serde_json::Value> {
        values(&self.ok(&["log", "read", channel, "--format", "ndjson"]))
    }
}

impl Run {
    /// Asserts the exit code and that the message says this.
    #[track_caller]
    pub fn failed(&self, code: i32, message: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains("net-db: error: "), "{self:?}");
        assert!(self.stderr.contains(message), "expected `{message}` in {self:?}");
    }

    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// Waits for the end of a child.
pub fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The values of NDJSON.
pub fn values(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines of input whose payloads count from `first`.
pub fn records(first: u64, count: u64) -> String {
    let line = |number| format!("{{\"type\":\"counted\",\"data\":{{\"n\":{number}}}}}\n");
    (first..first + count).map(line).collect()
}

/// The numbers that [`records`] put into the payloads of a channel.
pub fn numbers(place: &Place, channel: &str) -> Vec<u64> {
    numbers_in(&place.ok(&["log", "read", channel, "--format", "ndjson"]))
}

/// The numbers in the payloads of events that `log read` shows.
pub fn numbers_in(events: &str) -> Vec<u64> {
    values(events).iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect()
}

/// Looks again and again, for 30 seconds at most, until `there` gives something.
#[track_caller]
pub fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock;
    let deadline = clock.monotonic() + Duration::from_secs(30);
    while clock.monotonic() < deadline {
        if let Some(value) = there() {
            return value;
        }
        clock.wait(&Signal::new(), Some(clock.monotonic() + Duration::from_millis(10)));
    }
    panic!("waited in vain");
}

/// Sends a signal, by its name, to a process that this test started.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Collects what a child writes to its standard output, on a thread.
pub fn collect(child: &mut Child) -> std::sync::Arc<std::sync::Mutex<String>> {
    let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let mut stdout = child.stdout.take().unwrap();
    let shared = text.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut buffer) {
            shared.lock().unwrap().push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    });
    text
}

/// Tells whether file permissions do not bind this process.
pub fn is_root() -> bool {
    let probe = Path::new("/proc/self");
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(probe).unwrap()) == 0
}

/// Tells whether a command can be run, and says so if not.
pub fn can_run(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().unwrap();
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let can = ran.is_ok_and(|output| output.status.success());
    if !can {
        println!("SKIPPED: `{}` does not work here", command.join(" "));
    }
    can
}

/// A child that does not outlive its test, whatever becomes of that.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended, or ends now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
