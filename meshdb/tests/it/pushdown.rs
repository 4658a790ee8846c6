//! Push-down: the same rows as without it, and less to read.

use base::SeededRandom;
use datafusion::arrow::util::pretty::pretty_format_batches;
use meshdb::GatewayOptions;
use redex::{EventInput, LogOptions};

use crate::fixture::Fixture;

fn text(fixture: &Fixture, sql: &str) -> String {
    pretty_format_batches(&fixture.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")))
        .unwrap()
        .to_string()
}

/// A log with a few channels, kinds and keys.
fn random_log(random: &SeededRandom) -> Fixture {
    let fixture = Fixture::new();
    for number in 0..60 {
        let channel = ["a", "b", "c/d"][random.below(3) as usize];
        let kind = ["k.one", "k.two"][random.below(2) as usize];
        let payload = number.to_string();
        let event = EventInput::new(kind, payload.as_bytes());
        let event = match random.below(3) {
            0 => event,
            key => event.with_key(["x", "y"][key as usize - 1]),
        };
        fixture.append(channel, &[event]);
    }
    fixture
}

/// A random predicate, and the same one in a form that cannot be pushed down.
fn predicate(random: &SeededRandom) -> (String, String) {
    let number = random.below(30);
    let other = number + random.below(20);
    let operator = ["=", "<", "<=", ">", ">="][random.below(5) as usize];
    match random.below(8) {
        0 => (format!("seq {operator} {number}"), format!("seq + 0 {operator} {number}")),
        1 => (format!("position {operator} {number}"), format!("position + 0 {operator} {number}")),
        2 => (
            format!("position between {number} and {other}"),
            format!("position + 0 between {number} and {other}"),
        ),
        3 => ("channel = 'a'".to_owned(), "channel || '' = 'a'".to_owned()),
        4 => ("channel in ('b', 'c/d')".to_owned(), "channel || '' in ('b', 'c/d')".to_owned()),
        5 => ("kind = 'k.one'".to_owned(), "kind || '' = 'k.one'".to_owned()),
        6 => ("key in ('x', 'z')".to_owned(), "key || '' in ('x', 'z')".to_owned()),
        _ => (
            format!("recorded_at >= (select max(recorded_at) from events where position = {number})"),
            format!(
                "recorded_at + interval '0 seconds' >= (select max(recorded_at) from events where position = {number})"
            ),
        ),
    }
}

#[test]
fn pushed_predicates_give_the_rows_of_naive_ones() {
    for seed in 0..4 {
        let random = SeededRandom::new(seed);
        let fixture = random_log(&random);
        for _ in 0..40 {
            let joined = [" and ", " or "][usize::from(random.below(4) == 0)];
            let parts: Vec<_> = (0..1 + random.below(3)).map(|_| predicate(&random)).collect();
            let pushed: Vec<_> = parts.iter().map(|(pushed, _)| pushed.as_str()).collect();
            let naive: Vec<_> = parts.iter().map(|(_, naive)| naive.as_str()).collect();
            let sql = |condition: String| {
                let columns = "channel, seq, position, ordinal, kind, key, payload";
                format!("select {columns} from events where {condition} order by position, ordinal")
            };
            let (pushed, naive) = (sql(pushed.join(joined)), sql(naive.join(joined)));
            assert_eq!(text(&fixture, &pushed), text(&fixture, &naive), "seed {seed}: {pushed}");
        }
    }
}

#[test]
fn explain_analyze_shows_what_was_pushed_and_read() {
    let fixture = random_log(&SeededRandom::new(9));
    let plan = text(&fixture, "explain analyze select payload from events where channel = 'a' and seq = 3");
    assert!(plan.contains("channels=[a]"), "{plan}");
    assert!(plan.contains("seq=[3,4)"), "{plan}");
    assert!(plan.contains("events=1"), "{plan}");
    assert!(plan.contains("index_blocks="), "{plan}");
}

#[test]
fn a_point_read_looks_into_one_segment_and_one_index_block() {
    const ENTRIES: u64 = 200;
    let mut log = LogOptions::default();
    log.segment_bytes = 1 << 20;
    let fixture = Fixture::over(&log, GatewayOptions { threads: Some(2), ..GatewayOptions::default() });
    let payload = vec![b'x'; 64 << 10];
    for _ in 0..ENTRIES {
        fixture.append("a", &[EventInput::new("k", &payload)]);
    }
    let segments = fixture.store.main().reader().view().segments().len();
    assert!(segments > 8, "{segments} segments are too few to tell");
    for seq in [0, 1, 17, 100, ENTRIES - 2, ENTRIES - 1] {
        for table in ["events where channel = 'a' and", "channels.a where"] {
            let plan = text(&fixture, &format!("explain analyze select kind, key from {table} seq = {seq}"));
            assert!(plan.contains("events=1,") && plan.contains("segments=1"), "{seq}: {plan}");
            assert!(plan.contains("index_blocks=1") || plan.contains("index_blocks=0"), "{seq}: {plan}");
        }
    }
}
