//! Reading beside a writer of another process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Disk, Doors, Position, Snapshot, SystemDisk};
use redex::{
    Ack, EventInput, LogOptions, LogReader, OpenError, Selection, Store, StoreReader, VerifyOptions, verify,
};

use crate::support::{DIR, TemporaryDirectory, World, all, append, channel, each_seed, options, payloads};

fn small_segments() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    options
}

fn open_reader(world: &World) -> StoreReader {
    StoreReader::open(Path::new(DIR), &world.doors, &small_segments()).unwrap()
}

/// What a reader shows: its position and all events, by index and payload length.
type Shown = (Position, Vec<(u64, u64, usize)>);

fn shown(reader: &LogReader) -> Shown {
    let view = reader.view();
    let events = view.read(&Selection::channel(&channel("a"))).unwrap().map(Result::unwrap);
    (view.position(), events.map(|event| (event.index.0, event.seq.0, event.payload.len())).collect())
}

#[test]
fn a_reader_sees_what_is_durable_and_nothing_else() {
    let world = World::new();
    let store = world.open();
    let reader = open_reader(&world);
    assert_eq!(reader.main().visible(), Position(0));
    let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"1")]).unwrap();
    for ack in [Ack::Staged, Ack::Written] {
        ticket.wait(ack).into_result().unwrap();
        assert_eq!(reader.main().refresh().unwrap(), Position(0));
    }
    ticket.wait(Ack::Durable).into_result().unwrap();
    assert_eq!(reader.main().visible(), Position(0), "only looking again shows more");
    assert_eq!(reader.main().refresh().unwrap(), store.main().reader().visible());
    assert_eq!(payloads(&reader.main().view(), &Selection::default()), ["1"]);
    assert!(!reader.main().is_closed());
}

#[test]
fn a_tail_beside_a_writer_goes_on_over_segments_reopenings_and_the_close() {
    let world = World::new();
    let mut store = world.open_with(&small_segments());
    let reader = open_reader(&world);
    let mut tail = reader.main().tail(Selection::channel(&channel("a")));
    let mut given = Vec::new();
    for number in 0..120u64 {
        append(store.main(), "a", &format!("{number}-{}", "x".repeat(3000)));
        if number % 7 == 0 {
            reader.main().refresh().unwrap();
            given.extend(tail.next_batch().unwrap().iter().map(|event| event.seq.0));
            assert_eq!(given.len() as u64, number + 1);
            assert!(tail.next_batch().unwrap().is_empty());
        }
        if number % 50 == 49 {
            store.close().unwrap();
            store = world.open_with(&small_segments());
        }
    }
    store.close().unwrap();
    reader.main().refresh().unwrap();
    given.extend(tail.next_batch().unwrap().iter().map(|event| event.seq.0));
    assert_eq!(given, (0..120).collect::<Vec<_>>());
    assert!(reader.main().view().segments().len() > 4);
    assert_eq!(shown(reader.main()), shown(store.main().reader()));
}

/// Appends of all sizes, waited for and not, over several segments; ends with a clean close.
fn work(store: &Store) {
    for number in 0..40u64 {
        let bytes = if number % 3 == 0 { 30_000 } else { 10 };
        let ticket = store.main().append(&channel("a"), &[EventInput::new("k", &vec![1; bytes])]).unwrap();
        if number % 4 != 0 {
            ticket.wait(if number % 2 == 0 { Ack::Written } else { Ack::Durable }).into_result().unwrap();
        }
    }
    store.close().unwrap();
}

#[test]
fn whenever_a_reader_looks_it_sees_what_was_told_to_be_durable() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&seen);
    let (following, doors) = (open_reader(&world), world.doors.clone());
    let writer = store.main().reader().clone();
    world.disk.on_operation(Some(Box::new(move |_, _| {
        following.main().refresh().unwrap();
        let fresh = StoreReader::open(Path::new(DIR), &doors, &small_segments()).unwrap();
        assert_eq!(shown(fresh.main()), shown(following.main()));
        found.lock().unwrap().push((writer.visible(), shown(following.main())));
    })));
    work(&store);
    world.disk.on_operation(None);
    let (_, last) = shown(store.main().reader());
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 100);
    for (visible, (position, events)) in seen.iter() {
        // The file is written before readers of the writer's process are told.
        assert!(position >= visible, "{position} is shown, {visible} was told");
        let due: Vec<_> = last.iter().filter(|(index, ..)| *index < position.0).copied().collect();
        assert_eq!(*events, due, "at {position}");
    }
}

/// After a crash nobody holds the lock: a reader shows what opening for writing would keep.
#[test]
fn after_a_crash_a_reader_sees_what_opening_keeps() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    let snapshots: Arc<Mutex<Vec<Snapshot>>> = Arc::default();
    let taken = Arc::clone(&snapshots);
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    work(&store);
    world.disk.on_operation(None);
    let snapshots = std::mem::take(&mut *snapshots.lock().unwrap());
    let mut torn = 0;
    each_seed(0..snapshots.len() as u64, |seed| {
        let Some(snapshot) = snapshots.get(seed as usize) else { return };
        for survivors in [CrashImage::None, CrashImage::All, CrashImage::Sectors { seed }] {
            let (read, written) = (snapshot.image(&survivors), snapshot.image(&survivors));
            let read = World::on(read, 7);
            let digest = read.disk.digest();
            let reader = open_reader(&read);
            assert_eq!(read.disk.digest(), digest);
            let written = World::on(written, 7);
            let store = written.open_with(&small_segments());
            assert_eq!(shown(reader.main()), shown(store.main().reader()), "{survivors:?}");
        }
    });
    for snapshot in snapshots.iter().step_by(5) {
        let after = World::on(snapshot.image(&CrashImage::Sectors { seed: 3 }), 7);
        let reader = open_reader(&after);
        let before = shown(reader.main());
        let store = after.open_with(&small_segments());
        torn += u64::from(store.recovery().torn_bytes > 0);
        append(store.main(), "a", "behind");
        reader.main().refresh().unwrap();
        let now = shown(reader.main());
        assert_eq!(now, shown(store.main().reader()));
        assert_eq!(now.1[..before.1.len()], before.1);
        assert_eq!(now.1.len(), before.1.len() + 1);
    }
    assert!(torn > 0, "some of the images end torn");
}

#[test]
fn a_reader_of_a_writer_that_hangs_goes_by_what_it_told_last() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    append(store.main(), "a", "1");
    let told = store.main().reader().visible();
    let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"2")]).unwrap();
    ticket.wait(Ack::Written).into_result().unwrap();
    std::mem::forget((store, ticket));
    let reader = open_reader(&world);
    assert_eq!((reader.main().visible(), shown(reader.main()).1.len()), (told, 1));
    // The file is derived: without it nothing is shown that nobody told.
    let visible = Path::new(DIR).join("logs/main/visible");
    for bytes in [vec![0; 64], Vec::new(), vec![0xFF; 3]] {
        world.disk.write(&visible, &bytes);
        assert_eq!(reader.main().refresh().unwrap(), told);
        assert_eq!(open_reader(&world).main().visible(), Position(0));
    }
}

#[test]
fn damage_below_what_was_told_is_an_error_and_what_was_seen_stays() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "1");
    let reader = open_reader(&world);
    let seen = reader.main().visible();
    append(store.main(), "a", "2-to-be-damaged");
    let (path, _) = world.disk.files().into_iter().find(|(path, _)| path.ends_with(segment_name())).unwrap();
    let bytes = world.disk.read(&path).unwrap();
    let at = bytes.windows(10).position(|part| part == b"2-to-be-da").unwrap() as u64;
    world.disk.flip_bit(&path, at * 8);
    for _ in 0..2 {
        assert!(matches!(reader.main().refresh(), Err(redex::ReadError::Corrupt(_))));
        assert_eq!(reader.main().visible(), seen);
    }
    world.disk.flip_bit(&path, at * 8);
    assert_eq!(reader.main().refresh().unwrap(), store.main().reader().visible());
}

fn segment_name() -> String {
    format!("{:010}-{:020}.seg", 0, 0)
}

const CHILD_DIR: &str = "NETDB_TEST_CHILD_DIR";

/// The writer of the tests below, run as a process of its own: it does what it is told line by line.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let mut options = LogOptions::default();
    options.segment_bytes = 64 << 10;
    let store = Store::open(Path::new(&dir), &Doors::system(), &options).unwrap();
    say("opened");
    let mut count = 0;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "append" => {
                for _ in 0..rest.parse::<u64>().unwrap() {
                    append(store.main(), "a", &format!("{count} {}", "x".repeat(500)));
                    count += 1;
                }
                say(&format!("durable {count}"));
            }
            "unsynced" => {
                let event = EventInput::new("k", b"unsynced");
                let ticket = store.main().append(&channel("b"), &[event]).unwrap();
                ticket.wait(Ack::Written).into_result().unwrap();
                std::mem::forget(ticket);
                say("written");
            }
            "close" => {
                store.close().unwrap();
                say("closed");
            }
            _ => return,
        }
    }
}

fn say(text: &str) {
    println!("child: {text}");
    std::io::stdout().flush().unwrap();
}

/// A writer in a process of its own.
struct Writer {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "follow::child", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut writer = Self { child, said };
        assert_eq!(writer.listen(), "opened");
        writer
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        self.listen()
    }

    /// Returns what the child says next; the test harness talks in between.
    fn listen(&mut self) -> String {
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.trim_end().split_once("child: ") {
                return said.to_owned();
            }
            line.clear();
        }
        panic!("the writer ended");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn processes_share_a_directory_one_writes_and_others_read() {
    let dir = TemporaryDirectory::new();
    let doors = Doors::system();
    let mut writer = Writer::start(dir.path());
    match Store::open(dir.path(), &doors, &options()) {
        Err(OpenError::Locked { owner: Some(owner), .. }) => assert_eq!(owner.pid, writer.child.id()),
        other => panic!("{other:?}"),
    }
    let reader = StoreReader::open(dir.path(), &doors, &options()).unwrap();
    let mut tail = reader.main().tail(Selection::channel(&channel("a")));
    let mut given = 0;
    for count in [1u64, 99, 400] {
        let due = given + count;
        assert_eq!(writer.tell(&format!("append {count}")), format!("durable {due}"));
        reader.main().refresh().unwrap();
        while given < due {
            let batch = tail.next_batch().unwrap();
            assert!(!batch.is_empty(), "{given} of {due}");
            for event in batch {
                assert_eq!(event.seq.0, given);
                assert!(event.payload.starts_with(format!("{given} ").as_bytes()));
                given += 1;
            }
        }
    }
    assert!(reader.main().view().segments().len() > 3);
    let report = verify(dir.path(), &doors, &VerifyOptions::default()).unwrap();
    assert_eq!((report.faults, report.events), (vec![], 500));

    assert_eq!(writer.tell("unsynced"), "written");
    writer.kill();
    // The operating system gave the lock back; what was written is there, though nobody synced it.
    reader.main().refresh().unwrap();
    assert_eq!(payloads(&reader.main().view(), &Selection::channel(&channel("b"))), ["unsynced"]);
    let mut writer = Writer::start(dir.path());
    assert_eq!(writer.tell("close"), "closed");
    let closed = StoreReader::open(dir.path(), &doors, &options()).unwrap();
    assert_eq!(payloads(&closed.main().view(), &Selection::default()).len(), 501);
    assert_eq!(reader.main().refresh().unwrap(), closed.main().visible());
    let store = Store::open(dir.path(), &doors, &options()).unwrap();
    assert!(!store.recovery().unclean);
    assert_eq!(all(store.main(), "b"), ["unsynced"]);
    writer.kill();
}

#[test]
fn a_reader_that_polls_keeps_up_with_a_busy_writer() {
    let dir = TemporaryDirectory::new();
    let doors = Doors::system();
    let mut options = LogOptions::default();
    options.segment_bytes = 256 << 10;
    options.sync_within = Duration::from_millis(1);
    let store = Store::open(dir.path(), &doors, &options).unwrap();
    let reader = StoreReader::open(dir.path(), &doors, &options).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..4000u64 {
                let payload = number.to_string().repeat(1 + number as usize % 100);
                let event = EventInput::new("k", payload.as_bytes());
                let ticket = store.main().append(&channel("a"), &[event]).unwrap();
                if number % 16 == 0 {
                    ticket.wait(Ack::Durable).into_result().unwrap();
                }
            }
            store.main().sync().unwrap();
        });
        let mut tail = reader.main().tail(Selection::channel(&channel("a")));
        let mut next = 0;
        while next < 4000 {
            reader.main().refresh().unwrap();
            for event in tail.next_batch().unwrap() {
                assert_eq!(event.seq.0, next);
                let due = next.to_string().repeat(1 + next as usize % 100);
                assert_eq!(event.payload, due.as_bytes());
                next += 1;
            }
        }
    });
    assert!(SystemDisk.list(&dir.path().join("logs/main")).unwrap().len() > 4);
}
