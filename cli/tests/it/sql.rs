//! `net-db sql`

use std::process::Stdio;

use crate::support::{Place, records, values, wait_for};

fn orders() -> Place {
    let place = Place::new();
    for (kind, total) in [("order.placed", 12), ("order.paid", 7), ("order.placed", 30)] {
        place.ok(&[
            "log",
            "append",
            "orders/eu",
            &format!("{{\"total\":{total}}}"),
            "--kind",
            kind,
            "--key",
            "k",
        ]);
    }
    place
}

#[test]
fn statements_come_from_an_option_a_file_or_standard_input() {
    let place = orders();
    let statement = "select kind, count(*) as events from events group by kind order by kind";
    let file = place.write("count.sql", format!("-- how many\n{statement};\n"));
    let expected = "kind,events\norder.paid,1\norder.placed,2\n";
    let run = place.ok(&["sql", "--format", "csv", "-c", statement]);
    assert_eq!(run.replace('\r', ""), expected);
    assert_eq!(place.ok(&["sql", "--format", "csv", &file]), run);
    for arguments in [&["sql", "--format", "csv", "-"][..], &["sql", "--format", "csv"]] {
        assert_eq!(place.run_with(arguments, statement.as_bytes()).stdout, run);
    }
}

#[test]
fn each_format_is_what_it_says() {
    let place = orders();
    let statement = "select seq, payload->>'total' as total, key from channels.\"orders/eu\" order by seq";
    let run = |format| place.ok(&["sql", "--format", format, "-c", statement]);
    let rows = values(&run("ndjson"));
    assert_eq!((&rows[2]["seq"], &rows[2]["total"]), (&2.into(), &"30".into()));
    let array: Vec<serde_json::Value> = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(array, rows);
    assert!(run("table").contains("total"), "{}", run("table"));
    assert!(run("csv").starts_with("seq,total,key"));
}

#[test]
fn several_statements_run_up_to_the_first_that_fails() {
    let place = orders();
    let run = place.run(&["sql", "--format", "csv", "-c", "select 1 as a; select nothing; select 2 as b"]);
    run.failed(1, "nothing");
    assert!(run.stdout.starts_with('a') && !run.stdout.contains('b'), "{run:?}");
    assert_eq!(place.ok(&["sql", "-c", "select 'a;b' as x;;"]), "{\"x\":\"a;b\"}\n");
    assert_eq!(place.ok(&["sql", "-c", " -- nothing\n"]), "");
}

#[test]
fn what_does_more_than_read_is_denied() {
    let place = orders();
    for statement in [
        "insert into events values (1)",
        "delete from events",
        "update events set kind = 'x'",
        "create table t (a int)",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "drop table events",
        "copy events to '/tmp/x.csv'",
        "copy (select 1) to 'x.parquet'",
        "set datafusion.execution.batch_size = 1",
        "begin",
    ] {
        place.run(&["sql", "-c", statement]).failed(7, "refused");
    }
    assert_eq!(place.events("orders/eu").len(), 3);
}

#[test]
fn mistakes_have_their_exit_codes() {
    let place = orders();
    place.run(&["sql", "-c", "select * from events where"]).failed(1, "syntax");
    place.run(&["sql", "-c", "select * from ordres"]).failed(3, "ordres");
    place.run(&["sql", "-c", "select * from channels.\"orders/us\""]).failed(3, "orders/us");
    place.run(&["sql", "-c", "select colour from events"]).failed(1, "colour");
    place.run(&["sql", "missing.sql"]).failed(3, "missing.sql");
    assert_eq!(place.run(&["sql", "-c", "select 1", "file"]).code, 2);
    Place::new().run(&["sql", "-c", "select 1"]).failed(3, "net-db init");
}

#[test]
fn statements_see_what_another_process_writes() {
    let place = Place::new();
    let mut command = place.command(&["import", "--channel", "c", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, records(0, 10_000).as_bytes()).unwrap();
    let count = |place: &Place| {
        let run = place.run(&["sql", "-c", "select count(*) as n from events"]);
        values(&run.stdout).first().and_then(|row| row["n"].as_u64())
    };
    let seen = wait_for(|| count(&place).filter(|count| *count > 0));
    assert!(seen >= 2000);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(count(&place), Some(10_000));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Place::new();
    place.run_with(&["import", "--channel", "c", "-"], records(0, 50_000).as_bytes());
    let mut child = place.command(&["sql", "-c", "select * from events"]).spawn().unwrap();
    let mut first = [0; 10];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(child.stdout.take());
    let run = crate::support::finish(child);
    assert_eq!((run.code, &*run.stderr), (0, ""));
}

#[test]
fn blobs_are_tables_beside_the_logs() {
    let place = Place::new();
    let file = place.write("file", b"a few bytes");
    place.ok(&["init"]);
    assert_eq!(place.ok(&["sql", "--format", "csv", "-c", "select hash from blobs"]).lines().count(), 1);
    assert!(!place.data().join("blobs").exists());
    place.ok(&["blob", "put", &file, "--name", "today", "--pin"]);
    let statement = "select bytes, pin, names from blobs; select count(*) as n from pins; \
                     select place from system.chunks";
    let rows = place.ok(&["sql", "-c", statement]);
    let wanted =
        "{\"bytes\":11,\"pin\":\"recursive\",\"names\":[\"today\"]}\n{\"n\":1}\n{\"place\":\"packed\"}\n";
    assert_eq!(rows, wanted);
    // Nothing is held between two statements.
    let _lock = netdb::open_blobs(&place.data(), &netdb::base::Doors::system()).unwrap();
    place.run(&["sql", "-c", "select * from blobs"]).failed(6, "table `blobs` cannot be read");
    place.ok(&["sql", "-c", "select * from events"]);
}
