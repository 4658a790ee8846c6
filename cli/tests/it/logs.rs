//! Channels in logs of their own.

use crate::support::{Place, values};

fn one(output: &str) -> serde_json::Value {
    let values = values(output);
    assert_eq!(values.len(), 1, "{output}");
    values[0].clone()
}

/// A directory with a channel in `main` and one in a log of its own.
fn place() -> Place {
    let place = Place::new();
    place.ok(&["log", "append", "usual", "1"]);
    place.ok(&["log", "create", "probes", "--keep-events", "100000", "--compression", "zstd"]);
    for number in 0..3 {
        place.ok(&["log", "append", "probes", &number.to_string()]);
    }
    place
}

fn log_of(place: &Place, channel: &str) -> String {
    let channels = values(&place.ok(&["log", "channels"]));
    let found = channels.iter().find(|row| row["channel"] == channel).unwrap();
    found["log"].as_str().unwrap().to_owned()
}

#[test]
fn a_channel_is_created_with_what_it_keeps_and_how_it_is_stored() {
    let place = place();
    let log = log_of(&place, "probes");
    assert_ne!(log, "main");
    let again =
        one(&place.ok(&["log", "create", "probes", "--keep-events", "100000", "--compression", "zstd"]));
    assert_eq!((again["outcome"].as_str(), again["log"].as_str()), (Some("existed"), Some(log.as_str())));
    place
        .run(&["log", "create", "probes", "--keep-bytes", "1MiB"])
        .failed(4, &format!("lives in log `{log}`"));
    place.run(&["log", "create", "usual", "--keep-age", "36h"]).failed(4, "lives in log `main`");
    place.run(&["log", "create", "x", "--keep-bytes", "1MB"]).failed(2, "write it like 64MiB");
    place.run(&["log", "create", "x", "--log", "missing"]).failed(3, "no log `missing`");
    place.run(&["log", "create", "sys/x", "--own"]).failed(2, "belongs to the database itself");

    let named = one(&place.ok(&[
        "log",
        "create",
        "a",
        "--log",
        "audit",
        "--keep-age",
        "90d",
        "--content-type",
        "x/y",
    ]));
    assert_eq!((named["log"].as_str(), named["outcome"].as_str()), (Some("audit"), Some("created")));
    assert_eq!(one(&place.ok(&["log", "create", "b", "--log", "audit"]))["log"], "audit");
    let set = one(&place.ok(&["log", "set", "audit"]));
    assert_eq!(
        (set["keep_age_seconds"].as_u64(), set["compression"].as_str()),
        (Some(90 * 86_400), Some("none"))
    );
    let set = one(&place.ok(&[
        "log",
        "set",
        "audit",
        "--keep-all",
        "--keep-bytes",
        "2GiB",
        "--compression",
        "lz4",
    ]));
    assert_eq!((set["keep_age_seconds"].is_null(), set["keep_bytes"].as_u64()), (true, Some(2 << 30)));
    assert_eq!(one(&place.ok(&["log", "set", "audit"])), set);
    place.run(&["log", "set", "audit", "--keep-events", "5"]).failed(4, "for one channel");
    place.run(&["log", "set", "nowhere"]).failed(3, "no log `nowhere`");

    let main = one(&place.ok(&["log", "set", "main", "--keep-bytes", "1GiB", "--compression", "zstd"]));
    assert_eq!(one(&place.ok(&["log", "set"])), main);
    place.ok(&["log", "append", "usual", "2"]);
    assert_eq!(one(&place.ok(&["log", "set"])), main, "it holds for whoever opens the directory");
}

#[test]
fn a_moved_channel_reads_tails_exports_and_answers_as_one() {
    let place = place();
    let first = log_of(&place, "probes");
    let moved = one(&place.ok(&["log", "move", "probes", "--keep-bytes", "1GiB"]));
    assert_eq!((moved["from"].as_str(), moved["next_seq"].as_u64()), (Some(first.as_str()), Some(3)));
    assert_eq!(moved["to"], log_of(&place, "probes"));
    let appended = one(&place.ok(&["log", "append", "probes", "3", "--expect", "3"]));
    assert_eq!(appended["seq"], 3);
    place.run(&["log", "append", "probes", "3", "--expect", "3"]).failed(4, "expected 3, found 4");
    place.run(&["log", "move", "probes", "--log", &first]).failed(4, "cannot come back");
    place.run(&["log", "move", "probes"]).failed(2, "where to is not said");
    place.run(&["log", "move", "nobody", "--own"]).failed(3, "no channel `nobody`");
    place.ok(&["task", "create", "stay"]);
    place.run(&["log", "move", "cortex/tasks", "--own"]).failed(2, "stays where it is");

    let seqs =
        |output: &str| values(output).iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(seqs(&place.ok(&["log", "read", "probes"])), [0, 1, 2, 3]);
    assert_eq!(seqs(&place.ok(&["log", "read", "probes", "--from", "2", "--reverse"])), [3, 2]);
    assert_eq!(seqs(&place.ok(&["log", "read", "probes", "--last", "2"])), [2, 3]);
    assert_eq!(seqs(&place.ok(&["log", "tail", "probes", "--no-follow"])), [0, 1, 2, 3]);
    assert_eq!(seqs(&place.ok(&["log", "tail", "probes", "--last", "1", "--no-follow"])), [3]);
    let channels = values(&place.ok(&["log", "channels"]));
    let probes = channels.iter().find(|row| row["channel"] == "probes").unwrap();
    assert_eq!((probes["events"].as_u64(), probes["first_seq"].as_u64()), (Some(4), Some(0)));

    let sql = "select count(*) as n, count(distinct log) as logs from probes";
    let row = one(&place.ok(&["sql", "-c", sql]));
    assert_eq!((row["n"].as_u64(), row["logs"].as_u64()), (Some(4), Some(2)));
    let exported = place.ok(&["export", "--channel", "probes"]);
    assert_eq!(exported.lines().count(), 4);
    let all = place.write("all.ndjson", place.ok(&["export"]));
    let other = Place::new();
    other.ok(&["import", &all]);
    assert_eq!(other.ok(&["export"]), place.read("all.ndjson"), "the round trip gives identical bytes");
}

#[test]
fn an_import_over_channels_of_several_logs_goes_on_where_it_ended() {
    let place = place();
    let line = |number: usize| {
        let channel = ["usual", "probes"][number / 3 % 2];
        format!("{{\"type\":\"k\",\"netdbchannel\":\"{channel}\",\"data\":{number}}}\n")
    };
    let text: String = (0..40).map(line).collect();
    let file = place.write("in.ndjson", &text);
    assert!(place.ok(&["import", &file]).contains("acknowledged 40"));
    assert!(place.ok(&["import", &file]).contains("acknowledged 40"));
    place.write("in.ndjson", text.clone() + &(40..50).map(line).collect::<String>() + "nonsense\n");
    let run = place.run(&["import", &file]);
    run.failed(1, "line 51");
    assert!(run.stdout.contains("acknowledged 50"), "{run:?}");
    // The channel goes elsewhere, and the import goes on all the same.
    place.ok(&["log", "move", "probes", "--keep-age", "24h"]);
    place.write("in.ndjson", (0..60).map(line).collect::<String>());
    assert!(place.ok(&["import", &file]).contains("acknowledged 60"));
    let payloads = |channel: &str| {
        let events = place.events(channel).into_iter();
        events
            .filter(|event| event["kind"] == "k")
            .map(|event| event["payload"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let of = |place: u64| (0..60).filter(move |number| number / 3 % 2 == place).collect::<Vec<u64>>();
    assert_eq!((payloads("usual"), payloads("probes")), (of(0).clone(), of(1)));
}

#[test]
fn verify_fsck_info_and_space_are_of_all_logs() {
    let place = place();
    let log = log_of(&place, "probes");
    let names = |output: &str, field: &str| {
        values(output).iter().map(|row| row[field].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&place.ok(&["log", "info"]), "log"), ["main".to_owned(), log.clone()]);
    assert_eq!(names(&place.ok(&["log", "space"]), "log"), ["main".to_owned(), log.clone()]);
    assert_eq!(names(&place.ok(&["log", "verify"]), "name"), ["main".to_owned(), log.clone()]);
    assert_eq!(place.ok(&["log", "verify", "--format", "table"]).matches("passed").count(), 2);
    let of_channel = values(&place.ok(&["log", "verify", "probes"]));
    assert_eq!(of_channel.iter().map(|row| row["channel_events"].as_u64().unwrap()).sum::<u64>(), 3);
    assert!(place.ok(&["log", "fsck"]).is_empty());

    let config = place.data().join("logs").join(&log).join("config");
    #[allow(clippy::disallowed_methods, reason = "the test damages a real file")]
    let (whole, flip) =
        (std::fs::read(&config).unwrap(), |bytes: &[u8]| std::fs::write(&config, bytes).unwrap());
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    flip(&damaged);
    place.run(&["log", "verify"]).failed(5, "two equal copies of the configuration");
    place.run(&["log", "fsck"]).failed(5, "1 damaged places");
    let repaired = place.ok(&["log", "fsck", "--repair"]);
    assert!(repaired.contains("written anew from the other"), "{repaired}");
    place.ok(&["log", "verify"]);
}
