//! What only a real machine shows: system calls, permissions, a terminal. Each test needs a tool of
//! the system, or a privilege; where that is missing it says `SKIPPED`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{BINARY, Place, can_run, finish, is_root, records, wait_for};

/// Follows the files below a directory through a trace: which of them have been written since their last sync
/// when a line goes to standard output.
struct Syncs<'a> {
    below: &'a str,
    /// For each path the line of the trace that last wrote to it.
    unsynced: BTreeMap<String, usize>,
    /// For each thread the call that it has begun.
    begun: BTreeMap<String, (usize, String)>,
    syncs: usize,
    acknowledgements: usize,
}

impl Syncs<'_> {
    fn follow(&mut self, trace: &str) {
        for (number, line) in trace.lines().enumerate() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
                self.begin(number, begin);
                self.begun.insert(thread.to_owned(), (number, begin.to_owned()));
            } else if let Some((_, end)) =
                call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"))
            {
                let (began, begin) = self.begun.remove(thread).unwrap();
                self.end(began, &begin, end);
            } else {
                self.begin(number, call);
                self.end(number, call, call);
            }
        }
    }

    /// A write counts from its beginning, a sync only from its end on.
    fn begin(&mut self, number: usize, call: &str) {
        let tells = |line: &str| line.contains("acknowledged") || line.contains("appended");
        if call.starts_with("write(1<") && tells(call) {
            assert!(self.unsynced.is_empty(), "acknowledged before a sync: {:?}", self.unsynced);
            assert!(self.syncs > 0, "nothing was synced at all");
            self.acknowledgements += 1;
            return;
        }
        let writes = ["pwrite64(", "pwritev", "write("].iter().any(|name| call.starts_with(name));
        if let Some(path) = self.path(call).filter(|_| writes) {
            self.unsynced.insert(path, number);
        }
    }

    fn end(&mut self, began: usize, call: &str, end: &str) {
        let synced = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if synced
            && end.ends_with("= 0")
            && let Some(path) = self.path(call)
        {
            self.syncs += 1;
            if self.unsynced.get(&path).is_some_and(|written| *written < began) {
                self.unsynced.remove(&path);
            }
        }
    }

    /// The path of the file that a call is about, if it is one of the log's.
    fn path(&self, call: &str) -> Option<String> {
        let (_, rest) = call.split_once('<')?;
        let (path, _) = rest.split_once('>')?;
        // What only informs other processes need not survive a power failure.
        let informs = path.ends_with("/lock") || path.ends_with("/visible");
        let data = path.starts_with(self.below) && !informs;
        data.then(|| path.to_owned())
    }
}

#[test]
fn a_sync_precedes_each_acknowledgement() {
    if !can_run(&["strace", "-V"]) || !can_run(&["strace", "-qq", "-e", "trace=none", "true"]) {
        return;
    }
    let place = Place::new();
    let input = place.write("input.ndjson", records(0, 20_000));
    let mut acknowledgements = 0;
    for arguments in [
        vec!["import", "--channel", "c", &*input],
        vec!["log", "append", "c", "1", "--format", "ndjson"],
        vec!["log", "append", "c", "2", "--ack", "durable"],
    ] {
        let trace = place.file("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-s", "200", "-o", trace.to_str().unwrap()]);
        command.args(["-e", "trace=write,pwrite64,pwritev,pwritev2,fsync,fdatasync", BINARY]);
        command.args(&arguments).env("NETDB_DIR", place.data()).stdin(Stdio::null());
        let run = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(run.code, 0, "{run:?}");
        let data = place.data();
        let mut syncs = Syncs {
            below: data.to_str().unwrap(),
            unsynced: BTreeMap::new(),
            begun: BTreeMap::new(),
            syncs: 0,
            acknowledgements: 0,
        };
        syncs.follow(&place.read("trace"));
        assert!(syncs.acknowledgements > 0, "{arguments:?}: no acknowledgement in the trace: {run:?}");
        acknowledgements += syncs.acknowledgements;
    }
    println!("{acknowledgements} acknowledgements, each behind a sync");
}

#[test]
fn an_unreadable_directory_is_a_plain_failure() {
    // Root reads everything, unless it gives that right away.
    let prefix: &[&str] = match is_root() {
        true => &["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
        false => &["env"],
    };
    if !can_run(&[prefix, &["true"]].concat()) {
        return;
    }
    let place = Place::new();
    place.ok(&["init"]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).arg(BINARY).args(arguments).env("NETDB_DIR", place.data());
        finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let set_mode =
        |mode| std::fs::set_permissions(place.data(), std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o000);
    let read = run(&["log", "channels"]);
    let write = run(&["log", "append", "c", "1"]);
    set_mode(0o700);
    for run in [read, write] {
        run.failed(1, "ermission denied");
        assert!(run.stderr.contains(place.data().to_str().unwrap()), "{run:?}");
    }
    assert_eq!(run(&["log", "append", "c", "1"]).code, 0);
}

/// Runs a command on a terminal of its own and types what `dialogue` says, each line after the text that it
/// waits for has come. Returns what came.
fn on_a_terminal(place: &Place, arguments: &str, dialogue: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new("script");
    let inner = format!("stty cols 60 rows 24; {BINARY} {arguments}");
    command.args(["--quiet", "--return", "--command", &inner, "/dev/null"]);
    command.env("NETDB_DIR", place.data()).env("HOME", place.file("")).env("TERM", "xterm");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let shown = crate::support::collect(&mut child);
    let mut from = 0;
    for (awaited, typed) in dialogue {
        println!("waiting for {awaited:?} behind {from}, to type {typed:?}");
        from += wait_for(|| {
            let shown = shown.lock().unwrap();
            shown[from..].find(awaited).map(|at| at + awaited.len())
        });
        stdin.write_all(typed.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let shown = shown.lock().unwrap().clone();
    (code, shown)
}

#[test]
fn the_prompt_answers_completes_and_remembers() {
    if !can_run(&["script", "--version"]) {
        return;
    }
    let place = Place::new();
    place.ok(&["log", "append", "shipments", "{\"total\":\"12.50\"}", "--kind", "order.placed"]);
    let prompt = "netdb> ";
    let (code, shown) = on_a_terminal(
        &place,
        "sql",
        &[
            (prompt, "\\d\r"),
            ("shipments", ""),
            (prompt, "select payload->>'total' as total,\r"),
            ("", "kind from shipments;\r"),
            ("12.50", ""),
            (prompt, "\\timing\r"),
            ("timing is on", ""),
            (prompt, "select count(*) from no_such;\r"),
            ("no_such", ""),
            (prompt, "select 1 +\r"),
            // Ctrl-C drops what was typed, and only that.
            ("", "\u{3}"),
            (prompt, "select 40 + 2 as answer;\r"),
            ("42", ""),
            (prompt, "select kind from ship\t;\r"),
            ("order.placed", ""),
            (prompt, "\u{4}"),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    let history = place.read(".netdb_history");
    assert!(history.contains("select 40 + 2 as answer;"), "{history}");
    assert!(history.contains("select kind from shipments"), "completed: {history}");
    assert!(Path::new(&place.file(".netdb_history")).metadata().unwrap().permissions().mode() & 0o077 == 0);
}
