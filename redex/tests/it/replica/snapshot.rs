//! Replicas that give up their beginning, and others that begin where those do.

use std::path::PathBuf;

use redex::{DueTrim, ReadError, ReplicaSnapshot, Retention};

use super::*;

/// A log of one leader: entries of one event each, and in between what the leader gives up by a retention.
struct Led {
    world: World,
    log: ReplicaLog,
    proposer: Proposer,
    /// Every entry that there ever was.
    entries: Vec<ReplicaEntry>,
}

impl Led {
    fn new() -> Self {
        let world = World::new();
        let log = open(&world.doors);
        let entries = vec![blank(1, 0), members(1, 1, "a b c")];
        append(&log, &entries);
        let proposer = log.proposer(Term(1), NodeId(1), leader(1));
        Self { world, log, proposer, entries }
    }

    fn take(&mut self, sealed: Vec<ReplicaEntry>) {
        append(&self.log, &sealed);
        self.entries.extend(sealed);
        self.log.flush_step();
        self.log.save_committed(last(&self.log)).unwrap();
    }

    fn grow(&mut self, events: std::ops::Range<u32>) {
        for number in events {
            submit(&mut self.proposer, "orders", &format!("{number} {}", "x".repeat(100)));
            let sealed = self.proposer.seal();
            self.take(sealed);
        }
    }

    /// Does what a retention asks for; returns the first entry that is kept.
    fn retain(&mut self, retention: &Retention) -> Index {
        let DueTrim { trim, .. } = self.log.due_trim(retention).unwrap();
        assert!(self.proposer.trim(&trim.expect("something is to go")));
        assert!(!self.proposer.trim(&self.log.due_trim(retention).unwrap().trim.unwrap()), "once is enough");
        assert_eq!(self.log.given_up().unwrap(), None, "not before it is committed");
        let sealed = self.proposer.seal();
        append(&self.log, &sealed);
        self.log.flush_step();
        assert_eq!(self.log.given_up().unwrap(), None, "that it is durable here is not enough");
        self.entries.extend(sealed);
        self.log.save_committed(last(&self.log)).unwrap();
        let given_up = self.log.given_up().unwrap().expect("what was committed is given up");
        self.log.purge(given_up).unwrap();
        assert_eq!(self.log.given_up().unwrap(), None);
        assert_eq!(self.log.due_trim(retention).unwrap().trim, None);
        given_up.index.next()
    }

    fn snapshot(&self) -> ReplicaSnapshot {
        self.log.snapshot().unwrap().expect("the beginning was given up")
    }

    fn behind(&self, index: Index) -> Vec<ReplicaEntry> {
        self.entries[index.0 as usize + 1..].iter().map(sent).collect()
    }
}

/// A log of which the first half was given up, and then some more.
fn given_up() -> (Led, Index) {
    let mut led = Led::new();
    led.grow(0..300);
    let first = led.retain(&Retention::of_events(100));
    led.grow(300..400);
    (led, first)
}

/// Returns the segments of the replica, in order.
fn segments(world: &World) -> Vec<PathBuf> {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

fn segment_name(number: u64, first: u64) -> String {
    format!("{number:010}-{first:020}.seg")
}

fn number_of(path: &Path) -> u64 {
    path.file_name().unwrap().to_str().unwrap()[..10].parse().unwrap()
}

/// Returns the first entry of a segment.
fn first_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap()[11..].parse().unwrap()
}

fn commit_all(log: &ReplicaLog) {
    log.flush_step();
    log.save_committed(last(log)).unwrap();
}

#[test]
fn what_a_retention_gives_up_goes_once_that_is_committed() {
    let mut led = Led::new();
    assert_eq!(led.log.due_trim(&Retention::of_events(100)).unwrap(), DueTrim::default());
    assert_eq!(led.log.snapshot().unwrap(), None);
    led.grow(0..300);
    let files = led.world.disk.files().len();
    let first = led.retain(&Retention::of_events(100));
    assert!(first > Index(50), "{first}");
    assert!(led.world.disk.files().len() < files, "files of what was given up go");
    let check = |log: &ReplicaLog, what: &str| {
        let view = log.reader().view();
        let kept = payloads(&view, &Selection::channel(&channel("orders")));
        assert!((100..200).contains(&kept.len()), "{} {what}", kept.len());
        assert!(kept.last().unwrap().starts_with("299 "), "{what}");
        let orders = view.channel(&channel("orders")).unwrap().unwrap();
        assert_eq!(orders.next_seq.0, 300, "{what}");
        assert_eq!(orders.first_seq.0, 300 - kept.len() as u64, "{what}");
    };
    check(&led.log, "at once");
    led.log.close().unwrap();
    let world = led.world;
    drop(led.log);
    let log = open(&world.doors);
    check(&log, "after reopening");
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_retention_by_age_says_when_to_look_again() {
    let mut led = Led::new();
    led.grow(0..300);
    let retention = Retention::of_age(std::time::Duration::from_secs(60));
    let DueTrim { trim, again_in } = led.log.due_trim(&retention).unwrap();
    assert_eq!(trim, None);
    led.world.clock.advance(again_in.expect("a time"));
    assert!(led.log.due_trim(&retention).unwrap().trim.is_some());
}

#[test]
fn a_replica_that_is_new_goes_on_where_the_others_begin() {
    let (led, first) = given_up();
    let snapshot = led.snapshot();
    assert_eq!(snapshot.slot.index.next(), first);
    assert_eq!(snapshot.consensus, Some((slot(1, 1), "a b c".into())));
    let world = World::new();
    let log = open(&world.doors);
    log.install(snapshot.slot, &snapshot.state).unwrap();
    let state = log.state();
    assert_eq!((state.purged, state.last), (Some(snapshot.slot), Some(snapshot.slot)));
    assert_eq!(log.committed(), Some(snapshot.slot));
    assert_eq!(log.snapshot().unwrap(), Some(snapshot.clone()), "it could help others in turn");
    // What stands before is not there, and until the log says so itself, a reader from the beginning is told.
    append(&log, &led.behind(snapshot.slot.index)[..3]);
    commit_all(&log);
    let read = log.reader().view().scan(&Selection::channel(&channel("orders"))).map(|_| ());
    assert!(matches!(read, Err(ReadError::Trimmed { first: told }) if told.0 == first.0), "{read:?}");
    let rest: Vec<_> = led.behind(snapshot.slot.index).split_off(3);
    append(&log, &rest);
    commit_all(&log);
    assert_eq!(log.root(), led.log.root());
    let all_of = |log: &ReplicaLog| payloads(&log.reader().view(), &Selection::default());
    assert_eq!(all_of(&log), all_of(&led.log));
    log.close().unwrap();
    assert_eq!(faults(&world), []);
    drop(log);
    let log = open(&world.doors);
    assert_eq!((log.root(), log.doubt()), (led.log.root(), None));
    assert_eq!(all_of(&log), all_of(&led.log));
    // Repeating it, or an older one, changes nothing.
    log.install(snapshot.slot, &snapshot.state).unwrap();
    assert_eq!(log.root(), led.log.root());
    log.close().unwrap();
}

#[test]
fn a_replica_that_is_behind_keeps_its_vote_and_nothing_else() {
    let (led, first) = given_up();
    let snapshot = led.snapshot();
    for own in [10, first.0 - 1, first.0 + 5] {
        let world = World::new();
        let log = open(&world.doors);
        append(&log, &led.entries[..10].iter().map(sent).collect::<Vec<_>>());
        // What follows is another leader's, and never was committed.
        append(&log, &blanks(2, 10..own));
        log.save_vote(vote(3)).unwrap();
        log.install(snapshot.slot, &snapshot.state).unwrap();
        assert_eq!(all(&log), [], "{own}");
        assert_eq!(log.vote(), Some(vote(3)));
        append(&log, &led.behind(snapshot.slot.index));
        assert_eq!(log.root(), led.log.root(), "{own}");
        drop(log);
        let log = open(&world.doors);
        assert_eq!((log.root(), log.vote(), log.doubt()), (led.log.root(), Some(vote(3)), None), "{own}");
        log.close().unwrap();
        assert_eq!(faults(&world), [], "{own}");
    }
}

#[test]
fn a_segment_in_whose_place_another_comes_does_not_stay() {
    let (led, first) = given_up();
    let snapshot = led.snapshot();
    let behind = led.behind(snapshot.slot.index);
    let world = World::new();
    let log = open(&world.doors);
    log.install(snapshot.slot, &snapshot.state).unwrap();
    append(&log, &behind[..3]);
    commit_all(&log);
    log.close().unwrap();
    drop(log);
    // Of the newest segment only its header stays, so that it begins once more, and knows nothing of what it was given.
    let newest = segments(&world).pop().unwrap();
    let bytes = world.disk.read(&newest).unwrap();
    world.disk.write(&newest, &bytes[..92]);
    let log = open(&world.doors);
    assert!(log.doubt().is_some());
    log.install(snapshot.slot, &snapshot.state).unwrap();
    append(&log, &behind);
    commit_all(&log);
    let firsts: Vec<_> = segments(&world).iter().map(|path| first_of(path)).collect();
    assert!(firsts.is_sorted_by(|one, other| one < other), "{firsts:?}");
    log.settle_doubt().unwrap();
    let upto = behind[behind.len() - 10].slot;
    log.purge(upto).unwrap();
    assert!(segments(&world).iter().all(|path| first_of(path) > first.0), "all before is gone");
    world.disk.power_off();
    drop(log);
    world.disk.restart(&CrashImage::All);
    let log = open(&world.doors);
    assert_eq!((log.doubt(), log.root()), (None, led.log.root()));
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_segment_in_whose_place_another_came_goes_when_a_replica_is_opened() {
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &blanks(1, 0..600));
    log.purge(slot(1, 500)).unwrap();
    log.close().unwrap();
    drop(log);
    let first = segments(&world)[0].clone();
    let stale = first.with_file_name(segment_name(number_of(&first) - 1, first_of(&first)));
    world.disk.write(&stale, &world.disk.read(&first).unwrap()[..92]);
    let log = open(&world.doors);
    assert_eq!((log.doubt(), all(&log)), (None, blanks(1, 501..600)));
    assert!(!segments(&world).contains(&stale));
    log.close().unwrap();
}

#[test]
fn a_replica_that_has_the_entry_keeps_what_is_behind_it() {
    let (led, first) = given_up();
    let snapshot = led.snapshot();
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &led.entries[..first.0 as usize + 7].iter().map(sent).collect::<Vec<_>>());
    log.install(snapshot.slot, &snapshot.state).unwrap();
    assert_eq!(all(&log), led.entries[first.0 as usize..][..7]);
    assert_eq!(log.state().purged, Some(snapshot.slot));
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_state_that_is_cut_or_belongs_elsewhere_is_refused_and_changes_nothing() {
    let (led, _) = given_up();
    let snapshot = led.snapshot();
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &led.entries[..10].iter().map(sent).collect::<Vec<_>>());
    let before = log.root();
    let refused = |slot: Slot, state: &[u8]| {
        let error = log.install(slot, state).unwrap_err();
        assert!(matches!(error, ReplicaError::Misfit { .. }), "{error}");
        assert_eq!(log.root(), before);
    };
    for length in 0..snapshot.state.len() {
        refused(snapshot.slot, &snapshot.state[..length]);
    }
    refused(Slot { index: snapshot.slot.index.next(), ..snapshot.slot }, &snapshot.state);
    refused(Slot { term: Term(9), ..snapshot.slot }, &snapshot.state);
    append(&log, &[sent(&led.entries[10])]);
}

#[test]
fn a_crash_within_an_installation_leaves_the_log_before_it_or_behind_it() {
    let (led, first) = given_up();
    let snapshot = led.snapshot();
    let old = led.entries[..40].iter().map(sent).collect::<Vec<_>>();
    let moments = at_every_crash(
        |log| {
            append(log, &old);
            log.save_vote(vote(1)).unwrap();
        },
        |log| log.install(snapshot.slot, &snapshot.state).unwrap(),
        |log, state, what| {
            assert_eq!((log.vote(), log.doubt()), (Some(vote(1)), None), "{what}");
            match state.purged {
                None => assert_eq!(all(log), led.entries[..40], "{what}"),
                Some(purged) => {
                    assert_eq!(purged.index.next(), first, "{what}");
                    assert_eq!(all(log), [], "{what}");
                    assert_eq!(log.snapshot().unwrap().as_ref(), Some(&snapshot), "{what}");
                }
            }
        },
    );
    assert!(moments > 6, "{moments} moments");
}

#[test]
fn a_full_disk_refuses_an_installation_and_leaves_the_log_as_it_was() {
    let (led, _) = given_up();
    let snapshot = led.snapshot();
    let world = World::new();
    let log = open(&world.doors);
    append(&log, &led.entries[..10].iter().map(sent).collect::<Vec<_>>());
    log.flush_step();
    let before = (log.root(), log.state());
    world.disk.fill_up(Some(100));
    let refused = log.install(snapshot.slot, &snapshot.state).unwrap_err();
    assert!(matches!(refused, ReplicaError::DiskFull { .. }), "{refused}");
    assert_eq!((log.root(), log.state()), before);
    world.disk.fill_up(None);
    log.install(snapshot.slot, &snapshot.state).unwrap();
    append(&log, &led.behind(snapshot.slot.index));
    assert_eq!(log.root(), led.log.root());
}

#[test]
fn a_replica_whose_segments_begin_elsewhere_shows_the_same() {
    let (led, first) = given_up();
    let world = World::new();
    let mut options = small();
    options.segment_bytes = 25_000;
    let log = ReplicaLog::open(Path::new(DIR), &identity(), &world.doors, &options).unwrap();
    append(&log, &led.entries.iter().map(sent).collect::<Vec<_>>());
    commit_all(&log);
    let check = |log: &ReplicaLog, what: &str| {
        let (view, wanted) = (log.reader().view(), led.log.reader().view());
        let orders = Selection::channel(&channel("orders"));
        let backward = Selection { reverse: true, ..orders.clone() };
        for selection in
            [Selection::default(), orders.clone(), backward, Selection { last: Some(400), ..orders }]
        {
            assert_eq!(payloads(&view, &selection), payloads(&wanted, &selection), "{what}: {selection:?}");
        }
        assert_eq!(view.channels().unwrap(), wanted.channels().unwrap(), "{what}");
    };
    check(&log, "before anything is removed");
    let given_up = log.given_up().unwrap().expect("whole segments");
    assert!(given_up.index.next() < first, "its segment holds more than the log keeps");
    log.purge(given_up).unwrap();
    check(&log, "behind it");
    log.close().unwrap();
    drop(log);
    let log = ReplicaLog::open(Path::new(DIR), &identity(), &world.doors, &options).unwrap();
    check(&log, "reopened");
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_purge_that_is_interrupted_leaves_nothing_to_doubt() {
    let fill = |log: &ReplicaLog| {
        append(log, &blanks(1, 0..600));
        log.save_vote(vote(1)).unwrap();
    };
    let purge = |log: &ReplicaLog| log.purge(slot(1, 500)).unwrap();
    let moments = at_every_crash(fill, purge, |log, state, what| {
        assert_eq!((log.doubt(), log.vote()), (None, Some(vote(1))), "{what}");
        let first = state.purged.map_or(0, |purged| purged.index.0 + 1);
        assert_eq!(all(log), blanks(1, first..600), "{what}");
    });
    assert!(moments > 10, "{moments} moments: several segments are removed");
    for failing in 0..moments as u64 - 1 {
        let world = World::new();
        let log = open(&world.doors);
        fill(&log);
        world.disk.inject(world.disk.operation_count() + failing, Fault::Error(5));
        let _ = log.purge(slot(1, 500));
        world.disk.power_off();
        drop(log);
        world.disk.restart(&CrashImage::All);
        let log = open(&world.doors);
        let first = log.state().purged.map_or(0, |purged| purged.index.0 + 1);
        assert_eq!(log.doubt(), None, "operation {failing}");
        assert_eq!(all(&log), blanks(1, first..600), "operation {failing}");
        log.close().unwrap();
    }
}
