use netdb::base::{ChannelName, Hash, Index, SeededRandom, Seq, Timestamp};
use netdb::redex::BlobReference;

use super::*;
use crate::import::parse_for_tests;

fn exported(event: &EventView<'_>) -> String {
    let mut line = Vec::new();
    push_line(&mut line, event);
    String::from_utf8(line).unwrap()
}

fn event<'a>(channel: &'a ChannelName, headers: &[(&'a str, &'a [u8])], payload: &'a [u8]) -> EventView<'a> {
    EventView {
        channel,
        seq: Seq(0),
        index: Index(0),
        recorded_at: Timestamp::from_nanos(0),
        time: None,
        kind: "order.placed",
        key: None,
        headers: headers.to_vec(),
        blobs: Vec::new(),
        payload,
        redacted: false,
    }
}

fn channel() -> ChannelName {
    ChannelName::new("orders").unwrap()
}

#[test]
fn a_plain_event_has_the_names_of_cloud_events() {
    let channel = channel();
    let mut event = event(&channel, &[("id", b"7"), ("source", b"/shop")], b"{\"n\": 1}");
    event.key = Some("k");
    event.time = Some("2026-01-31T08:15:00Z".parse().unwrap());
    let expected = concat!(
        r#"{"type":"order.placed","subject":"k","time":"2026-01-31T08:15:00Z","id":"7","source":"/shop","#,
        r#""netdbchannel":"orders","data":{"n": 1}}"#,
        "\n"
    );
    assert_eq!(exported(&event), expected);
}

#[test]
fn payloads_that_are_no_json_in_one_line_are_base64() {
    let channel = channel();
    for (payload, field) in [
        (&b"text"[..], "\"data_base64\":\"dGV4dA==\"}"),
        (b"\xff", "\"data_base64\":\"/w==\"}"),
        (b"{\n}", "\"data_base64\":\"ewp9\"}"),
        (b" 1", "\"data_base64\":\"IDE=\"}"),
        (b"null", "\"data\":null}"),
        (b"", "\"netdbchannel\":\"orders\"}"),
    ] {
        let line = exported(&event(&channel, &[], payload));
        assert!(line.trim_end().ends_with(field), "{line}");
    }
}

#[test]
fn what_is_exported_imports_to_the_same_event() {
    let channel = channel();
    let odd: &[(&str, &[u8])] = &[
        ("number", b"5"),
        ("quoted", b"\"abc\""),
        ("text", b"line\nbreak \"q\" \\"),
        ("empty", b""),
        ("", b"nameless"),
        ("type", b"reserved"),
        ("netdbheaders", b"reserved"),
        ("netdbblobs", b"reserved"),
        ("binary", b"\xff\x00"),
    ];
    let twins: &[(&str, &[u8])] = &[("x", b"1"), ("y", b"2"), ("x", b"3")];
    let verbatim: &[(&str, &[u8])] =
        &[("a", b"5"), ("b", b"text"), ("c", b"{\"d\": 1}"), ("e", b"5"), ("netdbjson", b"[\"a\",\"c\"]")];
    for headers in [odd, twins, verbatim] {
        for payload in [&b""[..], b"{\"a\":[1, 2]}", b"\"x\"", b"\xff\xfe", b"{\r\n}"] {
            let mut event = event(&channel, headers, payload);
            event.key = Some("");
            event.time = Some(Timestamp::from_nanos(-1));
            round_trip(&event);
        }
    }
}

#[test]
fn blob_references_come_back() {
    let channel = channel();
    let mut event = event(&channel, &[("id", b"7")], b"{}");
    let reference = |text: &str| BlobReference { hash: Hash::of(text.as_bytes()), bytes: text.len() as u64 };
    event.blobs = ["photo", "", "photo"].map(reference).to_vec();
    let listed = format!("\"netdbblobs\":[\"{}:5\",\"{}:0\",", Hash::of(b"photo"), Hash::of(b""));
    assert!(exported(&event).contains(&listed), "{}", exported(&event));
    round_trip(&event);
}

#[test]
fn a_header_that_only_looks_like_the_list_of_verbatim_ones_is_a_header() {
    let channel = channel();
    for list in ["[]", "[\"x\"]", "[ \"n\"]", "[\"n\",\"s\"]", "[\"s\"]", "n", "[\"n\",\"n\"]"] {
        let headers: &[(&str, &[u8])] = &[("n", b"5"), ("s", b"word"), ("netdbjson", list.as_bytes())];
        let event = event(&channel, headers, b"");
        assert!(exported(&event).contains("\"n\":\"5\""), "{list}");
        round_trip(&event);
    }
}

#[test]
fn verbatim_attributes_come_back_verbatim() {
    let attributes = r#""a":5,"b":"5","c":[ 1,2 ],"d":"\u0062","e":null,"f":"\ud800","g":"\n""#;
    let line = format!("{{\"type\":\"t\",{attributes},\"netdbchannel\":\"orders\"}}\n");
    let channel = channel();
    parse_for_tests(&line, |input| {
        let event = event(&channel, input.headers, b"");
        assert_eq!(exported(&event).replace("order.placed", "t"), line);
    });
}

/// Names, values and payloads are put together from pieces that meant trouble to somebody.
#[test]
fn random_events_come_back() {
    const PIECES: [&[u8]; 16] = [
        b"",
        b"a",
        b"5",
        b"\"",
        b"\\",
        b"{}",
        b"[",
        b"]",
        b"\n",
        b" ",
        b"null",
        b"\xff",
        b"\0",
        b"\xc3\xa9",
        b"\\u0041",
        b"\"x\"",
    ];
    const NAMES: [&str; 8] = ["a", "b", "", "type", "data", "netdbjson", "netdbchannel", "id"];
    let seed = 0x0005_eed0;
    println!("seed {seed}");
    let random = SeededRandom::new(seed);
    let pick = |count: usize| usize::try_from(random.below(count as u64)).unwrap();
    let bytes = || (0..pick(4)).flat_map(|_| PIECES[pick(PIECES.len())]).copied().collect::<Vec<u8>>();
    let channel = channel();
    for _ in 0..5000 {
        let headers: Vec<(&str, Vec<u8>)> = (0..pick(5))
            .map(|_| match NAMES[pick(NAMES.len())] {
                "netdbjson" => ("netdbjson", b"[\"a\"]".to_vec()),
                name => (name, bytes()),
            })
            .collect();
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        round_trip(&event(&channel, &headers, &bytes()));
    }
}

fn round_trip(event: &EventView<'_>) {
    let line = exported(event);
    parse_for_tests(&line, |again| {
        assert_eq!((again.kind, again.key, again.time), (event.kind, event.key, event.time));
        assert_eq!(again.payload, event.payload);
        assert_eq!(again.blobs, event.blobs);
        let mut expected = event.headers.clone();
        let mut found = again.headers.to_vec();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);

        let again = EventView { headers: again.headers.to_vec(), blobs: again.blobs.to_vec(), ..*event };
        assert_eq!(exported(&again), line);
    });
}
