use base::{Classify, ErrorKind};

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

use super::*;

fn refused(sql: &str) -> String {
    match parse(sql) {
        Err(QueryError::Refused { what, .. }) => what,
        Err(other) => panic!("{sql}: {other}"),
        Ok(_) => panic!("{sql}: admitted"),
    }
}

#[test]
fn statements_that_read_are_admitted() {
    for sql in [
        "select 1",
        "select 1;",
        "with a as (select 1) select * from a union all select 2",
        "values (1), (2)",
        "explain select 1",
        "explain analyze verbose select 1",
        "explain (analyze, verbose) select 1",
        "show tables",
        "show columns from events",
        "show functions",
        "describe events",
        "describe select 1",
        "select * from channels.\"orders/audit\"",
        "select * from channels.\"v1.csv\"",
        "select * from generate_series(1, 3)",
    ] {
        parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn statements_that_do_more_than_read_are_refused_by_name() {
    for (sql, what) in [
        ("insert into events values (1)", "INSERT"),
        ("insert into events select * from events", "INSERT"),
        ("update events set kind = 'x'", "UPDATE"),
        ("delete from events", "DELETE"),
        ("merge into events using t on true when matched then delete", "MERGE"),
        ("truncate table events", "TRUNCATE"),
        ("create table t (a int)", "CREATE TABLE"),
        ("create table t as select 1", "CREATE TABLE"),
        ("create or replace view v as select 1", "CREATE VIEW"),
        ("create schema s", "CREATE SCHEMA"),
        ("create database d", "CREATE DATABASE"),
        ("create function f() returns int as 'select 1' language sql", "CREATE FUNCTION"),
        ("create external table t stored as csv location '/etc/passwd'", "CREATE EXTERNAL TABLE"),
        ("create unbounded external table t stored as csv location '/etc/passwd'", "CREATE EXTERNAL TABLE"),
        ("create index i on events (seq)", "CREATE INDEX"),
        ("alter table events add column a int", "ALTER TABLE"),
        ("drop table events", "DROP"),
        ("drop view events", "DROP"),
        ("copy events to '/tmp/x.csv'", "COPY"),
        ("copy (select 1) to '/tmp/x.parquet' stored as parquet", "COPY"),
        ("set datafusion.execution.batch_size = 1", "SET"),
        ("set time zone 'UTC'", "SET"),
        ("reset datafusion.execution.batch_size", "RESET"),
        ("use other", "USE"),
        ("prepare p as select 1", "PREPARE"),
        ("execute p(1)", "EXECUTE"),
        ("deallocate p", "DEALLOCATE"),
        ("begin", "a transaction"),
        ("start transaction", "a transaction"),
        ("commit", "COMMIT"),
        ("rollback", "ROLLBACK"),
        ("savepoint s", "SAVEPOINT"),
        ("grant select on events to bob", "GRANT"),
        ("vacuum", "VACUUM"),
        ("call f()", "CALL"),
        ("listen x", "LISTEN"),
        ("analyze events", "ANALYZE"),
        ("comment on table events is 'x'", "COMMENT"),
        ("attach database 'x' as y", "ATTACH"),
        ("select 1 into t", "SELECT INTO"),
        ("select * from events for update", "FOR UPDATE"),
        ("select 1; select 2", "more than one statement"),
    ] {
        assert_eq!(refused(sql), what, "{sql}");
        assert_eq!(parse(sql).unwrap_err().kind(), ErrorKind::Denied);
    }
}

#[test]
fn wrapping_does_not_admit() {
    for (sql, what) in [
        ("explain insert into events values (1)", "INSERT"),
        ("explain analyze insert into events values (1)", "INSERT"),
        ("explain (analyze) delete from events", "DELETE"),
        ("explain copy events to '/tmp/x.csv'", "COPY"),
        ("explain analyze copy (select 1) to '/tmp/x.csv'", "COPY"),
        ("explain explain copy events to '/tmp/x.csv'", "COPY"),
        ("explain create table t as select 1", "CREATE TABLE"),
        ("explain create external table t stored as csv location '/etc/passwd'", "CREATE EXTERNAL TABLE"),
        ("with x as (insert into events values (1) returning *) select * from x", "INSERT"),
        ("with x as (delete from events returning *) select * from x", "DELETE"),
        ("with x as (select 1) insert into events select * from x", "INSERT"),
        ("with x as (select 1) update events set kind = 'x'", "UPDATE"),
        ("select * from (select 1 into t) s", "SELECT INTO"),
        ("select (select 1 into t)", "SELECT INTO"),
        ("select 1; drop table events", "more than one statement"),
        ("drop table events; select 1", "DROP"),
    ] {
        assert_eq!(refused(sql), what, "{sql}");
    }
}

#[test]
fn files_and_addresses_are_refused() {
    for sql in [
        "select * from 'file.csv'",
        "select * from 'anything'",
        "select * from \"file.csv\"",
        "select * from \"/etc/passwd\"",
        "select * from \"https://example.org/x.parquet\"",
        "select * from read_csv('x.csv')",
        "select * from read_parquet('x')",
        "select * from parquet_metadata('x')",
        "select * from lateral read_json('x')",
        "select 1 where exists (select * from 'file.csv')",
        "with x as (select * from read_csv('x')) select * from x",
        "explain select * from 'file.csv'",
    ] {
        assert!(refused(sql).starts_with("reading a file or an address"), "{sql}");
    }
}

#[test]
fn syntax_errors_name_the_place() {
    let end = parse("select 1\nfrom orders where").unwrap_err();
    assert_eq!(end.to_string(), "syntax error at line 2, column 18: expected: an expression, found: EOF");
    let error = parse("select 1\norder order").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "syntax error at line 2, column 1: expected: end of statement, found: order"
    );
    assert_eq!(parse("").unwrap_err().to_string(), "syntax error: there is no statement");
    assert!(parse("select 'x").unwrap_err().to_string().starts_with("syntax error at line 1, column 8"));
}

#[test]
fn long_and_deep_statements_are_refused_before_they_are_parsed() {
    let long = format!("select '{}'", "x".repeat(STATEMENT_BYTES_MAX));
    assert!(matches!(parse(&long), Err(QueryError::TooLong { .. })));
    let nested = |open: &str, close: &str| format!("select {}1{}", open.repeat(10_000), close.repeat(10_000));
    for sql in [
        nested("(", ")"),
        nested("(", ""),
        nested("[", "]"),
        nested("abs(", ")"),
        nested("(select ", ")"),
        nested("not ", ""),
        nested("- ", ""),
        nested("1 + ", ""),
        nested("case when true then ", " end"),
        format!("select 1{}", "::int".repeat(10_000)),
        format!("select 1{}", " union all select 1".repeat(10_000)),
        format!("select * from a{}", ", a".repeat(10_000)),
        format!("select * from a{}", " join a on true".repeat(10_000)),
    ] {
        assert!(matches!(parse(&sql), Err(QueryError::TooDeep { .. })), "{}", &sql[..40]);
    }
}

#[test]
fn wide_statements_are_not_deep() {
    let list = vec!["1"; 20_000].join(", ");
    for sql in [
        format!("select * from events where seq in ({list})"),
        format!("select {list}"),
        format!("values {}", vec!["(1, 2)"; 5_000].join(", ")),
    ] {
        assert!(parse(&sql).is_ok());
    }
}

#[test]
fn nested_calls_are_parsed_in_no_time() {
    let sql = format!("select {}1{}", "abs(".repeat(100), ")".repeat(100));
    assert!(parse(&sql).is_ok());
}

#[test]
fn queries_nest_up_to_the_limit() {
    let nested = |queries: usize| format!("select {}1{}", "(select ".repeat(queries), ")".repeat(queries));
    assert!(parse(&nested(QUERIES_NESTED_MAX - 1)).is_ok());
    assert!(matches!(parse(&nested(QUERIES_NESTED_MAX)), Err(QueryError::TooDeep { .. })));
}

#[test]
fn all_but_named_arguments_is_read_as_postgresql_is() {
    for sql in [
        "select payload->'a'->>'b' = 'x', payload ? 'a', 1::int, e'\\n', $1, \"A\", 'a' || 'b', array[1]::int[]",
        "select count(*) filter (where a > 1) over (partition by b order by c rows 1 preceding) from t",
        "select extract(year from a), substring(a from 1 for 2), trim(both 'x' from a), position('a' in b) from t",
        "select a from t where a ~ 'x' and b is not distinct from c limit 1 offset 2",
        "select interval '1 day', timestamp '2020-01-01', $$text$$",
        "select distinct on (a) a from t natural join u left join lateral (select 1) v on true",
        "explain (analyze, verbose) select 1 /* a /* nested */ comment */ group by grouping sets ((a), ())",
    ] {
        let postgresql = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        let parser = DFParserBuilder::new(postgresql).with_dialect(&PostgreSqlDialect {}).build();
        let expected = parser.unwrap().parse_statements().unwrap();
        assert_eq!(parse(sql).unwrap(), expected[0], "{sql}");
    }
}
