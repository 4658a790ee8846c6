//! Forks: two different entries that one incarnation signed for one index, as a leader of which there are two copies does.

use base::SeededRandom;
use redex::{ForkProof, fork_proofs};

use super::*;

/// Two leaders that are copies of each other: made from the same state, with the same random numbers.
struct Twins {
    one: World,
    other: World,
}

impl Twins {
    /// Both hold the same entries, and sequence for the same term.
    fn new(seed: u64) -> (Self, [ReplicaLog; 2], [Proposer; 2]) {
        let world = |_| World::on(base::SimulatedDisk::new(), seed);
        let twins = Self { one: world(1), other: world(2) };
        let logs = [open(&twins.one.doors), open(&twins.other.doors)];
        logs.iter().for_each(|log| append(log, &[blank(1, 0)]));
        let proposers = [0, 1].map(|at: usize| logs[at].proposer(Term(1), NodeId(1), leader(1)));
        (twins, logs, proposers)
    }
}

fn proofs(world: &World) -> Vec<ForkProof> {
    let found = fork_proofs(Path::new(DIR), &world.disk).unwrap();
    found.into_iter().map(|found| found.proof.unwrap()).collect()
}

#[test]
fn an_entry_that_forks_from_one_that_is_held_becomes_a_proof() {
    let (twins, [log, _], [mut one, mut other]) = Twins::new(5);
    append(&log, &[sealed(&mut one, "orders", "to the first")]);
    let fork = sent(&sealed(&mut other, "orders", "to the others"));
    let refused = log.append(std::slice::from_ref(&fork), Completion::ignored());
    assert!(matches!(refused, Err(ReplicaError::Misplaced { .. })), "{refused:?}");
    assert_eq!(log.forks(), 1);
    let [proof] = &proofs(&twins.one)[..] else { panic!("one proof") };
    assert_eq!((proof.log(), proof.index(), proof.key()), (identity().log, Index(1), leader(1).public_key()));
    assert_eq!(proofs(&twins.other), [], "who was not given both knows of nothing");
    // Anybody verifies it, and it is there after reopening.
    assert_eq!(ForkProof::verify(&proof.encode()).as_ref(), Ok(proof));
    log.compare_given(&[fork]);
    log.close().unwrap();
    drop(log);
    assert_eq!(open(&twins.one.doors).forks(), 1);
}

#[test]
fn an_entry_that_forks_from_one_that_was_cut_off_becomes_a_proof_and_is_taken() {
    let (twins, [log, _], [mut one, mut other]) = Twins::new(5);
    append(&log, &[sealed(&mut one, "orders", "first"), blank(1, 2)]);
    log.truncate_after(Some(Index(0))).unwrap();
    assert_eq!(log.forks(), 0);
    append(&log, &[sent(&sealed(&mut other, "orders", "second"))]);
    assert_eq!((log.forks(), proofs(&twins.one).len()), (1, 1));
}

#[test]
fn what_was_cut_off_is_forgotten_when_the_replica_is_closed() {
    let (twins, [log, _], [mut one, mut other]) = Twins::new(5);
    append(&log, &[sealed(&mut one, "orders", "first")]);
    log.truncate_after(Some(Index(0))).unwrap();
    drop(log);
    let log = open(&twins.one.doors);
    append(&log, &[sent(&sealed(&mut other, "orders", "second"))]);
    assert_eq!(log.forks(), 0, "as the documentation says");
}

#[test]
fn marks_tell_what_stands_where_and_proofs_are_made_of_them() {
    let (twins, [log, copy], [mut one, mut other]) = Twins::new(5);
    append(&log, &[sealed(&mut one, "orders", "first")]);
    append(&copy, &[sealed(&mut other, "orders", "second")]);
    let (held, given) = (log.mark(Index(1)).unwrap().unwrap(), copy.mark(Index(1)).unwrap().unwrap());
    assert_eq!(log.mark(Index(0)).unwrap(), copy.mark(Index(0)).unwrap());
    assert_eq!(log.mark(Index(2)).unwrap(), None);
    assert!(held.conflicts_with(&given) && !held.conflicts_with(&held));
    let proof = log.compare(&held, &given).unwrap();
    assert_eq!(proofs(&twins.one), [proof]);
}

/// What honest leaders do: they come and go, entries are cut off and replaced, and everything is restarted.
#[test]
fn what_is_cut_off_replaced_repeated_and_reopened_is_no_fork() {
    let mut compared = 0;
    for seed in 0..40 {
        let (random, world) = (SeededRandom::new(seed), World::on(base::SimulatedDisk::new(), seed));
        let mut log = open(&world.doors);
        append(&log, &[blank(1, 0)]);
        for term in 2..12 {
            let keep = random.below(last(&log).unwrap().index.0 + 1);
            log.truncate_after(Some(Index(keep))).unwrap();
            append(&log, &[blank(term, keep + 1)]);
            let mut proposer = log.proposer(Term(term), NodeId(1), leader(term));
            for number in 0..random.below(8) {
                let entry = sealed(&mut proposer, "orders", &format!("{term} {number}"));
                append(&log, std::slice::from_ref(&entry));
                // It comes once more, and so does the whole log.
                let again = log.append(&[sent(&entry)], Completion::ignored());
                assert!(again.is_err());
                compared += 1;
            }
            log.compare_given(&all(&log).iter().map(sent).collect::<Vec<_>>());
            if random.below(3) == 0 {
                drop(log);
                log = open(&world.doors);
            }
        }
        assert_eq!((log.forks(), proofs(&world)), (0, Vec::new()), "seed {seed}");
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn ten_thousand_forks_are_all_found() {
    let (twins, [log, copy], [mut one, mut other]) = Twins::new(5);
    let forks = 10_000;
    let mut given = Vec::new();
    for number in 0..forks {
        append(&log, &[sealed(&mut one, "orders", &format!("one {number}"))]);
        given.push(sent(&sealed(&mut other, "orders", &format!("other {number}"))));
    }
    drop(copy);
    for (at, fork) in given.iter().enumerate() {
        log.compare_given(std::slice::from_ref(fork));
        assert_eq!(log.forks(), at as u64 + 1);
    }
    // The first ones are kept as files; of all, there is a count and a line in the log.
    assert_eq!(proofs(&twins.one).len(), 256);
}
