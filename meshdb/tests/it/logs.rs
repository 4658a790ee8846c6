//! Statements over several logs, and over a channel that moved, beside a naive evaluation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{ChannelName, SeededRandom};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use redex::{Ack, ChannelConfig, EventInput, LogConfig, LogName, Placement, Retention};

use crate::fixture::Fixture;

const CHANNELS: [&str; 4] = ["a", "b", "b/c", "D"];
const KINDS: [&str; 3] = ["x", "y", "z"];

/// What the naive evaluation knows of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    log: String,
    channel: &'static str,
    seq: u64,
    kind: &'static str,
    value: u64,
}

fn name(channel: &str) -> ChannelName {
    ChannelName::new(channel).unwrap()
}

fn keeping(bytes: u64) -> Placement {
    Placement::With(LogConfig::keeping(Retention::of_bytes(bytes)))
}

/// Fills several logs, with channels that move.
fn filled(seed: u64) -> (Fixture, Vec<Row>) {
    let fixture = Fixture::new();
    let random = SeededRandom::new(seed);
    let pick = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for _ in 0..300 {
        let channel = CHANNELS[pick(CHANNELS.len())];
        match pick(20) {
            0 if !next.contains_key(channel) => {
                let placement = keeping(1 << (30 + pick(3)));
                fixture.store.create_channel(&name(channel), &ChannelConfig::default(), &placement).unwrap();
                next.insert(channel, 0);
            }
            0 | 1 => {
                // Some logs were left before.
                let _ = fixture.store.move_channel(&name(channel), &keeping(1 << (30 + pick(3))));
            }
            _ => {
                let (kind, value) = (KINDS[pick(KINDS.len())], random.below(100));
                let payload = format!("{{\"value\":{value}}}");
                let event = [EventInput::new(kind, payload.as_bytes())];
                let ticket = fixture.store.append(&name(channel), &event).unwrap();
                let seq = ticket.wait(Ack::Durable).into_result().unwrap().at.first_seq().unwrap().0;
                assert_eq!(std::mem::replace(next.entry(channel).or_insert(0), seq + 1), seq);
                let log = fixture.store.log_of(&name(channel)).reader().name().to_owned();
                rows.push(Row { log, channel, seq, kind, value });
            }
        }
    }
    (fixture, rows)
}

/// The rows of an answer as texts.
fn answer(fixture: &Fixture, sql: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in fixture.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")) {
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")
        }));
    }
    rows
}

fn counted<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts.iter().map(|(key, count)| format!("{key}|{count}")).collect()
}

#[test]
fn statements_over_several_logs_agree_with_a_naive_evaluation() {
    let mut moved = 0;
    for seed in 0..12 {
        let (fixture, rows) = filled(seed);
        let ask = |sql: &str| answer(&fixture, sql);
        let by_log = counted(rows.iter().map(|row| row.log.as_str()));
        moved += usize::from(by_log.len() > 2);
        assert_eq!(ask("select log, count(*) from events group by log order by log"), by_log);
        let by_channel = counted(rows.iter().map(|row| row.channel));
        assert_eq!(ask("select channel, count(*) from events group by channel order by channel"), by_channel);
        for channel in CHANNELS.iter().filter(|channel| rows.iter().any(|row| row.channel == **channel)) {
            let of_channel: Vec<&Row> = rows.iter().filter(|row| row.channel == *channel).collect();
            let shown = |rows: &[&Row]| {
                rows.iter().map(|row| format!("{}|{}|{}", row.log, row.seq, row.value)).collect::<Vec<_>>()
            };
            let columns = "log, seq, payload->>'value'";
            let sql = format!("select {columns} from channels.\"{channel}\" order by seq");
            assert_eq!(ask(&sql), shown(&of_channel), "{sql}");
            let sql =
                format!("select {columns} from events where channel = '{channel}' order by recorded_at, seq");
            assert_eq!(ask(&sql), shown(&of_channel), "{sql}");
            let (from, to) = (of_channel.len() as u64 / 3, of_channel.len() as u64 * 2 / 3);
            let within: Vec<&Row> =
                of_channel.iter().filter(|row| (from..to).contains(&row.seq)).copied().collect();
            let sql = format!(
                "select {columns} from channels.\"{channel}\" where seq >= {from} and seq < {to} order by seq"
            );
            assert_eq!(ask(&sql), shown(&within), "{sql}");
            let mut newest: Vec<&Row> = of_channel.iter().rev().take(5).copied().collect();
            let sql = format!("select {columns} from channels.\"{channel}\" order by seq desc limit 5");
            assert_eq!(ask(&sql), shown(&newest), "{sql}");
            newest.retain(|row| row.kind == "x");
            let log = &of_channel[0].log;
            let there: Vec<&Row> =
                of_channel.iter().filter(|row| row.log == *log && row.kind != "z").copied().collect();
            let sql = format!(
                "select {columns} from channels.\"{channel}\" where log = '{log}' and kind in ('x', 'y') order by seq"
            );
            assert_eq!(ask(&sql), shown(&there), "{sql}");
        }
        let sum: u64 = rows.iter().filter(|row| row.log != "main").map(|row| row.value).sum();
        let sql = "select coalesce(sum((payload->>'value')::bigint), 0) from events where log <> 'main'";
        assert_eq!(ask(sql), [sum.to_string()]);
        // What the database says of itself.
        let view = fixture.store.reader().view();
        let names: Vec<String> = view.logs().iter().map(|log| log.name().to_owned()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(ask("select log from system.logs order by log"), sorted);
        assert_eq!(ask("select distinct log from system.segments order by log"), sorted);
        let parts = view.channels().unwrap().into_iter().flat_map(|history| history.parts);
        let mut listed: Vec<String> = parts
            .map(|part| {
                let moved = part.info.moved_to.map_or("null".to_owned(), |moved| moved.log.to_string());
                format!(
                    "{}|{}|{}|{}|{moved}",
                    part.info.name, part.log, part.info.first_seq, part.info.next_seq
                )
            })
            .collect();
        let mut asked = ask("select channel, log, first_seq, next_seq, moved_to from system.channels");
        listed.sort();
        asked.sort();
        assert_eq!(asked, listed);
    }
    assert!(moved > 6, "{moved} of the fillings have three logs with events");
}

#[test]
fn a_filter_on_the_log_is_pushed_into_the_scan() {
    let (fixture, rows) = filled(3);
    let log = rows.iter().map(|row| row.log.as_str()).find(|log| *log != "main").unwrap();
    let plan =
        answer(&fixture, &format!("explain select count(*) from events where log = '{log}'")).join("\n");
    assert!(plan.contains(&format!("logs=[{log}]")) && !plan.contains("FilterExec"), "{plan}");
    let other = LogName::new(log).unwrap();
    let position = fixture.store.log(&other).unwrap().reader().visible().0;
    let sql = format!("select count(*) from events where log = '{log}' and position < {}", position / 2);
    let early = fixture.store.reader().view().log(&other).unwrap().clone();
    let known = early.read(&redex::Selection::default()).unwrap();
    let count = known.filter(|event| event.as_ref().unwrap().index.0 < position / 2).count();
    assert_eq!(answer(&fixture, &sql), [count.to_string()]);
}

#[test]
fn a_statement_beside_a_move_sees_the_channel_without_a_gap() {
    let fixture = Fixture::new();
    let ended = AtomicBool::new(false);
    let put = || {
        let event = [EventInput::new("k", b"{}")];
        fixture.store.append(&name("c"), &event).unwrap().wait(Ack::Durable).into_result().unwrap();
    };
    put();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20 {
                (0..50).for_each(|_| put());
                fixture.store.move_channel(&name("c"), &keeping(1 << (20 + round))).unwrap();
            }
            ended.store(true, Ordering::Relaxed);
        });
        let mut last = 0;
        while !ended.load(Ordering::Relaxed) {
            let batches = fixture.run("select count(*), max(seq) + 1 from c").unwrap();
            let count = answer_of(&batches[0]);
            assert!(count.0 == count.1 && count.0 >= last, "{count:?} behind {last}");
            last = count.0;
        }
    });
    let batches = fixture.run("select count(*), max(seq) + 1 from c").unwrap();
    assert_eq!(answer_of(&batches[0]), (1_001, 1_001));
}

fn answer_of(batch: &meshdb::RecordBatch) -> (u64, u64) {
    let count = batch.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0);
    let next =
        datafusion::arrow::compute::cast(batch.column(1), &datafusion::arrow::datatypes::DataType::UInt64);
    (u64::try_from(count).unwrap(), next.unwrap().as_primitive::<UInt64Type>().value(0))
}
