//! `task`, `memory` and `watch`.

use std::io::Write as _;

use crate::support::{Killed, Place, collect, signal, values, wait_for};

fn one(place: &Place, arguments: &[&str]) -> serde_json::Value {
    values(&place.ok(arguments)).remove(0)
}

#[test]
fn tasks_live_through_their_life() {
    let place = Place::new();
    let created = one(&place, &["task", "create", "write the report"]);
    assert_eq!((&created["id"], &created["status"]), (&1.into(), &"pending".into()));
    assert_eq!(one(&place, &["task", "create", "buy milk"])["id"], 2);
    assert_eq!(one(&place, &["task", "create", "far", "--id", "40"])["id"], 40);
    assert_eq!(one(&place, &["task", "create", "behind"])["id"], 41);

    let completed = one(&place, &["task", "complete", "1"]);
    assert_eq!((&completed["status"], &completed["created"]), (&"completed".into(), &created["created"]));
    let again = place.run(&["task", "complete", "1"]);
    assert_eq!((again.code, &*again.stderr), (0, "net-db: task 1 was so already\n"));
    assert_eq!(one(&place, &["task", "rename", "2", "buy oat milk"])["title"], "buy oat milk");

    let ids = |arguments: &[&str]| -> Vec<u64> {
        let listed = place.ok(&[&["task", "list"], arguments].concat());
        values(&listed).iter().map(|task| task["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&[]), [1, 2, 40, 41]);
    assert_eq!(ids(&["--status", "pending", "--order", "created-desc", "--limit", "2"]), [41, 40]);
    assert_eq!(ids(&["--contains", "MILK"]), [2]);
    place.ok(&["task", "delete", "1"]);
    assert_eq!(ids(&["--status", "completed"]), [0; 0]);
}

#[test]
fn writes_without_an_effect_have_their_exit_codes() {
    let place = Place::new();
    place.ok(&["task", "create", "first"]);
    place.run(&["task", "get", "9"]).failed(3, "there is no task 9");
    place.run(&["task", "complete", "9"]).failed(3, "there is no task 9");
    place.run(&["task", "create", "other", "--id", "1"]).failed(4, "there is a task 1 already");
    place.run(&["task", "rename", "1", "x", "--if-version", "5"]).failed(4, "version 0, not 5");
    place.run(&["task", "list", "--status", "odd"]).failed(2, "pending or completed");
    place.run(&["task", "list", "--order", "odd"]).failed(2, "created-desc");
    place.run(&["memory", "pin", "1"]).failed(3, "there is no memory 1");
    assert_eq!(one(&place, &["task", "get", "1"])["title"], "first");
    let key = ["--idempotency-key", "k"];
    for _ in 0..2 {
        place.ok(&[&["task", "create", "second", "--id", "2"], &key[..]].concat());
    }
    assert_eq!(place.events("cortex/tasks").iter().filter(|event| event["key"] == "2").count(), 1);
    place.run(&[&["task", "create", "third", "--id", "3"], &key[..]].concat()).failed(4, "idempotency key");
}

#[test]
fn memories_are_found_by_what_they_have() {
    let place = Place::new();
    place.ok(&[
        "memory",
        "store",
        "the key is under the mat",
        "--tag",
        "home",
        "--tag",
        "key",
        "--source",
        "Ada",
    ]);
    place.ok(&["memory", "store", "milk is white", "--tag", "food"]);
    place.ok(&["memory", "pin", "2"]);
    let ids = |arguments: &[&str]| -> Vec<u64> {
        let found = place.ok(&[&["memory", "find"], arguments].concat());
        values(&found).iter().map(|memory| memory["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&[]), [1, 2]);
    assert_eq!(ids(&["--tag", "home", "--tag", "key"]), [1]);
    assert_eq!(ids(&["--tag", "home", "--tag", "food"]), [0; 0]);
    assert_eq!(ids(&["--any-tag", "home", "--any-tag", "food"]), [1, 2]);
    assert_eq!(ids(&["--source", "Ada"]), [1]);
    assert_eq!(ids(&["--pinned"]), [2]);
    assert_eq!(ids(&["--contains", "MAT"]), [1]);
    let retagged = one(&place, &["memory", "retag", "1", "a", "b"]);
    assert_eq!(retagged["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(one(&place, &["memory", "unpin", "2"])["pinned"], false);
    place.ok(&["memory", "delete", "1"]);
    assert_eq!(ids(&[]), [2]);
}

#[test]
fn a_watch_follows_writers_in_other_processes() {
    let place = Place::new();
    place.ok(&["task", "create", "first"]);
    let mut watch = Killed(place.command(&["watch", "tasks", "--status", "pending"]).spawn().unwrap());
    let seen = collect(&mut watch.0);
    let lines = |count: usize| {
        let seen = seen.clone();
        wait_for(move || (seen.lock().unwrap().lines().count() >= count).then_some(()));
    };
    lines(1);
    place.ok(&["task", "create", "second"]);
    lines(2);
    place.ok(&["task", "complete", "1"]);
    lines(3);
    signal(&watch.0, "INT");
    assert_eq!(watch.0.wait().unwrap().code(), Some(130));
    let changes: Vec<_> = values(&seen.lock().unwrap())
        .iter()
        .map(|change| (change["change"].as_str().unwrap().to_owned(), change["id"].as_u64().unwrap()))
        .collect();
    let expected = [("inserted", 1), ("inserted", 2), ("removed", 1)];
    assert_eq!(changes, expected.map(|(change, id)| (change.to_owned(), id)));
}

#[test]
fn what_was_durable_before_a_kill_is_in_the_state_after_it() {
    const TASKS: u64 = 20_000;
    let place = Place::new();
    let line =
        |id| format!("{{\"type\":\"task.created\",\"data\":{{\"id\":{id},\"title\":\"task {id}\"}}}}\n");
    let input: String = (0..TASKS).map(line).collect();
    let counted = || {
        let run = place.run(&["sql", "--format", "csv", "-c", "select count(*), max(version) from tasks"]);
        let (tasks, newest) = run.stdout.lines().nth(1)?.split_once(',')?;
        Some((tasks.parse::<u64>().unwrap(), newest.parse::<u64>().ok()?))
    };

    let mut command = place.command(&["import", "--channel", "cortex/tasks", "-"]);
    let mut child = Killed(command.stdin(std::process::Stdio::piped()).spawn().unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    stdin.write_all(&input.as_bytes()[..input.len() / 2]).unwrap();
    let (before, _) = wait_for(counted);
    drop(child);
    drop(stdin);

    let (tasks, newest) = counted().unwrap();
    assert!(tasks >= before && tasks < TASKS, "{tasks} tasks, {before} before the kill");
    assert_eq!(newest + 1, tasks, "each event made a task");
    assert_eq!(place.events("cortex/tasks").len() as u64, tasks);
    let run = place.run_with(&["import", "--channel", "cortex/tasks", "-"], input.as_bytes());
    assert_eq!(run.stdout, format!("acknowledged {TASKS}\n"), "{run:?}");
    assert_eq!(counted(), Some((TASKS, TASKS - 1)));
}

#[test]
fn a_member_without_its_server_says_that_tasks_are_the_clusters() {
    let place = Place::new();
    place.ok(&["cluster", "init"]);
    let start = "start it with `net-db serve`";
    place.run(&["task", "create", "look"]).failed(6, start);
    place.run(&["memory", "store", "seen"]).failed(6, start);
    place.run(&["log", "append", "cortex/tasks", "{}"]).failed(6, start);
    place.run(&["task", "list"]).failed(6, start);
    place.run(&["sql", "-c", "select * from tasks"]).failed(6, "table `tasks` cannot be read yet");
    place.ok(&["sql", "-c", "select count(*) from events"]);
    let alone = Place::new();
    alone.ok(&["task", "create", "mine"]);
    alone.run(&["cluster", "init"]).failed(4, "net-db export --channel cortex/tasks");
}
