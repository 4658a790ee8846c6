//! SQL: rows in each form, parameters, limits, and ends before the end.

use std::time::Duration;

use serde_json::json;

use crate::support::{BATCH, Fixture, config, find, start, start_with, unchunked};

const SQL: &str = "/v1/sql";
const ENDLESS: &str = "select count(*) from generate_series(1, 100000000000) where value % 7 = 8";

async fn fill(it: &Fixture, count: u64) {
    let events: Vec<_> = (0..count).map(|n| json!({ "kind": "k", "payload": { "n": n } })).collect();
    let batch = json!({ "events": events }).to_string();
    assert_eq!(it.send("POST", "/v1/channels/c/events", BATCH, batch).await.status, 200);
}

fn statement(sql: &str) -> String {
    json!({ "sql": sql }).to_string()
}

#[tokio::test]
async fn rows_come_as_an_object_with_their_columns() {
    let it = start().await;
    fill(&it, 3).await;
    let reply = it.post(SQL, &statement("select seq, kind from c order by seq")).await;
    let expected = json!({
        "columns": [
            { "name": "seq", "type": "UInt64", "nullable": false },
            { "name": "kind", "type": "Utf8View", "nullable": true },
        ],
        "rows": [{ "seq": 0, "kind": "k" }, { "seq": 1, "kind": "k" }, { "seq": 2, "kind": "k" }],
        "count": 3,
    });
    let mut json = reply.json();
    json["columns"][1]["nullable"] = true.into();
    assert_eq!(json, expected);
    let none = it.post(SQL, &statement("select seq from c where seq > 10")).await.json();
    assert_eq!((&none["rows"], &none["count"]), (&json!([]), &json!(0)));
    it.post("/v1/tasks", "{\"title\":\"t\"}").await;
    let tasks = it.post(SQL, &statement("select title from tasks")).await.json();
    assert_eq!(tasks["rows"], json!([{ "title": "t" }]));
}

#[tokio::test]
async fn rows_come_as_lines() {
    let it = start().await;
    fill(&it, 20_000).await;
    let headers = "content-type: application/json\r\naccept: application/x-ndjson\r\n";
    let reply = it.send("POST", SQL, headers, statement("select seq from c order by seq")).await;
    let lines = reply.lines();
    assert_eq!((lines.len(), &lines[19_999]), (20_000, &json!({ "seq": 19_999 })));
}

#[tokio::test]
async fn rows_come_as_arrow() {
    let it = start().await;
    fill(&it, 20_000).await;
    let headers = "content-type: application/json\r\naccept: application/vnd.apache.arrow.stream\r\n";
    let reply = it.send("POST", SQL, headers, statement("select seq, kind from c")).await;
    assert_eq!(reply.header("content-type"), Some("application/vnd.apache.arrow.stream"));
    let reader = datafusion::arrow::ipc::reader::StreamReader::try_new(&reply.body[..], None).unwrap();
    assert_eq!(reader.schema().field(1).name(), "kind");
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 20_000);
}

#[tokio::test]
async fn parameters_stand_for_values_of_each_type() {
    let it = start().await;
    let sql = "select $1 as n, $2 as t, $3 as f, $4 as b, $5 as x, $6 as time, $7 as bytes, $8 as big";
    let params = json!([1, "a'b", 1.5, true, null, { "time": "2026-01-31T08:15:00Z" }, { "base64": "AP8=" },
        18446744073709551615_u64]);
    let reply = it.post(SQL, &json!({ "sql": sql, "params": params }).to_string()).await;
    let row = reply.json()["rows"][0].clone();
    let expected = json!({ "n": 1, "t": "a'b", "f": 1.5, "b": true, "x": null,
        "time": row["time"], "bytes": "00ff", "big": 18446744073709551615_u64 });
    assert_eq!(row, expected, "{reply:?}");
    assert!(row["time"].as_str().unwrap().starts_with("2026-01-31T08:15:00"));
    for (params, said) in [
        (json!([[1]]), "parameter $1: give null"),
        (json!([1, { "time": "soon" }]), "parameter $2: `time`"),
        (json!([{ "base64": "%" }]), "parameter $1: `base64`"),
        (json!([{ "time": "2026-01-31T08:15:00Z", "base64": "" }]), "parameter $1: give null"),
    ] {
        let body = json!({ "sql": "select 1", "params": params }).to_string();
        it.post(SQL, &body).await.refused(400, "invalid", said);
    }
    it.post(SQL, &statement("select $1")).await.refused(400, "invalid", "$1");
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_has_a_status() {
    let it = start().await;
    let refused = async |sql: &str, status, kind: &str, said: &str| {
        it.post(SQL, &statement(sql)).await.refused(status, kind, said)
    };
    let error = refused("select 1\nfrom where (", 400, "invalid", "syntax error").await;
    assert!(error["line"].is_u64(), "{error}");
    refused("select * from nowhere", 404, "not-found", "nowhere").await;
    refused("drop table events", 403, "denied", "refused").await;
    refused("insert into tasks values (1)", 403, "denied", "refused").await;
    refused("copy events to '/tmp/x'", 403, "denied", "refused").await;
    refused("create external table t stored as csv location '/etc/passwd'", 403, "denied", "refused").await;
    refused("select 1; select 2", 403, "denied", "one at a time").await;
    refused("", 400, "invalid", "").await;
    refused(&format!("select '{}'", "x".repeat(1 << 20)), 413, "invalid", "bytes").await;
    refused("select 1/0", 400, "invalid", "").await;
}

#[tokio::test]
async fn rows_beyond_the_limit_are_an_error_behind_those_within() {
    let mut config = config();
    config.sql.rows_max = 20_000;
    let it = start_with(config).await;
    fill(&it, 30_000).await;
    let reply = it.post(SQL, &statement("select seq from c")).await;
    let json = reply.json();
    assert_eq!(reply.status, 200);
    assert!(json["error"]["message"].as_str().unwrap().contains("20000"), "{}", json["error"]);
    assert!(json["count"].as_u64().unwrap() <= 20_000);
    let fewer = json!({ "sql": "select seq from c", "rows_max": 5 }).to_string();
    it.post(SQL, &fewer).await.refused(403, "denied", "5");
    // A request can ask for less, not for more.
    let more = json!({ "sql": "select seq from c", "rows_max": 50_000 }).to_string();
    assert!(it.post(SQL, &more).await.json()["error"].is_object());

    let headers = "content-type: application/json\r\naccept: application/x-ndjson\r\n";
    let lines = it.send("POST", SQL, headers, statement("select seq from c")).await.lines();
    assert!(lines.last().unwrap()["error"].is_object());

    // Arrow has no room for words: its end is missing.
    let headers = "content-type: application/json\r\naccept: application/vnd.apache.arrow.stream\r\n";
    let mut stream = it.connect().await;
    let body = statement("select seq from c");
    let request = format!(
        "POST {SQL} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    // The connection ends by itself, without the last chunk.
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut raw).await;
    let end = find(&raw, b"\r\n\r\n").unwrap();
    let (_, is_whole) = unchunked(&raw[end + 4..]);
    assert!(!is_whole);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let mut config = config();
    config.sql.time = Duration::from_millis(50);
    let it = start_with(config).await;
    it.post(SQL, &statement(ENDLESS)).await.refused(504, "unavailable", "50ms");
    let asked = json!({ "sql": ENDLESS, "time_max_ms": 10 }).to_string();
    it.post(SQL, &asked).await.refused(504, "unavailable", "10ms");
}

#[tokio::test]
async fn a_statement_ends_when_its_client_goes_and_leaves_its_place() {
    let mut config = config();
    config.sql.statements_max = 1;
    // By itself it would not end while this test looks.
    config.sql.time = Duration::from_secs(3_600);
    let it = start_with(config).await;
    let endless = statement(ENDLESS);
    let mut stream = it.connect().await;
    let request = format!(
        "POST {SQL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    // It runs once another one is kept out.
    while it.post(SQL, &statement("select 1")).await.status != 503 {}
    drop(stream);
    let ended = async { while it.post(SQL, &statement("select 1")).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the statement ends with its client");
    let metrics = String::from_utf8(it.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("netdb_sql_statements_total{outcome=\"cancelled\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_statement_that_computes_without_a_pause_holds_nobody_up() {
    let it = start().await;
    fill(&it, 3_000).await;
    // One step of this join looks at nine million pairs.
    let heavy = "select count(*) from c a join c b on a.seq + b.seq < 0";
    let mut stream = it.connect().await;
    let body = statement(heavy);
    let request = format!(
        "POST {SQL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    // All on one thread: had the statement run there, nothing else would.
    for n in 0..20 {
        it.append("d", &n.to_string()).await;
    }
    drop(stream);
}
