use super::*;

fn parse(line: &str) -> Result<Record<'_>, String> {
    Record::parse(line.as_bytes(), &Mapping::default()).map_err(|error| error.to_string())
}

#[test]
fn a_cloud_event_becomes_an_event() {
    let line = r#"{"specversion":"1.0","id":"7","type":"order.placed","subject":"k","time":"2013-01-01T05:15:00-05:00","data":{"b": 1,"a":[ 2 ]},"source":"/x","retries":3}"#;
    let record = parse(line).unwrap();
    assert_eq!(record.kind, "order.placed");
    assert_eq!(record.key.as_deref(), Some("k"));
    assert_eq!(record.time, Some("2013-01-01T10:15:00Z".parse().unwrap()));
    assert_eq!(&*record.payload, br#"{"b": 1,"a":[ 2 ]}"#);
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected: [(&str, &[u8]); 5] = [
        ("specversion", b"1.0"),
        ("id", b"7"),
        ("source", b"/x"),
        ("retries", b"3"),
        ("netdbjson", b"[\"retries\"]"),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn nothing_is_copied_from_a_plain_line() {
    let line = r#"{"type":"a","subject":"b","data":{"c":1},"source":"d"}"#;
    let record = parse(line).unwrap();
    assert!(matches!(record.kind, Cow::Borrowed(_)));
    assert!(matches!(record.key, Some(Cow::Borrowed(_))));
    assert!(matches!(record.payload, Cow::Borrowed(_)));
    assert!(matches!(record.headers[0], (Cow::Borrowed(_), Cow::Borrowed(_))));
}

#[test]
fn a_null_subject_is_no_key_and_an_empty_one_is_a_key() {
    assert_eq!(parse(r#"{"type":"a","subject":null}"#).unwrap().key, None);
    assert_eq!(parse(r#"{"type":"a","subject":""}"#).unwrap().key.as_deref(), Some(""));
    assert_eq!(parse(r#"{"type":"a","subject":42}"#).unwrap().key.as_deref(), Some("42"));
}

#[test]
fn payloads_are_verbatim_decoded_or_empty() {
    assert_eq!(&*parse(r#"{"type":"a","data": null }"#).unwrap().payload, b"null");
    assert_eq!(&*parse(r#"{"type":"a","data":"x\u0041"}"#).unwrap().payload, br#""x\u0041""#);
    assert_eq!(&*parse(r#"{"type":"a","data_base64":"/wA="}"#).unwrap().payload, b"\xff\0");
    assert_eq!(&*parse(r#"{"type":"a"}"#).unwrap().payload, b"");
}

#[test]
fn mapped_fields_are_used_and_the_usual_ones_become_headers() {
    let mapping: Mapping = "kind=event,key=user,time=at,payload=body".parse().unwrap();
    let line =
        br#"{"event":"e","user":7,"at":"2026-01-01T00:00:00Z","body":[1],"type":"t","data_base64":"x"}"#;
    let record = Record::parse(line, &mapping).unwrap();
    assert_eq!((&*record.kind, record.key.as_deref(), &*record.payload), ("e", Some("7"), &b"[1]"[..]));
    assert!(record.time.is_some());
    assert_eq!(record.headers.len(), 2);
}

#[test]
fn only_what_can_be_exported_verbatim_is_listed_as_such() {
    let mapping: Mapping = "kind=event".parse().unwrap();
    let record = Record::parse(br#"{"event":"e","type":1,"n":2}"#, &mapping).unwrap();
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected: [(&str, &[u8]); 3] = [("type", b"1"), ("n", b"2"), ("netdbjson", b"[\"n\"]")];
    assert_eq!(headers, expected);
}

#[test]
fn channel_and_packed_headers_are_read_back() {
    let packed = attributes::pack([("data", &b"\xff"[..])].into_iter());
    let line = format!(r#"{{"type":"a","netdbchannel":"x/y","netdbheaders":"{packed}","h":"1"}}"#);
    let record = parse(&line).unwrap();
    assert_eq!(record.channel.as_deref(), Some("x/y"));
    let names: Vec<_> = record.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["h", "data"]);
}

#[test]
fn each_bad_line_is_refused_with_its_reason() {
    for (line, reason) in [
        ("[1]", "invalid type: sequence, expected a JSON object"),
        ("5", "invalid type: integer `5`, expected a JSON object"),
        ("nonsense", "expected ident at column 2"),
        (r#"{"type":"a"} x"#, "trailing characters at column 14"),
        (r#"{"type":"a","#, "the record has no end (EOF while parsing"),
        (r#"{"type":"a","data":{"b":"#, "the record has no end (EOF while parsing"),
        (r#"{"type":"a","type":"b"}"#, "the field `type` stands twice in the record"),
        (r#"{"type":"a","x":1,"\u0078":2}"#, "the field `x` stands twice in the record"),
        (r#"{"kind":"a"}"#, "no field `type` for the event's kind: name the field that holds it with `--map"),
        (r#"{"type":5}"#, "the field `type` is not a string"),
        (r#"{"type":null}"#, "the field `type` is not a string"),
        (r#"{"type":"a","subject":{}}"#, "the field `subject` is not a string, a number or null"),
        (r#"{"type":"a","subject":"\ud800"}"#, "the field `subject` is not a string, a number or null"),
        (r#"{"type":"a","time":"yesterday"}"#, "the field `time`: `yesterday` is not a time in RFC 3339"),
        (r#"{"type":"a","time":5}"#, "the field `time` is not a string"),
        (r#"{"type":"a","data":1,"data_base64":""}"#, "the record has both `data` and `data_base64`"),
        (r#"{"type":"a","data_base64":"?"}"#, "the field `data_base64` is not base64 with padding"),
        (r#"{"type":"a","netdbheaders":"AA=="}"#, "the field `netdbheaders` is not what `export` writes"),
        (r#"{"type":"a","netdbblobs":["x:1"]}"#, "the field `netdbblobs` is not a list of \"HASH:BYTES\""),
        (r#"{"type":"a","netdbjson":"[]"}"#, "the field `netdbjson` is reserved"),
        (r#"{"type":"a","netdbchannel":null}"#, "the field `netdbchannel` is not a string"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.starts_with(reason), "{line}: {error}");
    }
    let error = Record::parse(b"{\"type\":\"\xff\"}", &Mapping::default()).unwrap_err();
    assert_eq!(error.to_string(), "invalid UTF-8 at byte 10 of the line");
}

#[test]
fn a_record_with_too_many_fields_is_refused() {
    let fields: Vec<_> = (0..70_000).map(|number| format!("\"f{number}\":1")).collect();
    let error = parse(&format!("{{{}}}", fields.join(","))).unwrap_err();
    assert!(error.starts_with("more than 65544 fields"), "{error}");
}

#[test]
fn deep_nesting_is_read_verbatim() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let line = format!(r#"{{"type":"a","data":{deep}}}"#);
    assert_eq!(&*parse(&line).unwrap().payload, deep.as_bytes());
}
