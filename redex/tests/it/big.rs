//! A log of a gigabyte opens like one of a tenth of that: the work of opening is counted, not timed.
//!
//! Memory can only be told in a process that has done nothing else, so the test runs itself again, in a role.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Disk, DiskFile, DiskLock, Doors, OpenMode, SystemDisk};
use redex::{Ack, EventInput, Store};

use crate::support::{TemporaryDirectory, channel, options};

/// Set in a process that plays a role; its value is the role.
const ROLE: &str = "NETDB_BIG_ROLE";
/// Where that process finds its log.
const DIR: &str = "NETDB_BIG_DIR";

/// Payload of an event.
const PAYLOAD_BYTES: usize = 7_440_000;
/// Events that seal a segment; the newest has one less, and so nearly its size.
const SEGMENT_EVENTS: u64 = 5;
/// Sealed segments of the large log, and of the one that is about a tenth of it.
const SEALED: [u64; 2] = [31, 3];
/// Bytes that opening may read beside the newest segment: superblock, key, lock.
const OTHER_BYTES_MAX: u64 = 64 << 10;
/// By how much both state frames may be longer: the log root has a peak more for each doubling.
const STATE_GROWTH_BYTES_MAX: u64 = 512;
/// Reads of an opening.
const READS_MAX: u64 = 32;
/// By how much the process may have grown behind an opening.
const RESIDENT_BYTES_MAX: u64 = 64_000_000;
/// Memory that an opening needs beside the newest segment, while it goes on.
const PEAK_BYTES_MAX: u64 = 16 << 20;

/// The machine's disk, which counts what is read of it.
#[derive(Debug, Clone, Default)]
struct CountingDisk(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct CountingFile(Arc<dyn DiskFile>, Arc<Counts>);

impl DiskFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        self.1.reads.fetch_add(1, Ordering::Relaxed);
        self.1.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_length(bytes)
    }
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(CountingFile(SystemDisk.open(path, mode)?, Arc::clone(&self.0))))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_directories(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        SystemDisk.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        SystemDisk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        SystemDisk.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        SystemDisk.is_locked(path)
    }
}

/// What an opening cost.
#[derive(Debug)]
struct Cost {
    unclean: bool,
    reads: u64,
    bytes: u64,
    /// By how much the process has grown, and had meanwhile.
    resident_bytes: u64,
    peak_bytes: u64,
}

impl Cost {
    fn parse(text: &str) -> Self {
        let line =
            text.lines().find_map(|line| line.strip_prefix("COST ")).unwrap_or_else(|| panic!("{text}"));
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [unclean, reads, bytes, resident_bytes, peak_bytes] = numbers[..] else { panic!("{line}") };
        Self { unclean: unclean == 1, reads, bytes, resident_bytes, peak_bytes }
    }
}

/// Bytes that this process has in memory, and has had at most.
fn memory() -> (u64, u64) {
    let mut bytes = vec![0; 16 << 10];
    let file = SystemDisk.open(Path::new("/proc/self/status"), OpenMode::Read).unwrap();
    let count = file.read_at(&mut bytes, 0).unwrap();
    let status = std::str::from_utf8(&bytes[..count]).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Writes a log and ends without closing it.
fn write(dir: &Path, sealed: u64) {
    let store = Store::open(dir, &Doors::system(), &options()).unwrap();
    let payload: Vec<u8> = (0..PAYLOAD_BYTES).map(|place| (place % 251) as u8 + 1).collect();
    for _ in 0..(sealed + 1) * SEGMENT_EVENTS - 1 {
        let event = EventInput::new("large", &payload);
        store.main().append(&channel("c"), &[event]).unwrap().wait(Ack::Written).into_result().unwrap();
    }
    assert_eq!(segments(dir).len() as u64, sealed + 1);
    std::process::exit(0);
}

/// Opens a log, tells what that cost, and closes it.
fn open(dir: &Path) {
    let disk = CountingDisk::default();
    let doors = Doors { disk: Arc::new(disk.clone()), ..Doors::system() };
    let (before, _) = memory();
    let store = Store::open(dir, &doors, &options()).unwrap();
    let (after, peak) = memory();
    let (reads, bytes) = (disk.0.reads.load(Ordering::Relaxed), disk.0.bytes.load(Ordering::Relaxed));
    let unclean = u8::from(store.recovery().unclean);
    println!(
        "COST {unclean} {reads} {bytes} {} {}",
        after.saturating_sub(before),
        peak.saturating_sub(before)
    );
    store.close().unwrap();
}

/// The names of the segments, in order.
fn segments(dir: &Path) -> Vec<String> {
    let names = SystemDisk.list(&dir.join("logs/main")).unwrap();
    names.into_iter().filter(|name| name.ends_with(".seg")).collect()
}

fn length(dir: &Path, segment: &str) -> u64 {
    SystemDisk.open(&dir.join("logs/main").join(segment), OpenMode::Read).unwrap().length().unwrap()
}

/// Runs this test again, in a role; returns what it said.
fn in_a_process_of_its_own(role: &str, dir: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "big::opening_does_not_depend_on_the_size_of_the_log"]);
    let output = command.env(ROLE, role).env(DIR, dir).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{role}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Writes a log, and opens it as it was left and behind a clean close. Returns both costs, and bytes of the log and
/// of its newest segment.
fn costs(sealed: u64) -> ([Cost; 2], u64, [u64; 2]) {
    let place = TemporaryDirectory::new();
    let dir = place.path();
    in_a_process_of_its_own(&sealed.to_string(), dir);
    let all = segments(dir);
    let newest = all.last().unwrap();
    let unclean_bytes = length(dir, newest);
    let unclean = Cost::parse(&in_a_process_of_its_own("open", dir));
    let clean_bytes = length(dir, newest);
    let clean = Cost::parse(&in_a_process_of_its_own("open", dir));
    let bytes = all.iter().map(|segment| length(dir, segment)).sum();
    ([unclean, clean], bytes, [unclean_bytes, clean_bytes])
}

#[test]
fn opening_does_not_depend_on_the_size_of_the_log() {
    if let Ok(role) = std::env::var(ROLE) {
        let dir = std::env::var(DIR).unwrap();
        return match &*role {
            "open" => open(dir.as_ref()),
            sealed => write(dir.as_ref(), sealed.parse().unwrap()),
        };
    }
    let [(large, bytes, newest), (small, small_bytes, _)] = SEALED.map(costs);
    assert!(bytes > 1_000_000_000 && bytes > 8 * small_bytes, "{bytes} and {small_bytes} bytes");
    for (cost, newest) in large.iter().zip(newest) {
        println!("{bytes} bytes, {newest} in the newest segment: {cost:?}");
        assert!(cost.reads <= READS_MAX, "{cost:?}");
        assert!(cost.bytes <= newest + OTHER_BYTES_MAX, "{cost:?}");
        assert!(cost.resident_bytes < RESIDENT_BYTES_MAX, "{cost:?}");
        assert!(cost.peak_bytes < newest + PEAK_BYTES_MAX, "{cost:?}");
    }
    assert!(large[0].unclean && !large[1].unclean, "{large:?}");
    for (large, small) in large.iter().zip(&small) {
        assert_eq!(large.reads, small.reads, "{small_bytes} bytes: {small:?}");
        assert!(large.bytes <= small.bytes + STATE_GROWTH_BYTES_MAX, "{small_bytes} bytes: {small:?}");
    }
}
