//! `net-db export`, and that it is the inverse of `import`.

use crate::support::{Place, records};

/// Lines with everything that an event can have.
const ODD: &str = concat!(
    r#"{"type":"a","subject":"k","time":"2026-01-31T08:15:00.25Z","id":"7","source":"/x","data":{"b": 1,"a":[ 2 ]}}"#,
    "\n",
    r#"{"type":"b","subject":null,"n":5,"s":"5","o":{"x": [1, 2]},"u":"\u0041","z":null,"data":null}"#,
    "\n",
    r#"{"type":"c","subject":"","netdbchannel":"other/one","data_base64":"/wA="}"#,
    "\n",
    r#"{"type":"d","time":null,"text":"line\nbreak \"quoted\" \\","data":"x"}"#,
    "\n",
    r#"{"type":"e","netdbheaders":"W1siZGF0YSIsIi93PT0iXSxbImEiLCJNUT09Il0sWyJhIiwiTWc9PSJdXQ=="}"#,
    "\n",
    r#"{"type":"\u00e9\u6f22","subject":17,"data":1e400}"#,
    "\n",
);

#[test]
fn export_import_export_gives_identical_bytes() {
    let (first, second) = (Place::new(), Place::new());
    let input = format!("{}{ODD}{}", records(0, 3000), records(3000, 10));
    assert_eq!(first.run_with(&["import", "--channel", "c", "-"], input.as_bytes()).code, 0);
    first.run_with(&["log", "append", "c", "-", "--header", "data=reserved"], b"not json\n");
    first.run_with(&["log", "append", "third", "-"], b"{\n}");
    let exported = first.ok(&["export"]);
    assert_eq!(exported.lines().count(), 3018);

    let imported = second.run_with(&["import", "-"], exported.as_bytes());
    assert_eq!(imported.stdout, "acknowledged 3018\n", "{imported:?}");
    let again = second.ok(&["export"]);
    assert!(again == exported, "the exports differ:\n{exported}\n{again}");
    for channel in ["c", "other/one", "third"] {
        let export = |place: &Place| place.ok(&["export", "--channel", channel]);
        assert_eq!(export(&first), export(&second));
    }
}

#[test]
fn payloads_and_attributes_are_exported_verbatim() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], ODD.as_bytes());
    let exported = place.ok(&["export"]);
    for text in [
        r#""data":{"b": 1,"a":[ 2 ]}}"#,
        r#","n":5,"s":"5","o":{"x": [1, 2]},"u":"\u0041","z":null,"#,
        r#""netdbchannel":"other/one","data_base64":"/wA="}"#,
        r#""subject":"17""#,
        r#""data":1e400}"#,
    ] {
        assert!(exported.contains(text), "expected {text} in {exported}");
    }
}

#[test]
fn an_export_can_be_narrowed_to_a_range_of_a_channel() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 10).as_bytes());
    place.ok(&["log", "append", "d", "1"]);
    assert_eq!(place.ok(&["export"]).lines().count(), 11);
    let range = place.ok(&["export", "--channel", "c", "--from", "2", "--to", "5"]);
    let expected: String = records(2, 3)
        .lines()
        .map(|line| line.replace(",\"data", ",\"netdbchannel\":\"c\",\"data") + "\n")
        .collect();
    assert_eq!(range, expected);
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 10).as_bytes());
    let file = place.write("out.ndjson", "old");
    let run = place.run(&["export", &file]);
    assert_eq!((run.code, &*run.stdout), (0, ""));
    assert!(run.stderr.contains("exported 10 events"), "{run:?}");
    assert_eq!(place.read("out.ndjson"), place.ok(&["export"]));
    place.run(&["export", "/nowhere/out.ndjson"]).failed(1, "cannot write /nowhere/out.ndjson");
    place.run(&["export", "--format", "csv"]).failed(2, "ndjson");
}
