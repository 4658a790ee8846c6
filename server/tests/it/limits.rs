//! Slow clients, too many requests, and answers that take too long.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{BATCH, JSON, config, read_reply, start_with};

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let mut config = config();
    config.http.header_within = Duration::from_millis(50);
    let it = start_with(config).await;
    for head in ["", "GET /v1/status HTTP/1.1\r\nhost: x"] {
        let mut stream = it.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // It ends from the other side, or this test does not end.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_408() {
    let mut config = config();
    config.http.stall_within = Duration::from_millis(50);
    let it = start_with(config).await;
    let mut stream = it.connect().await;
    let head = format!(
        "POST /v1/channels/c/events HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 10\r\n\r\n12345"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read_reply(stream).await.refused(408, "unavailable", "the body did not come");
    it.get("/v1/channels/c").await.refused(404, "not-found", "");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_the_connection_and_its_request() {
    let mut config = config();
    config.http.stall_within = Duration::from_millis(100);
    config.http.requests_max = 1;
    let it = start_with(config).await;
    let events: Vec<_> = (0..300).map(|_| json!({ "payload": "x".repeat(40_000) })).collect();
    let batch = json!({ "events": events }).to_string();
    for _ in 0..3 {
        it.send("POST", "/v1/channels/c/events", BATCH, &batch).await;
    }
    let mut stream = it.connect().await;
    let request = "GET /v1/channels/c/events?limit=100000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    // The one place for requests is taken until the answer is given up.
    let mut was_busy = false;
    loop {
        match it.get("/v1/channels/c").await.status {
            503 => was_busy = true,
            _ if was_busy => break,
            _ => {}
        }
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 36_000_000, "the answer was cut: {}", rest.len());
}

#[tokio::test]
async fn requests_beyond_the_limit_are_503_but_how_the_server_is_is_always_told() {
    let mut config = config();
    config.http.requests_max = 1;
    let it = start_with(config).await;
    let mut stream = it.connect().await;
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Its body is still to come.
    loop {
        let reply = it.get("/v1/tasks").await;
        if reply.status == 503 {
            reply.refused(503, "unavailable", "1 requests are worked on");
            assert_eq!(reply.header("retry-after"), Some("1"));
            break;
        }
    }
    assert_eq!(it.get("/health/ready").await.status, 200);
    stream.write_all(b"{\"title\":\"t\"}").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    while it.get("/v1/tasks").await.status != 200 {}
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_504() {
    let mut config = config();
    config.http.answer_within = Duration::from_millis(50);
    let it = start_with(config).await;
    let sql = "select count(*) from generate_series(1, 100000000000) where value % 7 = 8";
    let reply = it.post("/v1/sql", &json!({ "sql": sql }).to_string()).await;
    let error = reply.refused(504, "unavailable", "within 50ms");
    assert!(error["next"].as_str().unwrap().contains("same idempotency key"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut config = config();
    config.http.connections_max = 1;
    let it = start_with(config).await;
    let first = it.connect().await;
    let mut second = it.connect().await;
    second.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(Duration::from_millis(100), second.read_exact(&mut byte)).await;
    assert!(waited.is_err(), "nobody serves it yet");
    drop(first);
    assert_eq!(read_reply(second).await.status, 200);
}
