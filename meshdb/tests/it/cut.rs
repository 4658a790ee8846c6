//! One statement sees one moment.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use meshdb::{Limits, Principal};
use redex::EventInput;

use crate::fixture::Fixture;

fn fill(fixture: &Fixture, channel: &str, events: usize) {
    fixture.append(channel, &vec![EventInput::new("k", b"{}"); events]);
}

#[test]
fn what_is_appended_while_a_statement_runs_is_not_seen() {
    let fixture = Fixture::new();
    fill(&fixture, "a", 10);
    let sql = "select (select count(*) from a) - (select count(*) from events)";
    let result = fixture.block_on(fixture.gateway.execute(&Principal::owner(), sql, &[], &Limits::default()));
    let result = result.unwrap();
    assert_eq!(result.cut()[0].0, "main");
    fill(&fixture, "a", 5);
    fill(&fixture, "b", 5);
    let batches = fixture.block_on(result.collect()).unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 0);
    let after = fixture.run("select count(*) from events").unwrap();
    assert_eq!(after[0].column(0).as_primitive::<Int64Type>().value(0), 20);
}

#[test]
fn a_statement_that_nobody_listens_to_ends() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fill(&fixture, "a", 10_000);
    }
    let owner = Principal::owner();
    let limits = Limits::default();
    for sql in ["select * from a", "select a.seq from a, a b", "select seq from a where kind = 'none'"] {
        fixture.block_on(async {
            let mut result = fixture.gateway.execute(&owner, sql, &[], &limits).await.unwrap();
            result.next().await;
        });
    }
    // The runtime waits for its blocking threads when it is dropped.
    drop(fixture);
}

#[test]
fn a_scan_on_several_threads_gives_every_event_once_and_in_order() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fill(&fixture, "a", 10_000);
        fill(&fixture, "b", 100);
    }
    for (order, first) in [("", 0), (" desc", 49_999)] {
        let batches = fixture.run(&format!("select seq from a order by seq{order}")).unwrap();
        let seqs: Vec<u64> = batches
            .iter()
            .flat_map(|batch| {
                batch.column(0).as_primitive::<datafusion::arrow::datatypes::UInt64Type>().values().to_vec()
            })
            .collect();
        let expected = (0..50_000).map(|seq: u64| seq.abs_diff(first));
        assert!(seqs.iter().copied().eq(expected), "{order}");
    }
}
