//! Histories that are right, and those that are known to be wrong.

use super::*;

fn append(events: &[&str], begun: u64, ended: u64, told: Told) -> Operation {
    let events = events.iter().map(|event| (*event).to_owned()).collect();
    let asked = Asked::Append { channel: "c".to_owned(), events, expect: None };
    Operation { client: "one".to_owned(), node: 1, begun, ended: Some(ended), asked, told }
}

fn read(events: &[&str], begun: u64, ended: u64) -> Operation {
    let hash = prefixes(events.iter().copied()).pop().unwrap();
    let told = Told::Read(events.len() as u64, hash);
    let asked = Asked::Read { channel: "c".to_owned() };
    Operation { client: "two".to_owned(), node: 2, begun, ended: Some(ended), asked, told }
}

fn history(operations: Vec<Operation>, held: &[&str]) -> History {
    let held = held.iter().map(|event| (*event).to_owned()).collect();
    History { operations, channels: [("c".to_owned(), held)].into() }
}

fn sound() -> History {
    let operations = vec![
        append(&["a", "b"], 1, 10, Told::Appended(0)),
        append(&["c"], 2, 20, Told::Unknown),
        append(&["d"], 3, 30, Told::Rejected),
        read(&["a", "b"], 11, 15),
        append(&["e"], 21, 40, Told::Appended(3)),
        read(&["a", "b", "c", "e"], 41, 50),
        append(&["f"], 51, 60, Told::Unknown),
    ];
    history(operations, &["a", "b", "c", "e"])
}

#[test]
fn a_history_that_is_right_passes_and_comes_back_from_its_lines() {
    let checked = Checked { acknowledged: 2, unknown: 2, rejected: 1, reads: 2 };
    assert_eq!(check(&sound()), Ok(checked));
    assert_eq!(History::from_lines(&sound().to_lines()), Ok(sound()));
    assert!(History::from_lines("{}").is_err());
}

/// Changes what is right, and has it found wrong for one reason.
fn wrong(reason: &str, change: impl FnOnce(&mut History)) {
    let mut history = sound();
    change(&mut history);
    let faults = check(&history).unwrap_err();
    assert!(faults.iter().any(|fault| fault.contains(reason)), "{reason}: {faults:?}");
}

fn held(history: &mut History, held: &[&str]) {
    let held = held.iter().map(|event| (*event).to_owned()).collect();
    history.channels.insert("c".to_owned(), held);
}

#[test]
fn histories_that_are_known_to_be_wrong_are_rejected() {
    wrong("and lost", |history| held(history, &["a", "b", "c"]));
    wrong("rejected, and stands", |history| held(history, &["a", "b", "c", "e", "d"]));
    wrong("twice", |history| held(history, &["a", "b", "c", "e", "c"]));
    wrong("nobody appended", |history| held(history, &["a", "b", "c", "e", "x"]));
    wrong("in pieces", |history| held(history, &["a", "c", "b", "e"]));
    wrong("acknowledged at 3, is at 2", |history| held(history, &["a", "b", "e"]));
    // What was acknowledged first stands behind.
    wrong("was acknowledged", |history| {
        held(history, &["e", "a", "b", "c"]);
        history.operations[0].told = Told::Appended(1);
        history.operations[4].told = Told::Appended(0);
    });
    // A stale read, a read of the future, one of something else, and one that goes back.
    wrong("acknowledged or read before", |history| history.operations[5] = read(&["a"], 41, 50));
    wrong("asked for later", |history| history.operations[3] = read(&["a", "b", "c", "e"], 11, 15));
    wrong("no beginning", |history| history.operations[3] = read(&["b", "a"], 11, 15));
    wrong("acknowledged or read before", |history| {
        history.operations.push(read(&["a", "b", "c", "e"], 16, 42));
        history.operations.push(read(&["a", "b", "c"], 43, 44));
    });
    wrong("expected at", |history| {
        history.operations[1].asked =
            Asked::Append { channel: "c".to_owned(), events: vec!["c".to_owned()], expect: Some(1) };
    });
}
