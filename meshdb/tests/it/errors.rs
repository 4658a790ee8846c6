//! What errors say, and what callers can do about them.

use base::{Classify, ErrorKind};
use meshdb::{Limits, Param, Principal, QueryError};

use crate::fixture::{Fixture, shop};

fn error(shop: &Fixture, sql: &str, params: &[Param], limits: &Limits) -> QueryError {
    let run = async { shop.gateway.execute(&Principal::owner(), sql, params, limits).await?.collect().await };
    shop.block_on(run).map(|_| ()).expect_err(sql)
}

#[test]
fn each_error_says_what_is_wrong_and_what_to_do() {
    let shop = shop();
    for (sql, kind, text) in [
        (
            "selec 1",
            ErrorKind::Invalid,
            "syntax error at line 1, column 1: expected: an SQL statement, found: selec",
        ),
        (
            "select * from\n  orders where",
            ErrorKind::Invalid,
            "syntax error at line 2, column 15: expected: an expression, found: EOF",
        ),
        (
            "delete from orders",
            ErrorKind::Denied,
            "DELETE is refused, statements only read: append events to a channel of the log instead",
        ),
        ("select * from ordes", ErrorKind::NotFound, "table `ordes` does not exist, did you mean orders?"),
        (
            "select * from \"orders/audi\"",
            ErrorKind::NotFound,
            "table `orders/audi` does not exist, did you mean channels.\"orders/audit\" or orders?",
        ),
        (
            "select * from x.y",
            ErrorKind::NotFound,
            "table `x.y` does not exist: `show tables` lists what there is",
        ),
        ("select kin from orders", ErrorKind::Invalid, "column `kin` does not exist, did you mean kind?"),
        (
            "select o.zzz from orders o",
            ErrorKind::Invalid,
            "column `o.zzz` does not exist: `describe <table>` lists a table's columns",
        ),
        ("select lenght('x')", ErrorKind::NotFound, "function `lenght` does not exist, did you mean length?"),
        (
            "select nonsense(1)",
            ErrorKind::NotFound,
            "function `nonsense` does not exist: `show functions` lists what there is",
        ),
        ("select $1", ErrorKind::Invalid, "no value was given for $1: 0 values were"),
        ("select 1 / 0", ErrorKind::Invalid, "division by zero"),
        (
            "select (payload->>'note')::int from orders",
            ErrorKind::Invalid,
            "cannot cast string 'fragile' to value of Int32 type",
        ),
    ] {
        let error = error(&shop, sql, &[], &Limits::default());
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "{sql}");
    }
}

#[test]
fn limits_name_themselves() {
    let shop = shop();
    let all = "select * from events";
    let short = Limits { rows_max: Some(2), ..Limits::default() };
    assert_eq!(
        error(&shop, all, &[], &short).to_string(),
        "the result has more than 2 rows: add LIMIT, or raise the limit on rows"
    );
    let little = Limits { bytes_scanned_max: Some(1), ..Limits::default() };
    assert_eq!(
        error(&shop, all, &[], &little).to_string(),
        "the statement reads more than 1 bytes of logs and models: narrow it by channel, seq, position or recorded_at, \
         or raise the limit on bytes scanned"
    );
    let long = format!("select '{}'", "x".repeat(meshdb::STATEMENT_BYTES_MAX));
    assert_eq!(
        error(&shop, &long, &[], &Limits::default()).to_string(),
        "the statement has 1048585 bytes, at most 1048576 are allowed: pass long values as parameters"
    );
    let deep = format!("select {}1", "- ".repeat(2_000));
    assert_eq!(
        error(&shop, &deep, &[], &Limits::default()).to_string(),
        "the statement is too deep: at most 1000 words and operators between two commas, brackets included, and 16 \
         queries in each other; split it, name subqueries by WITH, or write chains of OR as IN (..)"
    );
}

#[test]
fn parameters_stand_for_placeholders() {
    let shop = shop();
    let rows = |sql: &str, params: &[Param]| {
        let run = async {
            let limits = Limits::default();
            shop.gateway.execute(&Principal::owner(), sql, params, &limits).await?.collect().await
        };
        let batches = shop.block_on(run).unwrap_or_else(|error: QueryError| panic!("{sql}: {error}"));
        batches.iter().map(meshdb::RecordBatch::num_rows).sum::<usize>()
    };
    assert_eq!(rows("select * from orders where seq = $1", &[1_u64.into()]), 1);
    assert_eq!(rows("select * from orders where seq between $1 and $2", &[1_i64.into(), 2_i32.into()]), 2);
    assert_eq!(
        rows("select * from events where channel = $1 and key = $2", &["orders".into(), "bob".into()]),
        2
    );
    assert_eq!(rows("select * from orders where payload->>'id' = $1", &["3".into()]), 1);
    assert_eq!(rows("select * from orders where time > $1", &[base::Timestamp::MIN.into()]), 2);
    assert_eq!(
        rows("select * from channels.\"Sensors\" where payload_bytes = $1", &[vec![0xff, 0xfe, 0].into()]),
        1
    );
    assert_eq!(rows("select * from orders where key is null or $1", &[true.into()]), 4);
    assert_eq!(rows("select * from orders where key = $1", &[Param::Null]), 0);
    assert_eq!(rows("select $2 as a, $1 as b, $2 as c", &[1.5.into(), "x".into()]), 1);
    assert_eq!(rows("select 1", &["unused".into()]), 1);
}
