//! Help, usage errors, exit codes and formats.

use std::io::Read as _;

use crate::support::{Place, records, values};

const COMMANDS: &[&[&str]] = &[
    &["init"],
    &["import"],
    &["export"],
    &["log", "append"],
    &["log", "read"],
    &["log", "tail"],
    &["log", "channels"],
    &["log", "info"],
    &["log", "verify"],
    &["log", "cut-off"],
];

#[test]
fn the_help_of_each_command_has_an_example() {
    let place = Place::new();
    for command in COMMANDS {
        let help = place.ok(&[command, &["--help"][..]].concat());
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains(&format!("net-db {}", command.join(" "))), "{command:?}: {help}");
    }
    assert!(!place.data().exists());
}

#[test]
fn usage_errors_exit_with_2_and_touch_nothing() {
    let place = Place::new();
    let long = "x".repeat(256);
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["log", "read", "c", "--frobnicate"],
        &["log", "append", "c", "--expect", "maybe"],
        &["log", "append", "c", "--time", "yesterday"],
        &["log", "append", "c", "--header", "novalue"],
        &["log", "append", "c", "--ack", "hopefully"],
        &["log", "tail", "c", "--from", "1", "--last", "1"],
        &["log", "read", "c", "--format", "xml"],
        &["export", "--from", "3"],
        &["import", "--map", "colour=red", "-"],
        &["import", "--channel", "sys/names", "-"],
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(run.stderr.starts_with("net-db: error: ") || arguments.is_empty(), "{run:?}");
        assert_eq!(run.stdout, "");
    }
    for name in ["", "../x", "a/../b", "/a", "a//b", "a b", "a\nb", ".", &long] {
        for command in [&["log", "append", name][..], &["log", "read", name], &["export", "--channel", name]]
        {
            let run = place.run(command);
            assert_eq!(run.code, 2, "{command:?}: {run:?}");
            assert!(run.stderr.contains("channel name"), "{run:?}");
        }
    }
    assert!(!place.data().exists());
}

#[test]
fn reading_where_there_is_nothing_is_not_found_and_makes_nothing() {
    let place = Place::new();
    for arguments in [
        &["log", "read", "c"][..],
        &["log", "tail", "c"],
        &["log", "channels"],
        &["log", "info"],
        &["log", "verify"],
        &["export"],
    ] {
        place.run(arguments).failed(3, "net-db init");
    }
    assert!(!place.data().exists());
    place.ok(&["init"]);
    for arguments in [
        &["log", "read", "c"][..],
        &["log", "tail", "c"],
        &["log", "verify", "c"],
        &["export", "--channel", "c"],
    ] {
        place.run(arguments).failed(3, "there is no channel `c`");
    }
    place.run(&["import", "--channel", "c", "missing.ndjson"]).failed(3, "missing.ndjson");
}

#[test]
fn init_says_what_it_made_and_refuses_to_do_it_twice() {
    let place = Place::new();
    let made = &values(&place.ok(&["init"]))[0];
    assert_eq!(made["origin"].as_str().unwrap().len(), 64);
    place.run(&["init"]).failed(4, "already");
    let info = &values(&place.ok(&["log", "info"]))[0];
    assert_eq!((&info["id"], &info["origin"]), (&made["log"], &made["origin"]));
}

#[test]
fn writing_makes_a_missing_directory_and_says_so() {
    let place = Place::new();
    let run = place.run(&["log", "append", "c", "1"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("created "), "{run:?}");
    assert_eq!(place.run(&["log", "append", "c", "2"]).stderr, "");
}

#[test]
fn quiet_leaves_only_results() {
    let place = Place::new();
    let run = place.run(&["--quiet", "log", "append", "c", "1"]);
    assert_eq!((run.code, &*run.stderr), (0, ""), "{run:?}");
    assert_eq!(values(&run.stdout).len(), 1);
}

#[test]
fn the_directory_can_be_named_by_option_or_environment() {
    let place = Place::new();
    let elsewhere = place.file("elsewhere");
    place.ok(&["--dir", elsewhere.to_str().unwrap(), "log", "append", "c", "1"]);
    assert!(elsewhere.exists() && !place.data().exists());
    place.ok(&["log", "append", "c", "1"]);
    assert!(place.data().exists());
}

#[test]
fn each_format_is_what_it_says() {
    let place = Place::new();
    place.ok(&["log", "append", "c", "{\"n\":1}", "--kind", "a"]);
    place.ok(&["log", "append", "c", "{\"n\":2}", "--kind", "b,c"]);
    let read = |format| place.ok(&["log", "read", "c", "--format", format]);
    assert_eq!(values(&read("ndjson")).len(), 2);
    let array: Vec<serde_json::Value> = serde_json::from_str(&read("json")).unwrap();
    assert_eq!(array[1]["payload"]["n"], 2);
    let csv = read("csv");
    assert!(
        csv.starts_with("channel,seq,position,recorded_at,time,kind,key,headers,payload,payload_base64\r\n")
    );
    assert!(csv.contains(",\"b,c\","), "{csv}");
    assert!(read("table").starts_with(" seq | recorded_at"), "{}", read("table"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 20_000).as_bytes());
    let mut child = place.command(&["log", "read", "c"]).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let run = crate::support::finish(child);
    assert_eq!((run.code, &*run.stderr), (0, ""));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test exchanges a real file")]
fn a_key_that_does_not_belong_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    place.ok(&["log", "append", "c", "1"]);
    other.ok(&["init"]);
    std::fs::copy(other.data().join("identity"), place.data().join("identity")).unwrap();
    place.run(&["log", "append", "c", "2"]).failed(7, "identity");
}
