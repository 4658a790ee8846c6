//! A replica in memory whose files are altered.

use std::path::Path;
use std::sync::Arc;

use base::{Identity, Index, LogId, MemoryDisk, NodeId, OriginId, SeededRandom, Slot, Term};
use redex::{
    AppendRequest, ChannelEvents, Completion, EntryContent, EventInput, ReplicaEntry, ReplicaIdentity,
    ReplicaLog, VerifyOptions, Vote,
};

use crate::damage::{DIR, Files, Outcome, channel, doors, options, read_files};

const ORIGIN: [u8; 32] = [3; 32];

fn identity() -> ReplicaIdentity {
    let (log, origin) = (LogId::from_bytes([7; 16]), OriginId::from_bytes(ORIGIN));
    ReplicaIdentity { log, origin, name: "main".to_owned() }
}

fn blank(term: u64, index: u64) -> ReplicaEntry {
    let slot = Slot { term: Term(term), node: NodeId(1), index: Index(index) };
    ReplicaEntry { slot, content: EntryContent::Consensus(Vec::new().into()) }
}

fn append(log: &ReplicaLog, entries: &[ReplicaEntry]) -> bool {
    log.append(entries, Completion::ignored()).is_ok()
}

fn seal(log: &ReplicaLog, term: u64, count: usize) -> Vec<ReplicaEntry> {
    let key = Identity::create(&MemoryDisk::new(), Path::new("identity"), &SeededRandom::new(term));
    let key = Arc::new(key.expect("memory has room"));
    let mut proposer = log.proposer(Term(term), NodeId(1), key);
    let a = channel("a");
    let mut sealed = Vec::new();
    for number in 0..count {
        let payload = [u8::try_from(number % 200).unwrap_or(0); 500];
        let events = [EventInput::new("test.happened", &payload)];
        let parts = [ChannelEvents { channel: &a, events: &events }];
        let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
        proposer.submit(&request).expect("the request is sound");
        sealed.extend(proposer.seal());
    }
    sealed
}

/// Makes a replica with several segments, one of which was truncated, with votes and marks.
///
/// # Panics
///
/// When a sound replica cannot be written.
pub fn sound(closed: bool) -> Files {
    let doors = doors(&Vec::new());
    let log = ReplicaLog::open(Path::new(DIR), &identity(), &doors, &options()).expect("an empty disk");
    assert!(append(&log, &[blank(1, 0)]));
    assert!(append(&log, &seal(&log, 1, 40)));
    log.save_vote(Vote { term: Term(2), node: NodeId(1), committed: true }).expect("memory has room");
    log.truncate_after(Some(Index(20))).expect("nothing is committed");
    assert!(append(&log, &[blank(2, 21)]));
    assert!(append(&log, &seal(&log, 2, 5)));
    log.save_committed(Some(blank(2, 21).slot)).expect("memory has room");
    if closed {
        log.close().expect("memory has room");
        return read_files(&*doors.disk);
    }
    log.flush_step();
    read_files(&*doors.disk)
}

/// Verifies the files, opens them, reads and writes, and opens them again. Nothing of it may panic; a replica that was
/// opened and written must open again, and give what was appended.
///
/// # Panics
///
/// When a replica that was opened does not go on.
pub fn use_files(files: &Files) -> Outcome {
    let (dir, doors) = (Path::new(DIR), doors(files));
    let _ = redex::verify(dir, &doors, &VerifyOptions { channel: None, all_signatures: true });
    let Ok(log) = ReplicaLog::open(dir, &identity(), &doors, &options()) else { return Outcome::Refused };
    let _ = log.entries(Index(0)..Index(u64::MAX), u64::MAX);
    let next = log.state().last.map_or(0, |last| last.index.0.saturating_add(1));
    if !append(&log, &[blank(9, next)]) {
        return Outcome::ReadOnly;
    }
    let cut = next.checked_sub(3).map(Index);
    let truncated = log.truncate_after(cut).is_ok();
    let next = log.state().last.map_or(0, |last| last.index.0 + 1);
    let appended = append(&log, &[blank(9, next)]) && log.close().is_ok();
    drop(log);
    if !(truncated && appended) {
        return Outcome::ReadOnly;
    }
    let log = ReplicaLog::open(dir, &identity(), &doors, &options()).expect("what was written opens again");
    let last = log.entries(Index(next)..Index(next + 1), u64::MAX).expect("what was appended is read");
    assert_eq!(last, [blank(9, next)]);
    Outcome::GoesOn
}
