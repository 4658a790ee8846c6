//! Interrupts, kills, and several processes on one directory.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};

use crate::support::{Killed, Place, collect, finish, numbers, records, signal, values, wait_for};

/// An import from standard input that has made some records durable and waits for more.
fn half_an_import(place: &Place, count: u64) -> (Child, ChildStdin) {
    let mut command = place.command(&["import", "--channel", "c", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(records(0, count).as_bytes()).unwrap();
    wait_for(|| (durable_events(place) > 0).then_some(()));
    (child, stdin)
}

fn durable_events(place: &Place) -> u64 {
    let run = place.run(&["log", "channels", "--format", "ndjson"]);
    if run.code != 0 {
        return 0;
    }
    values(&run.stdout).first().map_or(0, |channel| channel["events"].as_u64().unwrap())
}

#[test]
fn a_killed_import_goes_on_without_loss_or_repetition() {
    let place = Place::new();
    for total in [30_000, 45_000] {
        let (mut child, stdin) = half_an_import(&place, total);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(stdin);
    }
    let survived = durable_events(&place);
    let run = place.run_with(&["import", "--channel", "c", "-"], records(0, 50_000).as_bytes());
    assert_eq!(run.stdout, "acknowledged 50000\n", "{run:?}");
    assert!(survived > 0);
    assert_eq!(numbers(&place, "c"), (0..50_000).collect::<Vec<_>>());
    place.ok(&["log", "verify", "--all-signatures"]);
}

#[test]
fn an_interrupted_import_says_what_is_durable() {
    let place = Place::new();
    let (child, stdin) = half_an_import(&place, 10_000);
    signal(&child, "INT");
    let run = finish(child);
    drop(stdin);
    run.failed(130, "run the same command again");
    let durable: u64 = run.last_line().strip_prefix("acknowledged ").unwrap().parse().unwrap();
    assert!(durable > 0);
    assert_eq!(numbers(&place, "c").len() as u64, durable);

    let run = place.run_with(&["import", "--channel", "c", "-"], records(0, 12_000).as_bytes());
    assert_eq!(run.stdout, "acknowledged 12000\n");
    assert_eq!(numbers(&place, "c"), (0..12_000).collect::<Vec<_>>());
}

#[test]
fn a_second_writer_is_told_who_has_the_directory_while_readers_go_on() {
    let place = Place::new();
    let (child, stdin) = half_an_import(&place, 10_000);
    let run = place.run(&["log", "append", "c", "1"]);
    run.failed(6, &format!("process {}", child.id()));
    run.failed(6, "locked");

    let durable = place.events("c").len();
    assert!(durable >= 2000);
    assert!(place.ok(&["log", "tail", "c", "--no-follow"]).lines().count() >= durable);
    let info = &values(&place.ok(&["log", "info"]))[0];
    assert!(info["writer"].as_str().unwrap().contains(&child.id().to_string()), "{info}");
    place.ok(&["log", "verify"]);
    drop(stdin);
    assert_eq!(finish(child).stdout, "acknowledged 10000\n");
    assert_eq!(place.run(&["log", "append", "c", "1"]).code, 0);
}

#[test]
fn tail_follows_a_writer_in_another_process() {
    let place = Place::new();
    place.ok(&["log", "append", "c", "{\"n\":0}"]);
    let mut tail = Killed(place.command(&["log", "tail", "c"]).spawn().unwrap());
    let seen = collect(&mut tail.0);
    let lines = |count: usize| {
        let seen = seen.clone();
        wait_for(move || (seen.lock().unwrap().lines().count() == count).then_some(()));
    };
    lines(1);
    place.ok(&["log", "append", "c", "{\"n\":1}"]);
    lines(2);
    place.run_with(&["import", "--channel", "c", "-"], records(2, 5000).as_bytes());
    lines(5002);
    let events = values(&seen.lock().unwrap());
    let numbers: Vec<_> = events.iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..5002).collect::<Vec<_>>());
    signal(&tail.0, "INT");
    assert_eq!(tail.0.wait().unwrap().code(), Some(130));
}

#[test]
fn an_interrupted_export_leaves_no_file() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 200_000).as_bytes());
    let file = place.file("out.ndjson");
    let child = place.command(&["export", file.to_str().unwrap()]).spawn().unwrap();
    signal(&child, "INT");
    let run = finish(child);
    if run.code == 0 {
        println!("SKIPPED: the export ended before it could be interrupted");
        return;
    }
    assert!(!file.exists());
}
