//! Redis: a server of its own process, reached through a socket of the Unix domain, whose append-only file is
//! synced before any reply. A loopback address of TCP is slower with one command outstanding and no faster with 16.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netdb_benches::beside::Skipped;
use netdb_benches::harness::{Latency, Sample, nanoseconds};
use netdb_benches::payload::Payloads;
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use netdb_benches::{Failure, Result};

use crate::resp::{Reply, command, reply};

const PROGRAM: &str = "redis-server";

/// Threads among which the connections are divided. A thread for each connection takes so much of the processors from
/// the server that it does half as much.
const CLIENT_THREADS: usize = 2;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(10);

/// Appends to one stream through so many connections. Each keeps a window of commands outstanding: what is answered
/// is replaced by as many more. The latency is that of one command.
pub(crate) fn durable(setting: &Setting, connections: usize, window: usize) -> Result<Sample> {
    let server = Server::start(PROGRAM, &setting.dir)?;
    let mut control = server.connect()?;
    control.expect_config("appendonly", "yes")?;
    control.expect_config("appendfsync", "always")?;
    let commands: Vec<_> = Payloads::default()
        .all()
        .iter()
        .map(|payload| command(&[b"XADD", b"stream", b"*", b"d", payload.as_slice()]))
        .collect();
    let mut opened = (0..connections).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let produced: Vec<_> = std::thread::scope(|scope| {
        let commands = &commands;
        let threads: Vec<_> = opened
            .chunks_mut(connections.div_ceil(CLIENT_THREADS))
            .map(|group| scope.spawn(move || produce(group, commands, window, begun, setting.duration)))
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a client's thread panicked")).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut nanos = Vec::new();
    for each in produced {
        nanos.extend(each??);
    }
    let length = control.ask(&[b"XLEN", b"stream"])?;
    if length != Reply::Integer(i64::try_from(nanos.len())?) {
        return Err(format!("the stream holds {length:?} of {} events", nanos.len()).into());
    }
    control.expect_sound_file()?;
    Ok(Sample { value: nanos.len() as f64 / seconds, latency: Latency::of(&mut nanos) })
}

/// Returns the version of the server that is installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned)
}

/// A server; killed when dropped, and what it wrote vanishes.
struct Server {
    child: Child,
    socket: PathBuf,
    data: Scratch,
    // The path of a socket must be short.
    _short: Scratch,
}

impl Server {
    fn start(program: &str, dir: &Path) -> Result<Self> {
        let (data, short) = (Scratch::new(dir)?, Scratch::new(&std::env::temp_dir())?);
        let socket = short.path().join("redis");
        let settings = [
            ["--port", "0"],
            ["--appendonly", "yes"],
            ["--appendfsync", "always"],
            ["--auto-aof-rewrite-percentage", "0"],
            ["--save", ""],
            ["--daemonize", "no"],
            ["--logfile", "log"],
        ];
        let spawned = Command::new(program)
            .args(settings.as_flattened())
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(data.path().canonicalize()?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                let reason = format!("{PROGRAM} is not installed (apt-get install {PROGRAM})");
                return Err(Skipped(reason).into());
            }
            Err(cause) => return Err(cause.into()),
        };
        let mut server = Self { child, socket, data, _short: short };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START && self.child.try_wait()?.is_none() {
            let answer = self.connect().and_then(|mut connection| connection.ask(&[b"PING"]));
            if answer.is_ok_and(|answer| answer == Reply::Status("PONG".to_owned())) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
        Err(Failure::from(format!("{PROGRAM} does not answer: {log}")))
    }

    fn connect(&self) -> Result<Connection> {
        let stream = UnixStream::connect(&self.socket)?;
        let replies = BufReader::new(stream.try_clone()?);
        Ok(Connection { replies, commands: BufWriter::new(stream), sent: 0, outstanding: VecDeque::new() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(cause) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("{PROGRAM} was not ended: {cause}");
        }
    }
}

struct Connection {
    replies: BufReader<UnixStream>,
    commands: BufWriter<UnixStream>,
    sent: usize,
    /// When each command was sent that has no reply yet.
    outstanding: VecDeque<Duration>,
}

impl Connection {
    fn ask(&mut self, words: &[&[u8]]) -> Result<Reply> {
        self.commands.write_all(&command(words))?;
        self.commands.flush()?;
        reply(&mut self.replies)
    }

    fn expect_config(&mut self, name: &str, wanted: &str) -> Result<()> {
        let found = self.ask(&[b"CONFIG", b"GET", name.as_bytes()])?;
        let text = |text: &str| Reply::Text(Some(text.as_bytes().to_vec()));
        if found != Reply::List(vec![text(name), text(wanted)]) {
            return Err(format!("{name} must be {wanted}; the server says {found:?}").into());
        }
        Ok(())
    }

    /// Checks that all writes to the append-only file went well.
    fn expect_sound_file(&mut self) -> Result<()> {
        let Reply::Text(Some(info)) = self.ask(&[b"INFO", b"persistence"])? else {
            return Err("the server tells nothing about its persistence".into());
        };
        let info = String::from_utf8(info)?;
        for line in ["aof_enabled:1", "aof_last_write_status:ok", "aof_rewrite_in_progress:0"] {
            if !info.lines().any(|found| found == line) {
                return Err(format!("{line} is missing in: {info}").into());
            }
        }
        Ok(())
    }

    /// Sends commands until the window is full.
    fn fill(
        &mut self,
        commands: &[Vec<u8>],
        window: usize,
        begun: Instant,
        duration: Duration,
    ) -> Result<()> {
        while self.outstanding.len() < window && begun.elapsed() < duration {
            self.outstanding.push_back(begun.elapsed());
            self.commands.write_all(&commands[self.sent % commands.len()])?;
            self.sent += 1;
        }
        Ok(self.commands.flush()?)
    }

    /// Waits for a reply, and takes all that have come with it; notes how long each took.
    fn take(&mut self, begun: Instant, nanos: &mut Vec<u64>) -> Result<()> {
        while let Some(before) = self.outstanding.pop_front() {
            match reply(&mut self.replies)? {
                Reply::Text(Some(_)) => nanos.push(nanoseconds(begun.elapsed() - before)),
                other => return Err(format!("XADD gave {other:?}").into()),
            }
            if self.replies.buffer().is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Sends commands through some connections until the time is over, and waits for what is outstanding; gives how long
/// each took.
fn produce(
    connections: &mut [Connection],
    commands: &[Vec<u8>],
    window: usize,
    begun: Instant,
    duration: Duration,
) -> Result<Vec<u64>> {
    let mut nanos = Vec::with_capacity(1 << 16);
    for connection in &mut *connections {
        connection.fill(commands, window, begun, duration)?;
    }
    while connections.iter().any(|connection| !connection.outstanding.is_empty()) {
        for connection in &mut *connections {
            connection.take(begun, &mut nanos)?;
            connection.fill(commands, window, begun, duration)?;
        }
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_installed_is_a_reason_to_skip() {
        let failure = Server::start("no such program", &std::env::temp_dir()).err().unwrap();
        let skipped = failure.downcast::<Skipped>().unwrap().to_string();
        assert_eq!(skipped, "SKIPPED: redis-server is not installed (apt-get install redis-server)");
    }
}
