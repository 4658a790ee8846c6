//! `net-db import`

use crate::support::{Place, numbers, records};

#[test]
fn a_cloud_event_is_imported_as_it_is() {
    let place = Place::new();
    let line = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","subject":"k","time":"2013-01-01T05:15:00-05:00","data":{"b": 1,  "a":[ 2 ]},"retries":3}"#;
    let file = place.write("events.ndjson", format!("{line}\n"));
    assert_eq!(place.ok(&["import", "--channel", "c", &file]), "acknowledged 1\n");
    let text = place.ok(&["log", "read", "c"]);
    assert!(text.contains(r#""payload":{"b": 1,  "a":[ 2 ]}}"#), "{text}");
    let event = &place.events("c")[0];
    assert_eq!((&event["kind"], &event["key"]), (&"order.placed".into(), &"k".into()));
    assert_eq!(event["time"], "2013-01-01T10:15:00Z");
    assert_eq!((&event["headers"]["id"], &event["headers"]["retries"]), (&"7".into(), &"3".into()));
}

#[test]
fn zstd_is_recognised() {
    let place = Place::new();
    let packed = zstd::encode_all(records(0, 5000).as_bytes(), 3).unwrap();
    let file = place.write("events.ndjson.zst", &packed);
    assert_eq!(place.ok(&["import", "--channel", "c", &file]), "acknowledged 5000\n");
    assert_eq!(place.run_with(&["import", "--channel", "d", "-"], &packed).last_line(), "acknowledged 5000");
    assert_eq!(numbers(&place, "d"), (0..5000).collect::<Vec<_>>());

    let cut = place.write("cut.ndjson.zst", &packed[..packed.len() / 2]);
    let run = place.run(&["import", "--channel", "e", &cut]);
    run.failed(1, "cannot read on");
    assert!(run.last_line().starts_with("acknowledged "));
}

#[test]
fn importing_again_goes_on_behind_what_is_there() {
    let place = Place::new();
    let file = place.write("events.ndjson", records(0, 3000));
    let import = || place.run(&["import", "--channel", "c", &file]);
    assert_eq!(import().stdout, "acknowledged 3000\n");
    assert_eq!(import().stdout, "acknowledged 3000\n");
    assert_eq!(numbers(&place, "c").len(), 3000);

    place.write("events.ndjson", records(0, 5000));
    let grown = import();
    assert_eq!(grown.stdout, "acknowledged 5000\n");
    assert!(grown.stderr.contains("3000 records"), "{grown:?}");
    assert_eq!(numbers(&place, "c"), (0..5000).collect::<Vec<_>>());
}

#[test]
fn another_input_under_the_same_id_is_a_conflict() {
    let place = Place::new();
    let file = place.write("events.ndjson", records(0, 10));
    place.ok(&["import", "--channel", "c", &file]);
    for (changed, reason) in [
        (records(1, 10), "the first 10 lines"),
        (records(0, 9), "has 9 lines, but 10 were imported"),
        (String::new(), "has 0 lines"),
    ] {
        place.write("events.ndjson", changed);
        let run = place.run(&["import", "--channel", "c", &file]);
        run.failed(4, reason);
        run.failed(4, "--again");
        run.failed(4, "--id");
        assert_eq!(run.stdout, "");
    }
    assert_eq!(numbers(&place, "c").len(), 10);
}

#[test]
fn again_imports_anew_and_later_runs_go_on_from_there() {
    let place = Place::new();
    let file = place.write("events.ndjson", records(0, 3));
    let import = |options: &[&str]| place.ok(&[&["import", "--channel", "c", &file], options].concat());
    import(&[]);
    assert_eq!(import(&["--again"]), "acknowledged 3\n");
    assert_eq!(numbers(&place, "c"), [0, 1, 2, 0, 1, 2]);

    place.write("events.ndjson", records(7, 2));
    assert_eq!(import(&["--again"]), "acknowledged 2\n");
    place.write("events.ndjson", records(7, 3));
    assert_eq!(import(&[]), "acknowledged 3\n");
    assert_eq!(numbers(&place, "c"), [0, 1, 2, 0, 1, 2, 7, 8, 9]);
}

#[test]
fn an_id_names_an_import_whatever_its_file() {
    let place = Place::new();
    let one = place.write("one.ndjson", records(0, 3));
    let two = place.write("two.ndjson", records(0, 5));
    place.ok(&["import", "--channel", "c", "--id", "night", &one]);
    assert_eq!(place.ok(&["import", "--channel", "c", "--id", "night", &two]), "acknowledged 5\n");
    assert_eq!(numbers(&place, "c"), [0, 1, 2, 3, 4]);
    place.ok(&["import", "--channel", "d", &one]);
    assert_eq!(numbers(&place, "d"), [0, 1, 2]);
}

#[test]
fn standard_input_is_recognised_by_its_beginning() {
    let place = Place::new();
    let import = |input: String| place.run_with(&["import", "--channel", "c", "-"], input.as_bytes()).stdout;
    assert_eq!(import(records(0, 6000)), "acknowledged 6000\n");
    assert_eq!(import(records(0, 6500)), "acknowledged 6500\n");
    assert_eq!(import(records(0, 6500)), "acknowledged 6500\n");
    assert_eq!(numbers(&place, "c"), (0..6500).collect::<Vec<_>>());
}

#[test]
fn a_pipe_is_recognised_by_its_beginning_whatever_its_path() {
    let place = Place::new();
    for path in ["/dev/stdin", "/proc/self/fd/0", "-"] {
        let run = place.run_with(&["import", "--channel", "c", path], records(0, 10).as_bytes());
        assert_eq!(run.stdout, "acknowledged 10\n", "{run:?}");
    }
    assert_eq!(numbers(&place, "c").len(), 10);
}

#[test]
fn a_directory_is_no_input() {
    let place = Place::new();
    place.run(&["import", "--channel", "c", "/"]).failed(1, "it is a directory");
}

#[test]
fn a_bad_record_stops_behind_what_is_durable() {
    let place = Place::new();
    for (bad, reason) in [
        (&b"nonsense"[..], "expected"),
        (b"[1,2]", "a JSON object"),
        (b"{\"type\":\"a\",\"type\":\"b\"}", "stands twice"),
        (b"{\"kind\":\"a\"}", "--map kind=FIELD"),
        (b"{\"type\":\"\xff\"}", "invalid UTF-8"),
        (b"{\"type\":\"a\",\"time\":\"soon\"}", "RFC 3339"),
        (b"{\"type\":\"a\",\"netdbchannel\":\"../x\"}", "channel name"),
        (b"{\"type\":\"a\",\"netdbchannel\":\"sys/x\"}", "belongs to the database"),
        (b"{\"type\":\"a\",\"data_base64\":\"*\"}", "base64"),
    ] {
        let mut input = records(0, 2500).into_bytes();
        input.extend_from_slice(b"\n");
        input.extend_from_slice(bad);
        input.extend_from_slice(b"\n");
        input.extend_from_slice(records(2500, 10).as_bytes());
        let file = place.write("events.ndjson", &input);
        let run = place.run(&["import", "--channel", "c", &format!("--id={reason}"), &file]);
        run.failed(1, reason);
        run.failed(1, "line 2502");
        run.failed(1, "2500 records are durable");
        assert_eq!(run.stdout, "acknowledged 2500\n");
    }
}

#[test]
fn a_mended_file_goes_on_behind_the_bad_line() {
    let place = Place::new();
    let file = place.write("events.ndjson", format!("{}oops\n{}", records(0, 10), records(11, 5)));
    assert_eq!(place.run(&["import", "--channel", "c", &file]).code, 1);
    place.write("events.ndjson", records(0, 16));
    assert_eq!(place.ok(&["import", "--channel", "c", &file]), "acknowledged 16\n");
    assert_eq!(numbers(&place, "c"), (0..16).collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_still_being_written_is_imported_in_the_end() {
    let place = Place::new();
    let whole = records(0, 10);
    let file = place.write("events.ndjson", &whole[..whole.len() - 8]);
    let run = place.run(&["import", "--channel", "c", &file]);
    run.failed(1, "still be written");
    assert_eq!(run.stdout, "acknowledged 9\n");
    place.write("events.ndjson", whole.trim_end());
    assert_eq!(place.ok(&["import", "--channel", "c", &file]), "acknowledged 10\n");
    place.write("events.ndjson", records(0, 11));
    assert_eq!(place.ok(&["import", "--channel", "c", &file]), "acknowledged 11\n");
    assert_eq!(numbers(&place, "c"), (0..11).collect::<Vec<_>>());
}

#[test]
fn empty_input_and_blank_lines_are_no_records() {
    let place = Place::new();
    let empty = place.write("empty.ndjson", "");
    assert_eq!(place.ok(&["import", "--channel", "c", &empty]), "acknowledged 0\n");
    let blank = place.write("blank.ndjson", format!("\n  \n{}\r\n", records(0, 2)));
    assert_eq!(place.ok(&["import", "--channel", "c", &blank]), "acknowledged 2\n");
    assert_eq!(place.ok(&["import", "--channel", "c", &blank]), "acknowledged 2\n");
    assert_eq!(numbers(&place, "c"), [0, 1]);
}

#[test]
fn a_huge_line_is_refused_without_being_read_to_its_end() {
    let place = Place::new();
    let mut input = records(0, 3).into_bytes();
    input.resize(100 << 20, b'x');
    let run = place.run_with(&["import", "--channel", "c", "-"], &input);
    run.failed(1, "longer than 33554432 bytes");
    run.failed(1, "line 4");
    assert_eq!(run.stdout, "acknowledged 3\n");
}

#[test]
fn an_event_beyond_the_limits_of_the_log_is_a_bad_record() {
    let place = Place::new();
    let huge = "x".repeat(17 << 20);
    for (line, reason) in [
        (format!("{{\"type\":\"a\",\"data\":\"{huge}\"}}\n"), "event is too large"),
        (format!("{{\"type\":\"{}\"}}\n", "k".repeat(256)), "kind is too large"),
        (format!("{{\"type\":\"a\",\"subject\":\"{}\"}}\n", "k".repeat(70_000)), "key is too large"),
    ] {
        let input = format!("{}{line}", records(0, 3));
        let run = place.run_with(&["import", "--channel", "c", "--id", reason, "-"], input.as_bytes());
        run.failed(1, reason);
        run.failed(1, "line 4");
        assert_eq!(run.stdout, "acknowledged 3\n");
    }
}

#[test]
fn other_fields_can_be_mapped() {
    let place = Place::new();
    let line = br#"{"event":"visit","user":42,"at":"2026-01-31T08:15:00Z","body":{"n":0},"type":"x"}"#;
    let arguments = ["import", "--channel", "c", "--map", "kind=event,key=user,time=at,payload=body", "-"];
    assert_eq!(place.run_with(&arguments, line).stdout, "acknowledged 1\n");
    let event = &place.events("c")[0];
    assert_eq!((&event["kind"], &event["key"]), (&"visit".into(), &"42".into()));
    assert_eq!((&event["headers"]["type"], &event["payload"]["n"]), (&"x".into(), &0.into()));
}

#[test]
fn a_channel_is_needed_only_for_lines_without_one() {
    let place = Place::new();
    let run = place.run_with(&["import", "-"], br#"{"type":"a","netdbchannel":"x/y"}"#);
    assert_eq!(run.stdout, "acknowledged 1\n");
    assert_eq!(place.events("x/y").len(), 1);
    place.run_with(&["import", "-"], b"{\"type\":\"b\"}\n").failed(1, "--channel");
}
