//! A replica of a log that consensus puts in order: appends at slots, votes, truncations, purges, and crashes among them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use base::{CrashImage, Doors, Fault, Identity, Index, LogId, NodeId, Position, SeededRandom, Slot, Term};
use bytes::Bytes;
use redex::{
    AppendRequest, ChannelEvents, Completion, EntryContent, EventInput, LogOptions, OpenError, Proposer,
    ReplicaEntry, ReplicaError, ReplicaIdentity, ReplicaLog, ReplicaState, SealedEntry, Selection, Vote,
};

use crate::support::{DIR, World, channel, options, payloads};

mod cut_off;
mod doubt;
mod fork;
mod model;
mod snapshot;

/// Outcomes in the order in which they were told.
type Told = Arc<Mutex<Vec<(u64, Result<(), ReplicaError>)>>>;

fn identity() -> ReplicaIdentity {
    let origin = leader(1).origin();
    ReplicaIdentity { log: LogId::from_bytes([7; 16]), origin, name: "main".to_owned() }
}

/// The key of a leader.
fn leader(seed: u64) -> Arc<Identity> {
    let disk = base::MemoryDisk::new();
    Arc::new(Identity::create(&disk, Path::new("identity"), &SeededRandom::new(seed)).unwrap())
}

fn small() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 16 << 10;
    options
}

fn open(doors: &Doors) -> ReplicaLog {
    ReplicaLog::open(Path::new(DIR), &identity(), doors, &small()).unwrap()
}

fn blank(term: u64, index: u64) -> ReplicaEntry {
    let slot = Slot { term: Term(term), node: NodeId(1), index: Index(index) };
    ReplicaEntry { slot, content: EntryContent::Consensus(Bytes::new()) }
}

fn blanks(term: u64, indexes: std::ops::Range<u64>) -> Vec<ReplicaEntry> {
    indexes.map(|index| blank(term, index)).collect()
}

fn submit(proposer: &mut Proposer, name: &str, payload: &str) {
    let events = [EventInput::new("test.happened", payload.as_bytes())];
    let name = channel(name);
    let parts = [ChannelEvents { channel: &name, events: &events }];
    proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
}

/// Seals one entry with an event.
fn sealed(proposer: &mut Proposer, name: &str, payload: &str) -> ReplicaEntry {
    submit(proposer, name, payload);
    let mut sealed = proposer.seal();
    assert_eq!(sealed.len(), 1);
    sealed.remove(0)
}

/// The entry as another process would get it.
fn sent(entry: &ReplicaEntry) -> ReplicaEntry {
    let EntryContent::Sealed(sealed) = &entry.content else { return entry.clone() };
    let content = EntryContent::Sealed(SealedEntry::from_bytes(sealed.bytes().clone()));
    ReplicaEntry { slot: entry.slot, content }
}

fn noting(told: &Told, number: u64) -> Completion {
    let told = Arc::clone(told);
    Completion::new(move |outcome| told.lock().unwrap().push((number, outcome)))
}

fn append(log: &ReplicaLog, entries: &[ReplicaEntry]) {
    log.append(entries, Completion::ignored()).unwrap();
}

fn all(log: &ReplicaLog) -> Vec<ReplicaEntry> {
    log.entries(Index::ZERO..Index(u64::MAX), u64::MAX).unwrap()
}

fn last(log: &ReplicaLog) -> Option<Slot> {
    log.state().last
}

fn slot(term: u64, index: u64) -> Slot {
    blank(term, index).slot
}

fn vote(term: u64) -> Vote {
    Vote { term: Term(term), node: NodeId(2), committed: false }
}

fn faults(world: &World) -> Vec<redex::Fault> {
    world.verify().faults
}

#[test]
fn entries_are_read_as_they_were_appended_before_and_after_reopening() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    let mut wanted = vec![blank(1, 0)];
    for number in 0..200 {
        wanted.push(sealed(&mut proposer, "orders", &format!("{number}")));
        append(&log, &wanted[wanted.len() - 1..]);
    }
    assert_eq!(all(&log), wanted);
    assert_eq!(log.entries(Index(7)..Index(9), u64::MAX).unwrap(), wanted[7..9]);
    assert_eq!(log.entries(Index(7)..Index(99), 1).unwrap(), wanted[7..8]);
    log.close().unwrap();
    drop(log);
    let log = open(&world.doors);
    assert_eq!(all(&log), wanted);
    assert_eq!(last(&log), Some(slot(1, 200)));
    assert!(log.reader().view().segments().len() > 2);
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn readers_see_what_is_committed_and_durable_and_nothing_else() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    let entries: Vec<_> = (1..4).map(|n| sealed(&mut proposer, "orders", &format!("{n}"))).collect();
    append(&log, &entries);
    let seen = |log: &ReplicaLog| payloads(&log.reader().view(), &Selection::channel(&channel("orders")));
    log.save_committed(Some(slot(1, 2))).unwrap();
    assert_eq!(seen(&log), [""; 0], "committed, but not durable here");
    log.flush_step();
    assert_eq!(seen(&log), ["1", "2"]);
    log.save_committed(Some(slot(1, 3))).unwrap();
    assert_eq!(seen(&log), ["1", "2", "3"]);
    log.close().unwrap();
    drop(log);
    let log = open(&world.doors);
    assert_eq!(seen(&log), ["1", "2", "3"]);
    assert_eq!(log.committed(), Some(slot(1, 3)));
}

#[test]
fn entries_that_do_not_follow_are_refused_and_leave_nothing() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    let entries: Vec<_> = (0..3).map(|n| sealed(&mut proposer, "orders", &format!("{n}"))).collect();
    append(&log, &entries[..1]);
    let files = world.disk.files().len();
    let refused = |entries: &[ReplicaEntry]| {
        let told = Told::default();
        let error = log.append(entries, noting(&told, 1)).unwrap_err();
        assert_eq!(*told.lock().unwrap(), [(1, Err(error.clone()))], "whoever waits is told");
        assert_eq!(world.disk.files().len(), files, "nothing had to be cut off");
        error
    };
    assert_eq!(
        refused(&[entries[2].clone()]),
        ReplicaError::Misplaced { slot: entries[2].slot, expected: Index(2) }
    );
    // Every bit of a sealed entry counts, whoever sends it.
    let EntryContent::Sealed(whole) = &entries[1].content else { panic!() };
    for bit in (0..whole.bytes().len() * 8).step_by(7) {
        let mut flipped = whole.bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let content = EntryContent::Sealed(SealedEntry::from_bytes(flipped.into()));
        let entry = ReplicaEntry { slot: entries[1].slot, content };
        assert!(matches!(refused(&[entry]), ReplicaError::Misfit { .. }), "bit {bit}");
    }
    // A consensus entry in its place breaks the link.
    append(&log, &[blank(1, 2)]);
    let moved = ReplicaEntry { slot: slot(1, 3), content: entries[2].content.clone() };
    assert!(matches!(refused(&[sent(&moved)]), ReplicaError::Misfit { .. }));
    assert_eq!(last(&log), Some(slot(1, 2)));
    // The first of several is taken back with the one that is refused.
    assert!(matches!(refused(&[blank(1, 3), blank(1, 5)]), ReplicaError::Misplaced { .. }));
    assert_eq!(last(&log), Some(slot(1, 2)));
    let mut proposer = log.proposer(Term(2), NodeId(2), leader(2));
    append(&log, &[sent(&sealed(&mut proposer, "orders", "on"))]);
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

/// What consensus wrote, as text.
fn consensus(log: &ReplicaLog) -> Vec<(Slot, String)> {
    let written = log.consensus().into_iter();
    written.map(|(slot, bytes)| (slot, String::from_utf8(bytes.to_vec()).unwrap())).collect()
}

fn members(term: u64, index: u64, text: &'static str) -> ReplicaEntry {
    ReplicaEntry { content: EntryContent::Consensus(text.into()), ..blank(term, index) }
}

#[test]
fn what_consensus_wrote_last_is_known_after_truncation_purge_and_reopening() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[members(1, 0, "a"), blank(1, 1), members(1, 2, "ab"), members(1, 3, "abc")]);
    let at = |index, text: &str| (slot(1, index), text.to_owned());
    assert_eq!(consensus(&log), [at(2, "ab"), at(3, "abc")]);
    log.truncate_after(Some(Index(2))).unwrap();
    assert_eq!(consensus(&log), [at(0, "a"), at(2, "ab")]);
    append(&log, &[blank(1, 3)]);
    log.purge(slot(1, 3)).unwrap();
    assert_eq!(consensus(&log), [at(0, "a"), at(2, "ab")]);
    log.close().unwrap();
    drop(log);
    assert_eq!(consensus(&open(&world.doors)), [at(0, "a"), at(2, "ab")]);
}

#[test]
fn what_was_proposed_for_a_place_that_was_given_away_becomes_a_blank_entry() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    let entries: Vec<_> = (1..4).map(|n| sealed(&mut proposer, "orders", &format!("{n}"))).collect();
    append(&log, &entries[..1]);
    // The second was refused: the third comes into its place, and behind a membership into its own, but unlinked.
    let at = |index, entry: &ReplicaEntry| ReplicaEntry { slot: slot(1, index), ..entry.clone() };
    append(&log, &[at(2, &entries[2])]);
    append(&log, &[at(3, &entries[2])]);
    log.flush_step();
    log.save_committed(Some(slot(1, 3))).unwrap();
    let all = all(&log);
    assert_eq!(all[2..], [blank(1, 2), blank(1, 3)]);
    let seen = payloads(&log.reader().view(), &Selection::channel(&channel("orders")));
    assert_eq!(seen, ["1"]);
    // Who begins anew behind them goes on.
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    append(&log, &[sealed(&mut proposer, "orders", "4")]);
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn completions_are_told_in_order_once_their_entries_are_durable() {
    let world = World::new();
    let log = open(&world.doors);
    let told = Told::default();
    for index in 0..5 {
        log.append(&[blank(1, index)], noting(&told, index)).unwrap();
    }
    assert_eq!(log.state().durable, Position(0));
    assert!(told.lock().unwrap().is_empty());
    log.flush_step();
    assert_eq!(told.lock().unwrap().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(told.lock().unwrap().iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(log.state().durable, Position(5));
    assert_eq!(log.flush_step(), None);
    log.append(&[blank(1, 5)], noting(&told, 5)).unwrap();
    drop(log);
    assert_eq!(told.lock().unwrap().last(), Some(&(5, Ok(()))), "closing makes durable");
}

#[test]
fn a_failed_sync_tells_everybody_and_nothing_is_taken_until_reopened() {
    let world = World::new();
    let log = open(&world.doors);
    let told = Told::default();
    log.append(&[blank(1, 0)], noting(&told, 0)).unwrap();
    log.append(&[blank(1, 1)], noting(&told, 1)).unwrap();
    world.disk.inject(world.disk.operation_count(), Fault::Error(5));
    log.flush_step();
    let outcomes = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Err(ReplicaError::Poisoned { .. }))));
    let poisoned = |outcome: Result<(), ReplicaError>| {
        assert!(matches!(outcome, Err(ReplicaError::Poisoned { .. })), "{outcome:?}");
    };
    poisoned(log.append(&[blank(1, 2)], noting(&told, 2)));
    poisoned(log.save_vote(vote(3)));
    poisoned(log.truncate_after(None));
    poisoned(log.purge(slot(1, 0)));
    poisoned(log.close());
    drop(log);
    assert!(open(&world.doors).save_vote(vote(3)).is_ok());
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &blanks(1, 0..3));
    log.flush_step();
    world.disk.fill_up(Some(0));
    let told = Told::default();
    // What was filled ahead takes some more; then there is no room.
    let mut next = 3;
    let refused = loop {
        match log.append(&blanks(1, next..next + 20), noting(&told, next)) {
            Ok(()) => next += 20,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ReplicaError::DiskFull { taken: 0 });
    assert_eq!(told.lock().unwrap().last(), Some(&(next, Err(ReplicaError::DiskFull { taken: 0 }))));
    assert_eq!(all(&log).len() as u64, next);
    world.disk.fill_up(None);
    append(&log, &blanks(1, next..next + 20));
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_call_that_fits_in_part_goes_on_where_it_was_when_there_is_space() {
    let mut in_part = 0;
    for free in (0..300_000).step_by(7_321) {
        let world = World::new();
        let log = open(&world.doors);
        append(&log, &blanks(1, 0..3));
        log.flush_step();
        world.disk.fill_up(Some(free));
        let entries = blanks(1, 3..1_500);
        let mut rest = &entries[..];
        for _ in 0..3 {
            match log.append(rest, Completion::ignored()) {
                Ok(()) => rest = &[],
                Err(ReplicaError::DiskFull { taken }) => {
                    in_part += u32::from(taken > 0);
                    rest = &rest[taken..];
                    assert_eq!(all(&log).len(), 1_500 - rest.len());
                }
                Err(error) => panic!("{free} bytes free: {error}"),
            }
        }
        world.disk.fill_up(None);
        append(&log, rest);
        assert_eq!(all(&log).len(), 1_500);
        log.close().unwrap();
        assert_eq!(faults(&world), []);
    }
    assert!(in_part > 5, "{in_part}");
}

#[test]
fn votes_and_what_was_purged_outlast_everything() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &blanks(1, 0..300));
    log.save_vote(Vote { committed: true, ..vote(4) }).unwrap();
    log.purge(slot(1, 199)).unwrap();
    assert_eq!(all(&log).first().map(|entry| entry.slot.index), Some(Index(200)));
    log.truncate_after(Some(Index(250))).unwrap();
    append(&log, &blanks(4, 251..600));
    let wanted = (log.vote(), log.state().purged, last(&log));
    assert_eq!(wanted.1, Some(slot(1, 199)));
    let segments = world.disk.files().len();
    drop(log);
    let log = open(&world.doors);
    assert_eq!((log.vote(), log.state().purged, last(&log)), wanted);
    assert_eq!(all(&log).len(), 400);
    log.purge(slot(4, 500)).unwrap();
    assert!(world.disk.files().len() < segments, "files of purged entries go");
    assert_eq!(log.state().purged, Some(slot(4, 500)));
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_purge_beyond_the_end_goes_on_behind_it() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &blanks(1, 0..10));
    log.purge(slot(3, 20)).unwrap();
    let state = log.state();
    assert_eq!((state.purged, state.last), (Some(slot(3, 20)), Some(slot(3, 20))));
    assert_eq!(all(&log), []);
    append(&log, &blanks(3, 21..23));
    drop(log);
    let log = open(&world.doors);
    assert_eq!(all(&log), blanks(3, 21..23));
    assert_eq!(log.state().purged, Some(slot(3, 20)));
}

#[test]
fn the_replica_of_another_log_is_refused() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &blanks(1, 0..10));
    log.close().unwrap();
    drop(log);
    let other = ReplicaIdentity { log: LogId::from_bytes([8; 16]), ..identity() };
    let refused = ReplicaLog::open(Path::new(DIR), &other, &world.doors, &small()).unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt(_)), "{refused}");
}

#[test]
fn what_was_cut_off_never_comes_back_and_log_state_is_as_before() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut first = log.proposer(Term(1), NodeId(1), leader(1));
    let kept: Vec<_> = (0..40).map(|n| sealed(&mut first, "orders", &format!("kept {n}"))).collect();
    append(&log, &kept);
    let lost: Vec<_> =
        (0..400).map(|n| sealed(&mut first, "lost", &format!("lost {n} {}", "x".repeat(60)))).collect();
    append(&log, &lost);
    log.truncate_after(Some(Index(40))).unwrap();
    assert_eq!(last(&log), Some(slot(1, 40)));
    // A channel that was created in what is gone is unknown, and numbers go on where they stood.
    let mut second = log.proposer(Term(2), NodeId(2), leader(2));
    let more: Vec<_> = (0..5).map(|n| sealed(&mut second, "orders", &format!("new {n}"))).collect();
    append(&log, &more.iter().map(sent).collect::<Vec<_>>());
    log.save_committed(Some(Slot { term: Term(2), node: NodeId(2), index: Index(45) })).unwrap();
    log.flush_step();
    let view = log.reader().view();
    assert_eq!(view.channel(&channel("lost")).unwrap(), None);
    assert_eq!(view.channel(&channel("orders")).unwrap().unwrap().next_seq.0, 45);
    assert_eq!(payloads(&view, &Selection::channel(&channel("orders"))).len(), 45);
    assert!(matches!(log.truncate_after(Some(Index(44))), Err(ReplicaError::Committed { .. })));
    drop(log);
    assert_eq!(faults(&world), []);
    let log = open(&world.doors);
    assert_eq!(all(&log).len(), 46);
    let read = payloads(&log.reader().view(), &Selection::default());
    assert!(read.iter().all(|payload| !payload.starts_with("lost")), "{read:?}");
}

/// Stops before each operation of `act`, and opens what each policy leaves there.
fn at_every_crash(
    prepare: impl Fn(&ReplicaLog),
    act: impl Fn(&ReplicaLog),
    check: impl Fn(&ReplicaLog, &ReplicaState, &str),
) -> usize {
    at_every_crash_of(prepare, act, |_, log, state, what| check(log, state, what))
}

/// As [`at_every_crash`], with a look at the disk.
fn at_every_crash_of(
    prepare: impl Fn(&ReplicaLog),
    act: impl Fn(&ReplicaLog),
    check: impl Fn(&World, &ReplicaLog, &ReplicaState, &str),
) -> usize {
    let world = World::new();
    let log = open(&world.doors);
    prepare(&log);
    let snapshots = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&snapshots);
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    act(&log);
    world.disk.on_operation(None);
    let mut snapshots = std::mem::take(&mut *snapshots.lock().unwrap());
    snapshots.push(world.disk.snapshot());
    for (moment, snapshot) in snapshots.iter().enumerate() {
        for image in images(moment as u64) {
            let crashed = World::on(snapshot.image(&image), 7);
            let what = format!("moment {moment} of {}, {image:?}", snapshots.len());
            let log = open(&crashed.doors);
            let state = log.state();
            check(&crashed, &log, &state, &what);
            let next = state.last.map_or(0, |last| last.index.0 + 1);
            append(&log, &blanks(9, next..next + 2));
            log.close().unwrap();
            drop(log);
            assert_eq!(faults(&crashed), [], "{what}");
        }
    }
    snapshots.len()
}

fn images(seed: u64) -> [CrashImage; 9] {
    [
        CrashImage::None,
        CrashImage::All,
        CrashImage::Sectors { seed },
        CrashImage::Sectors { seed: seed + 1_000 },
        CrashImage::Prefix { operations: usize::try_from(seed % 8).unwrap() },
        CrashImage::Reordered { seed },
        CrashImage::SizeBeforeData { writes: 1 },
        CrashImage::DataBeforeSize { operations: 1 },
        CrashImage::LostRenames,
    ]
}

#[test]
fn a_crash_within_a_truncation_leaves_the_log_before_it_or_behind_it() {
    // Behind entry 399 nothing was synced before.
    for keep in [0, 1, 37, 100, 399, 405] {
        let moments = at_every_crash(
            |log| {
                append(log, &blanks(1, 0..400));
                log.save_vote(vote(1)).unwrap();
                append(log, &blanks(1, 400..410));
            },
            |log| log.truncate_after(Some(Index(keep))).unwrap(),
            |log, state, what| {
                let entries = all(log);
                let kept = keep as usize + 1;
                assert!(
                    entries.len() == kept || (400..=410).contains(&entries.len()),
                    "{} {what}",
                    entries.len()
                );
                assert_eq!(entries, blanks(1, 0..entries.len() as u64), "{what}");
                assert_eq!(log.vote(), Some(vote(1)), "{what}");
                assert_eq!(state.purged, None);
            },
        );
        assert!(moments > 6, "{moments} moments");
    }
}

#[test]
fn a_crash_behind_a_truncation_and_new_entries_leaves_nothing_of_what_was_cut_off() {
    at_every_crash(
        |log| {
            append(log, &blanks(1, 0..300));
            log.truncate_after(Some(Index(99))).unwrap();
        },
        |log| {
            append(log, &blanks(2, 100..110));
            log.flush_step();
            append(log, &blanks(2, 110..120));
        },
        |log, _, what| {
            let entries = all(log);
            assert!(entries.len() >= 100, "{what}");
            assert!(entries[100..].iter().all(|entry| entry.slot.term == Term(2)), "{what}");
        },
    );
}

#[test]
fn a_crash_within_a_purge_leaves_its_mark_or_everything() {
    at_every_crash(
        |log| append(log, &blanks(1, 0..400)),
        |log| log.purge(slot(1, 250)).unwrap(),
        |log, state, what| match state.purged {
            None => assert!(all(log).first().is_none_or(|first| *first == blank(1, 0)), "{what}"),
            Some(purged) => {
                assert_eq!(purged, slot(1, 250), "{what}");
                assert_eq!(all(log), blanks(1, 251..400), "{what}");
            }
        },
    );
}

#[test]
fn a_crash_around_a_vote_leaves_the_old_one_or_the_new_one_with_everything_before_it() {
    at_every_crash(
        |log| {
            append(log, &blanks(1, 0..20));
            log.save_vote(vote(1)).unwrap();
            append(log, &blanks(1, 20..25));
        },
        |log| log.save_vote(vote(2)).unwrap(),
        |log, _, what| {
            let entries = all(log).len();
            match log.vote() {
                Some(found) if found == vote(1) => assert!(entries >= 20, "{what}"),
                // Only behind the entries: a vote must not be there where they are not.
                Some(found) if found == vote(2) => assert_eq!(entries, 25, "{what}"),
                found => panic!("{found:?}, {what}"),
            }
        },
    );
}

#[test]
fn another_process_reads_a_replica_as_far_as_it_is_committed_and_beyond_what_was_cut_off() {
    let world = World::new();
    let store = world.open();
    let named = ReplicaIdentity { name: "shared".to_owned(), ..identity() };
    let log = store.open_replica(&named).unwrap();
    let beside = || redex::StoreReader::open(Path::new(DIR), &world.doors, &LogOptions::default()).unwrap();
    let seen = |reader: &redex::StoreReader| {
        reader.refresh().unwrap();
        let events = reader.view().read(&Selection::channel(&channel("orders"))).unwrap();
        events.map(|event| String::from_utf8(event.unwrap().payload.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    let entries: Vec<_> = (1..5).map(|n| sealed(&mut proposer, "orders", &format!("{n}"))).collect();
    append(&log, &entries);
    log.flush_step();
    let reader = beside();
    assert_eq!(seen(&reader), [""; 0]);
    log.save_committed(Some(slot(1, 2))).unwrap();
    assert_eq!(seen(&reader), ["1", "2"]);
    // What was never committed goes, and something else comes in its place.
    log.truncate_after(Some(Index(2))).unwrap();
    append(&log, &[blank(2, 3)]);
    let mut proposer = log.proposer(Term(2), NodeId(2), leader(2));
    append(&log, &[sealed(&mut proposer, "orders", "three"), sealed(&mut proposer, "orders", "four")]);
    log.flush_step();
    log.save_committed(Some(slot(2, 4))).unwrap();
    assert_eq!(seen(&reader), ["1", "2", "three"]);
    assert_eq!(seen(&beside()), ["1", "2", "three"]);
    log.close().unwrap();
    store.close().unwrap();
    // Nobody writes: what is not committed stays unseen.
    assert_eq!(seen(&reader), ["1", "2", "three"]);
    assert_eq!(seen(&beside()), ["1", "2", "three"]);
    // The key beside it need not have begun it, and nothing here says what it keeps.
    let verified = redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default()).unwrap();
    assert!(verified.iter().all(|report| report.faults.is_empty()), "{verified:?}");
}
