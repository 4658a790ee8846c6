//! `net-db log`

use crate::support::{Place, records, values};

fn seqs(place: &Place, options: &[&str]) -> Vec<u64> {
    let events = values(&place.ok(&[&["log", "read", "c"], options].concat()));
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn what_was_appended_is_read_back() {
    let place = Place::new();
    let appended = place.ok(&[
        "log",
        "append",
        "orders/audit",
        "{\"total\": 12}",
        "--kind",
        "order.placed",
        "--key",
        "k",
        "--header",
        "content-type=application/json",
        "--header",
        "a=b=c",
        "--time",
        "2026-01-31T09:15:00+01:00",
    ]);
    let appended = &values(&appended)[0];
    assert_eq!(appended["channel"], "orders/audit");
    assert_eq!((&appended["seq"], &appended["outcome"]), (&0.into(), &"appended".into()));

    let text = place.ok(&["log", "read", "orders/audit"]);
    assert!(text.contains("\"payload\":{\"total\": 12}}"), "{text}");
    let event = &values(&text)[0];
    assert_eq!((&event["kind"], &event["key"]), (&"order.placed".into(), &"k".into()));
    assert_eq!(event["time"], "2026-01-31T08:15:00Z");
    assert_eq!(event["headers"]["a"], "b=c");
    assert_eq!(event["position"], appended["position"]);
    assert_eq!(event.get("payload_base64"), None);
}

#[test]
fn payloads_come_from_the_argument_or_standard_input() {
    let place = Place::new();
    place.ok(&["log", "append", "c"]);
    place.ok(&["log", "append", "c", "-5"]);
    assert_eq!(place.run_with(&["log", "append", "c", "-"], b"\xff\n").code, 0);
    assert_eq!(place.run_with(&["log", "append", "c", "-"], b"{\n \"a\": 1\n}\n").code, 0);
    let events = place.events("c");
    assert_eq!(events[0]["payload"], "");
    assert_eq!(events[1]["payload"], -5);
    assert_eq!((events[2].get("payload"), &events[2]["payload_base64"]), (None, &"/wo=".into()));
    assert_eq!(events[3]["payload"]["a"], 1);
    assert_eq!(events[0]["kind"], "event");
}

#[test]
fn a_payload_beyond_the_limit_is_refused() {
    let place = Place::new();
    let run = place.run_with(&["log", "append", "c", "-"], &vec![b'x'; 17 << 20]);
    run.failed(1, "16777216 bytes");
}

#[test]
fn expectations_that_do_not_hold_are_conflicts() {
    let place = Place::new();
    let append = |expect| place.run(&["log", "append", "c", "1", "--expect", expect]);
    append("exists").failed(4, "channel `c` is not as expected");
    assert_eq!(append("none").code, 0);
    append("none").failed(4, "found");
    append("0").failed(4, "expected 0");
    assert_eq!(append("1").code, 0);
    assert_eq!(append("exists").code, 0);
    assert_eq!(place.events("c").len(), 3);
}

#[test]
fn an_idempotency_key_makes_repeating_harmless() {
    let place = Place::new();
    let append = |payload| place.run(&["log", "append", "c", payload, "--idempotency-key", "k"]);
    assert_eq!(values(&append("1").stdout)[0]["outcome"], "appended");
    let again = &values(&append("1").stdout)[0];
    assert_eq!((&again["outcome"], &again["seq"]), (&"already-appended".into(), &0.into()));
    append("2").failed(4, "idempotency key `k`");
    assert_eq!(place.events("c").len(), 1);
}

#[test]
fn every_acknowledgement_level_leaves_the_event() {
    let place = Place::new();
    for ack in ["staged", "written", "durable"] {
        place.ok(&["log", "append", "c", "1", "--ack", ack]);
    }
    assert_eq!(place.events("c").len(), 3);
}

#[test]
fn reads_can_be_narrowed() {
    let place = Place::new();
    for (kind, key) in [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("a", "x")] {
        place.ok(&["log", "append", "c", "1", "--kind", kind, "--key", key]);
    }
    assert_eq!(seqs(&place, &[]), [0, 1, 2, 3, 4]);
    assert_eq!(seqs(&place, &["--from", "1", "--to", "3"]), [1, 2]);
    assert_eq!(seqs(&place, &["--last", "2"]), [3, 4]);
    assert_eq!(seqs(&place, &["--reverse", "--limit", "2"]), [4, 3]);
    assert_eq!(seqs(&place, &["--kind", "a"]), [0, 2, 4]);
    assert_eq!(seqs(&place, &["--kind", "a", "--kind", "b", "--key", "y"]), [2, 3]);
    assert_eq!(seqs(&place, &["--kind", "a", "--last", "1"]), [4]);
    assert_eq!(seqs(&place, &["--from", "9"]), [0; 0]);
    assert_eq!(seqs(&place, &["--since", "2100-01-01T00:00:00Z"]), [0; 0]);
    assert_eq!(seqs(&place, &["--until", "2100-01-01T00:00:00Z"]).len(), 5);
    let third = place.events("c")[2]["recorded_at"].as_str().unwrap().to_owned();
    assert_eq!(seqs(&place, &["--since", &third]), [2, 3, 4]);
    assert_eq!(seqs(&place, &["--until", &third]), [0, 1]);
}

#[test]
fn channels_and_info_describe_the_log() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "b/c", "-"], records(0, 5).as_bytes());
    place.ok(&["log", "append", "a", "1"]);
    let channels = values(&place.ok(&["log", "channels"]));
    let names: Vec<_> = channels.iter().map(|channel| channel["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b/c"]);
    assert_eq!((&channels[1]["events"], &channels[1]["next_seq"]), (&5.into(), &5.into()));

    let info = &values(&place.ok(&["log", "info"]))[0];
    assert_eq!((&info["channels"], &info["incarnations"]), (&2.into(), &2.into()));
    assert_eq!(info["last_recorded_at"], place.events("a")[0]["recorded_at"]);
    assert_eq!(info["writer"], serde_json::Value::Null);
}

#[test]
fn tail_ends_at_the_newest_event_when_it_is_not_to_follow() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 3000).as_bytes());
    let tail =
        |options: &[&str]| values(&place.ok(&[&["log", "tail", "c", "--no-follow"], options].concat()));
    assert_eq!(tail(&[]).len(), 3000);
    assert_eq!(tail(&["--from", "2990"])[0]["seq"], 2990);
    let last = tail(&["--last", "2"]);
    assert_eq!((last.len(), &last[0]["seq"]), (2, &2998.into()));
}

#[test]
fn verify_reports_what_holds() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 100).as_bytes());
    place.ok(&["log", "append", "d", "1"]);
    for options in [&[][..], &["--all-signatures"], &["c"]] {
        let report = &values(&place.ok(&[&["log", "verify"], options].concat()))[0];
        assert_eq!(report["verdict"], "passed");
        assert_eq!(report["faults"], serde_json::json!([]));
        assert_eq!(report["root"].as_str().unwrap().len(), 64);
    }
    let table = place.ok(&["log", "verify", "--format", "table"]);
    assert!(table.contains("passed"), "{table}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test damages a real file")]
fn verify_names_each_fault_and_exits_with_5() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 100).as_bytes());
    let segment = newest_segment(&place);
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"{\"n\":50}").unwrap();
    bytes[at + 5] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();

    let run = place.run(&["log", "verify"]);
    run.failed(5, "expected");
    let report = &values(&run.stdout)[0];
    assert_eq!(report["verdict"], "failed");
    let fault = &report["faults"][0];
    assert!(fault["file"].as_str().unwrap().ends_with(segment.file_name().unwrap().to_str().unwrap()));
    assert!(fault["offset"].is_u64() && fault["expected"].is_string() && fault["found"].is_string());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test damages a real file")]
fn fsck_explains_repairs_what_is_safe_and_says_what_is_lost() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 100).as_bytes());
    place.ok(&["log", "append", "d", "before"]);
    assert_eq!(place.ok(&["log", "fsck"]), "", "nothing to tell of");
    let segment = newest_segment(&place);
    let whole = std::fs::read(&segment).unwrap();

    // A write that a crash cut short.
    let mut torn = whole.clone();
    let frame = whole[1024..].iter().rposition(|byte| *byte != 0).unwrap() + 1024;
    torn.extend_from_slice(&whole[frame - 600..frame - 100]);
    torn.resize(torn.len() + 8192, 0);
    std::fs::write(&segment, &torn).unwrap();
    let run = place.run(&["log", "fsck"]);
    let found = values(&run.stdout);
    assert_eq!(
        (run.code, found.len()),
        (if found[0]["finding"] == "torn end" { 0 } else { 5 }, 1),
        "{run:?}"
    );
    std::fs::write(&segment, &whole).unwrap();

    let mut damaged = whole.clone();
    let at = damaged.windows(6).position(|window| window == b"before").unwrap();
    damaged[at] ^= 1;
    std::fs::write(&segment, &damaged).unwrap();
    let run = place.run(&["log", "fsck"]);
    run.failed(5, "damaged places");
    let found = &values(&run.stdout)[0];
    assert_eq!(found["finding"], "damage");
    assert!(found["then"].as_str().unwrap().starts_with("opening for writing sets it aside"), "{found}");

    let strict = place.run(&["--strict", "log", "append", "d", "after"]);
    strict.failed(5, "would set aside");
    assert_eq!(std::fs::read(&segment).unwrap(), damaged, "nothing was touched");

    let run = place.run(&["log", "fsck", "--repair"]);
    run.failed(5, "damaged places");
    assert!(run.stderr.contains("were set aside as"), "{}", run.stderr);
    let found = values(&run.stdout);
    assert!(found[0]["then"].as_str().unwrap().starts_with("set aside as"), "{found:?}");
    assert!(found.iter().any(|row| row["then"].as_str().unwrap().starts_with("on record")), "{found:?}");

    place.ok(&["log", "append", "d", "after"]);
    let lost = place.ok(&[
        "sql",
        "-c",
        "select first_position, next_position, bytes > 0 as bytes from system.quarantine",
    ]);
    assert_eq!(values(&lost).len(), 1, "{lost}");
    let space = &values(&place.ok(&["log", "space"]))[0];
    assert!(space["quarantined"].as_u64().unwrap() > 0, "{space}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test looks at real files")]
fn the_proof_of_a_fork_is_named_shown_and_verified_anywhere() {
    let place = Place::new();
    place.ok(&["log", "append", "c", "1"]);
    assert_eq!(values(&place.ok(&["sql", "-c", "select * from system.forks"])).len(), 0);
    let proof = include_bytes!("../../../redex/testdata/proof.fork");
    let forks = place.data().join("forks");
    std::fs::create_dir(&forks).unwrap();
    let file = forks.join("one.fork");
    std::fs::write(&file, proof).unwrap();
    let run = place.run(&["log", "verify"]);
    run.failed(5, "proves a fork");
    assert!(run.stderr.contains("for index 77"), "{}", run.stderr);
    let sql = "select position, fault is null as good, first_hash < second_hash as ordered from system.forks";
    let shown = &values(&place.ok(&["sql", "-c", sql]))[0];
    assert_eq!(shown.to_string(), r#"{"good":true,"ordered":true,"position":77}"#);
    // Verified anywhere, without a directory.
    let elsewhere = Place::new();
    let path = file.to_str().unwrap();
    let verified = &values(&elsewhere.ok(&["log", "verify", "--proof", path]))[0];
    assert_eq!((&verified["verdict"], &verified["position"]), (&"fork".into(), &77.into()));
    let mut flipped = proof.to_vec();
    flipped[100] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    elsewhere.run(&["log", "verify", "--proof", path]).failed(5, "no proof of a fork");
    place.run(&["log", "verify"]).failed(5, "no proof of a fork");
    let shown = &values(&place.ok(&["sql", "-c", "select fault is null as good from system.forks"]))[0];
    assert_eq!(shown.to_string(), r#"{"good":false}"#);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test looks at real files")]
fn space_says_what_the_bytes_are_for() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 1000).as_bytes());
    let directory = place.data().join("logs/main");
    std::fs::write(directory.join("left.tmp"), [1; 100]).unwrap();
    let space = &values(&place.ok(&["log", "space"]))[0];
    let on_disk: u64 =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    let number = |name: &str| space[name].as_u64().unwrap();
    assert_eq!(number("total"), on_disk);
    assert_eq!((number("garbage"), number("ahead"), number("reclaimable")), (100, 0, 100), "{space}");
    place.ok(&["log", "append", "c", "x"]);
    assert_eq!(values(&place.ok(&["log", "space"]))[0]["garbage"], 0);
}

#[allow(clippy::disallowed_methods, reason = "the test looks at real files")]
fn newest_segment(place: &Place) -> std::path::PathBuf {
    let directory = place.data().join("logs/main");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    files.pop().unwrap()
}

#[test]
fn events_of_an_erasable_channel_are_redacted_and_shown_so() {
    let place = Place::new();
    place.ok(&["log", "create", "people", "--erasable"]);
    place.ok(&["log", "append", "people", "\"Ada\"", "--kind", "joined", "--key", "ada"]);
    place.ok(&["log", "append", "people", "\"Bob\"", "--kind", "joined"]);
    place.ok(&["log", "append", "plain", "1"]);
    let redacted = values(&place.ok(&["log", "redact", "people", "0..1", "--reason", "asked for"]));
    assert_eq!((&redacted[0]["redacted"], &redacted[0]["channel"]), (&1.into(), &"people".into()));
    let again = values(&place.ok(&["log", "redact", "people", "0..1"]));
    assert_eq!((&again[0]["redacted"], &again[0]["position"]), (&0.into(), &serde_json::Value::Null));
    let events = place.events("people");
    let nothing = serde_json::Value::Null;
    assert_eq!(
        (&events[0]["kind"], &events[0]["key"], &events[0]["payload"]),
        (&nothing, &nothing, &nothing)
    );
    assert_eq!((&events[1]["seq"], &events[1]["payload"]), (&1.into(), &"Bob".into()));
    assert_eq!(values(&place.ok(&["log", "verify"]))[0]["redacted"], 1);

    let sql = "select seq, kind, payload, payload_bytes from people where kind is null";
    let rows = values(&place.ok(&["sql", "-c", sql]));
    assert_eq!((rows.len(), &rows[0]["seq"], &rows[0]["payload"]), (1, &0.into(), &nothing));
    let counted =
        values(&place.ok(&["sql", "-c", "select count(*) as all, count(kind) as kinds from people"]));
    assert_eq!((&counted[0]["all"], &counted[0]["kinds"]), (&2.into(), &1.into()));
    let joined = values(&place.ok(&["sql", "-c", "select seq from people where kind = 'joined'"]));
    assert_eq!(joined.len(), 1);

    let exported = place.ok(&["export", "--channel", "people"]);
    let first = exported.lines().next().unwrap();
    assert_eq!(first, r#"{"type":"redacted","netdbredacted":true,"netdbchannel":"people"}"#);
    let other = Place::new();
    let file = other.write("people.ndjson", &exported);
    other.ok(&["import", &file]);
    assert_eq!(other.ok(&["export", "--channel", "people"]), exported);

    place.run(&["log", "redact", "plain", "0..1"]).failed(1, "not erasable");
    place.run(&["log", "redact", "people", "2..3"]).failed(3, "event 2 is not in channel");
    place.run(&["log", "redact", "people", "3..3"]).failed(2, "FROM..TO");
    place.run(&["log", "create", "plain", "--erasable"]).failed(4, "plain");
    Place::new().run(&["log", "redact", "people", "0..1"]).failed(3, "no database");

    // Over two logs, too.
    place.ok(&["log", "append", "people", "\"Eve\"", "--kind", "joined"]);
    place.ok(&["log", "move", "people", "--own"]);
    place.ok(&["log", "append", "people", "\"Mia\"", "--kind", "joined"]);
    let both = values(&place.ok(&["log", "redact", "people", "2..4"]));
    assert_eq!(both[0]["redacted"], 2);
    let kinds: Vec<_> = place.events("people").iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, [nothing.clone(), "joined".into(), nothing.clone(), nothing]);
    place.run(&["log", "redact", "people", "3..5"]).failed(3, "event 4");
    assert_eq!(place.run(&["log", "verify"]).code, 0);
}

/// A file as a replica leaves it: two events of the channel `orders`.
const CUT_OFF: &[u8] = include_bytes!("../../../redex/testdata/entries.cut");

#[test]
fn what_was_cut_off_of_a_replica_is_listed_shown_and_imported() {
    let place = Place::new();
    place.ok(&["log", "append", "c", "1"]);
    assert_eq!(place.ok(&["log", "cut-off"]), "");
    let dir = place.data().join("logs/main/cut-off");
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("0000000007.cut");
    std::fs::write(&file, CUT_OFF).unwrap();
    let listed = &values(&place.ok(&["log", "cut-off"]))[0];
    assert_eq!(listed["file"], file.to_str().unwrap());
    assert_eq!((&listed["first"], &listed["next"]), (&2.into(), &4.into()));
    assert_eq!((&listed["entries"], &listed["events"]), (&2.into(), &2.into()));

    let lines = place.ok(&["log", "cut-off", file.to_str().unwrap()]);
    let shown = values(&lines);
    assert_eq!((&shown[0]["netdbchannel"], &shown[1]["data"]), (&"orders".into(), &2.into()), "{lines}");
    let path = place.write("lost.ndjson", &lines);
    place.ok(&["import", &path]);
    assert_eq!(place.events("orders").len(), 2);
}

#[test]
fn a_damaged_file_of_what_was_cut_off_is_named_and_the_others_are_listed() {
    let place = Place::new();
    place.ok(&["log", "append", "c", "1"]);
    let dir = place.data().join("logs/main/cut-off");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("0000000001.cut"), &CUT_OFF[..100]).unwrap();
    std::fs::write(dir.join("0000000002.cut"), CUT_OFF).unwrap();
    let run = place.run(&["log", "cut-off"]);
    assert_eq!((run.code, values(&run.stdout).len()), (5, 1), "{run:?}");
    run.failed(5, "0000000001.cut");
    place.run(&["log", "cut-off", "nowhere.cut"]).failed(3, "nowhere.cut");
    place.run(&["log", "cut-off", "nowhere.cut", "--format", "csv"]).failed(2, "ndjson");
}
