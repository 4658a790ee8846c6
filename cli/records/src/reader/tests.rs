use super::*;

fn reader(input: &str) -> Reader<&[u8]> {
    Reader::new(input.as_bytes(), Mapping::default(), Some(ChannelName::new("c").unwrap()))
}

fn record(number: u64) -> String {
    format!("{{\"type\":\"t\",\"data\":{number}}}\n")
}

fn records(count: u64) -> String {
    (0..count).map(record).collect()
}

#[test]
fn batches_end_at_their_limit_of_lines_and_carry_the_digest_of_all_lines() {
    let input = records(BATCH_LINES + 1);
    let mut reader = reader(&input);
    let first = reader.next_batch();
    let batch = first.batch.unwrap();
    assert!(first.end.is_none());
    assert_eq!((batch.last_line, batch.events.len() as u64), (BATCH_LINES, BATCH_LINES));
    assert_eq!(batch.digest, Hash::of(records(BATCH_LINES).as_bytes()));

    let second = reader.next_batch();
    let batch = second.batch.unwrap();
    assert!(matches!(second.end, Some(End::Input)));
    assert_eq!((batch.last_line, batch.events.len()), (BATCH_LINES + 1, 1));
    assert_eq!(batch.digest, Hash::of(input.as_bytes()));
}

#[test]
fn batches_end_at_their_limit_of_bytes() {
    let line = format!("{{\"type\":\"t\",\"data\":\"{}\"}}\n", "x".repeat(BATCH_BYTES));
    let input = line.repeat(2);
    let step = reader(&input).next_batch();
    assert_eq!(step.batch.unwrap().last_line, 1);
    assert!(step.end.is_none());
}

#[test]
fn a_bad_line_ends_the_batch_in_front_of_it() {
    let input = format!("{}\n{}oops\n{}", record(0), record(1), record(2));
    let step = reader(&input).next_batch();
    let batch = step.batch.unwrap();
    assert_eq!((batch.last_line, batch.events.len()), (3, 2));
    assert_eq!(batch.digest, Hash::of(format!("{}\n{}", record(0), record(1)).as_bytes()));
    let Some(End::Bad { line, reason }) = step.end else { panic!("a bad line") };
    assert_eq!(line, 4);
    assert!(reason.to_string().starts_with("expected"), "{reason}");
}

#[test]
fn an_empty_input_and_one_of_blank_lines_give_no_batch() {
    for input in ["", "\n", "  \r\n\t\n"] {
        let step = reader(input).next_batch();
        assert!(step.batch.is_none() && matches!(step.end, Some(End::Input)), "{input:?}");
    }
}

#[test]
fn skipping_hashes_what_importing_hashed() {
    let input = format!("{}\n{}", records(5), record(5));
    let whole = reader(&input).next_batch().batch.unwrap();
    let mut reader = reader(&input);
    let skipped = reader.skip(7).unwrap();
    assert_eq!((skipped.lines, skipped.records, skipped.digest), (7, 6, whole.digest));
    assert!(reader.next_batch().batch.is_none());
}

#[test]
fn a_shorter_input_is_noticed_while_skipping() {
    let skipped = reader(&records(3)).skip(9).unwrap();
    assert_eq!((skipped.lines, skipped.records), (3, 3));
}

#[test]
fn going_on_behind_skipped_lines_gives_the_same_digest() {
    let input = records(10);
    let mut reader = reader(&input);
    reader.skip(4).unwrap();
    let batch = reader.next_batch().batch.unwrap();
    assert_eq!((batch.last_line, batch.events.len()), (10, 6));
    assert_eq!(batch.digest, Hash::of(input.as_bytes()));
}

#[test]
fn a_missing_newline_at_the_end_changes_no_digest() {
    let input = records(2);
    let cut = reader(input.trim_end()).next_batch().batch.unwrap();
    assert_eq!(cut.digest, Hash::of(input.as_bytes()));
}

#[test]
fn a_line_names_its_channel_or_takes_the_default() {
    let named = |name: &str| format!("{{\"type\":\"t\",\"netdbchannel\":\"{name}\"}}\n");
    let input = format!("{}{}{}", named("a/b"), record(0), named("a/b"));
    let step = reader(&input).next_batch();
    step.batch.unwrap().events.with_parts(|parts| {
        let names: Vec<_> = parts.iter().map(|part| part.channel.as_str()).collect();
        assert_eq!(names, ["a/b", "c", "a/b"]);
    });
    for (name, reason) in [("../x", "has the segment `..`"), ("", "empty"), ("sys/names", "belongs to")] {
        let Some(End::Bad { reason: found, .. }) = reader(&named(name)).next_batch().end else {
            panic!("{name}")
        };
        assert!(found.to_string().contains(reason), "{found}");
    }
    let Some(End::Bad { reason, .. }) =
        Reader::new(record(0).as_bytes(), Mapping::default(), None).next_batch().end
    else {
        panic!("no channel")
    };
    assert!(reason.to_string().contains("--channel"), "{reason}");
}
