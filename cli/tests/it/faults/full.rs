//! A file system that is full, and has room again: for commands one after another, and within one process.

use std::process::{Command, Stdio};

use netdb::base::{ChannelName, Doors, SeededRandom};
use netdb::redex::{Ack, EventInput, LogOptions, Outcome, Rejection, Selection, Store};

use super::Ended;
use crate::support::{BINARY, Place, Run, finish, numbers_in, records};

/// Set in a process that a test starts within a mount namespace: it fills the file system below this path.
const ROLE: &str = "NETDB_FAULT_ROLE";
/// Where the events' sizes of that process come from.
const ROLE_SEED: &str = "NETDB_FAULT_ROLE_SEED";

/// Makes a file system with little room, runs what stands behind the script, and gives room by `$MORE`.
const MOUNT: &str = r#"
mount -t tmpfs -o "size=$SIZE" none "$SMALL" || exit 99
[ "$BALLAST" = 0 ] || head -c "$BALLAST" /dev/zero >"$SMALL/ballast"
export NETDB_DIR="$SMALL/data"
"#;

/// Imports while the disk is full, then into the same disk when it has room.
const COMMANDS: &str = r#"
step() { printf '== %s\n' "$1"; shift; "$@" 2>&1; printf 'exit %s\n' $?; }
step full "$NET_DB" import --channel c "$INPUT"
step verify "$NET_DB" log verify --all-signatures
step count "$NET_DB" sql --format csv -c 'select count(*) as events from channels.c'
step append sh -c 'head -c 9000000 /dev/zero | tr "\0" x | "$NET_DB" log append c -'
sh -c "$MORE"
step again "$NET_DB" import --channel c "$INPUT"
step verify "$NET_DB" log verify --all-signatures
step count "$NET_DB" sql --format csv -c 'select count(*) as events from channels.c'
step read "$NET_DB" log read c --format ndjson
"#;

/// Fills the disk in a process that goes on when there is room.
const ONE_PROCESS: &str = r#"exec "$TEST" --exact --nocapture \
    faults::whatever_a_machine_refuses_nothing_acknowledged_is_lost_and_nothing_else_is_there"#;

/// A small file system: how large, what fills most of it, and how it gets room.
struct Small {
    size: String,
    ballast: u64,
    more: &'static str,
}

impl Small {
    fn new(dice: &SeededRandom) -> Self {
        let free = (2 << 20) + 4_096 * dice.below(1_200);
        match dice.below(2) {
            0 => Self { size: free.to_string(), ballast: 0, more: "mount -o remount,size=96m \"$SMALL\"" },
            _ => Self {
                size: (96 << 20).to_string(),
                ballast: (96 << 20) - free,
                more: "rm \"$SMALL/ballast\"",
            },
        }
    }

    fn run(&self, place: &Place, script: &str, variables: &[(&str, String)]) -> Run {
        let small = place.file("small");
        std::fs::create_dir(&small).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &format!("{MOUNT}{script}")]);
        command.env("SMALL", &small).env("SIZE", &self.size).env("BALLAST", self.ballast.to_string());
        command.env("MORE", self.more).env("NET_DB", BINARY).env_remove("NETDB_LOG");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }
}

/// Commands meet the full disk, one after another.
pub(super) fn commands(dice: &SeededRandom) -> Ended {
    const RECORDS: u64 = 200_000;
    let place = Place::new();
    let input = place.write("input.ndjson", records(0, RECORDS));
    let run = Small::new(dice).run(&place, COMMANDS, &[("INPUT", input)]);
    let mut ended = Ended { kind: "full disk, commands".to_owned(), ..Ended::default() };
    let steps: Vec<&str> = run.stdout.split("== ").skip(1).collect();
    let [full, verified, count, append, again, reverified, recount, read] = &*steps else {
        ended.findings.push(format!("not every step ran: {run:?}"));
        return ended;
    };
    let exit =
        |step: &str| step.lines().last().and_then(|line| line.strip_prefix("exit ")).map(str::to_owned);
    ended.exit = exit(full).unwrap_or_default();
    ended.met = full.contains("disk is full");

    ended.expect(ended.met && full.ends_with("exit 1\n"), || format!("full: {full}"));
    let said = full.lines().find_map(|line| line.strip_prefix("acknowledged "));
    let acknowledged: u64 = said.and_then(|count| count.parse().ok()).unwrap_or(u64::MAX);
    ended.expect((1..RECORDS).contains(&acknowledged), || format!("full: {full}"));
    ended.expect(verified.ends_with("exit 0\n"), || format!("verify while full: {verified}"));
    let counted: u64 = count.lines().nth(2).and_then(|count| count.parse().ok()).unwrap_or(0);
    ended.expect(counted >= acknowledged, || format!("{acknowledged} acknowledged, while full: {count}"));
    ended.expect(append.contains("full") && append.ends_with("exit 1\n"), || format!("append: {append}"));

    let whole = again.contains(&format!("acknowledged {RECORDS}\n")) && again.ends_with("exit 0\n");
    ended.expect(whole, || format!("again: {again}"));
    ended.expect(reverified.ends_with("exit 0\n"), || format!("verify in the end: {reverified}"));
    ended.expect(recount.lines().nth(2) == Some(&*RECORDS.to_string()), || format!("in the end: {recount}"));
    let events: String =
        read.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    ended.expect(numbers_in(&events).into_iter().eq(0..RECORDS), || "other events are there".to_owned());
    ended
}

/// One process that keeps its log open meets the full disk, and goes on when there is room.
pub(super) fn one_process(dice: &SeededRandom) -> Ended {
    let place = Place::new();
    let variables = [
        ("TEST", std::env::current_exe().unwrap().to_str().unwrap().to_owned()),
        (ROLE, place.file("small").to_str().unwrap().to_owned()),
        (ROLE_SEED, dice.below(u64::MAX).to_string()),
    ];
    let run = Small::new(dice).run(&place, ONE_PROCESS, &variables);
    let mut ended = Ended { kind: "full disk, one process".to_owned(), ..Ended::default() };
    ended.exit = run.code.to_string();
    ended.met = run.stdout.contains("went on behind ");
    ended.expect(run.code == 0 && ended.met, || format!("{run:?}"));
    ended
}

/// Plays the part of the process that [`one_process`] starts, if this is it. Tells whether it was.
pub(super) fn plays_its_role() -> bool {
    let Ok(small) = std::env::var(ROLE) else { return false };
    let dice = SeededRandom::new(std::env::var(ROLE_SEED).unwrap().parse().unwrap());
    let dir = std::path::Path::new(&small).join("data");
    let store = Store::open(&dir, &Doors::system(), &LogOptions::default()).unwrap();
    let mut writer = Writer { store, dice, next: 0 };
    let mut rejections = 0;
    // A large event is rejected where a smaller one still has room.
    while rejections < 3 {
        rejections += u64::from(!writer.append());
        assert!(writer.next < 1_000_000, "the disk does not get full");
    }
    let before = writer.next;
    writer.check_reads();
    let status = Command::new("sh").args(["-c", &std::env::var("MORE").unwrap()]).status().unwrap();
    assert!(status.success());
    for _ in 0..200 {
        assert!(writer.append(), "rejected though there is room");
    }
    writer.check_reads();
    writer.store.close().unwrap();
    assert!(net_db(&["log", "verify", "--all-signatures"]).status.success());
    println!("went on behind {before} events");
    true
}

struct Writer {
    store: Store,
    dice: SeededRandom,
    /// The number of the next event; those below were acknowledged as durable.
    next: u64,
}

impl Writer {
    /// Appends the next event durably; tells whether there was room.
    fn append(&mut self) -> bool {
        let padding = "x".repeat(usize::try_from(self.dice.below(60_000)).unwrap());
        let payload = format!("{{\"n\":{},\"padding\":\"{padding}\"}}", self.next);
        let event = EventInput::new("counted", payload.as_bytes());
        let channel = ChannelName::new("c").unwrap();
        let outcome = self.store.main().append(&channel, &[event]).map(|ticket| ticket.wait(Ack::Durable));
        match outcome {
            Ok(Outcome::Appended { .. }) => {
                self.next += 1;
                true
            }
            Ok(Outcome::Rejected { reason: Rejection::DiskFull, .. }) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Everything acknowledged is read, here and by a command, and nothing else.
    fn check_reads(&self) {
        let view = self.store.main().reader().view();
        let selection = Selection::channel(&ChannelName::new("c").unwrap());
        let events: Vec<_> = view.read(&selection).unwrap().map(Result::unwrap).collect();
        let number =
            |payload: &[u8]| serde_json::from_slice::<serde_json::Value>(payload).unwrap()["n"].as_u64();
        assert!(events.iter().map(|event| number(&event.payload)).eq((0..self.next).map(Some)));
        let read = net_db(&["log", "read", "c", "--format", "ndjson"]);
        assert!(read.status.success(), "{read:?}");
        assert!(numbers_in(&String::from_utf8(read.stdout).unwrap()).into_iter().eq(0..self.next));
    }
}

/// Runs a command on the same directory, which `$NETDB_DIR` names.
fn net_db(arguments: &[&str]) -> std::process::Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().unwrap()
}
