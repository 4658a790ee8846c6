//! What is wrong with requests: each has a status, a kind, and a next step; and the server goes on.

use tokio::io::AsyncWriteExt as _;

use crate::support::{BATCH, Fixture, JSON, config, read_reply, start, start_with};

const EVENTS: &str = "/v1/channels/c/events";

async fn is_well(it: &Fixture) {
    assert_eq!(it.get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn json_that_is_none_is_400_with_its_place() {
    let it = start().await;
    for body in ["", "{", "{\"a\":}", "[1,]", "nul", "1 2", "\u{feff}1", "{\"a\":1}}"] {
        let error = it.post(EVENTS, body).await.refused(400, "invalid", "the body");
        assert!(error["line"].is_u64(), "{body}: {error}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let params = format!("{{\"sql\":\"select 1\",\"params\":[{deep}]}}");
    it.post("/v1/sql", &params).await.refused(400, "invalid", "recursion");
    // As a payload it is kept, and nobody who looks into it falls over it.
    assert_eq!(it.post(EVENTS, &deep).await.status, 200);
    let looked = it.post("/v1/sql", "{\"sql\":\"select payload->>'a' as a from c\"}").await;
    assert_eq!(looked.json()["rows"], serde_json::json!([{ "a": null }]));
    assert_eq!(it.get(EVENTS).await.status, 200);
    it.send("POST", "/v1/sql", JSON, [0xff, 0xfe]).await.refused(400, "invalid", "the body");
    is_well(&it).await;
}

#[tokio::test]
async fn batches_of_the_wrong_form_append_nothing() {
    let it = start().await;
    for (batch, said) in [
        ("[]", "expected struct"),
        ("{}", "missing field `events`"),
        ("{\"events\":[]}", "empty"),
        ("{\"events\":[{\"kindd\":\"a\"}]}", "unknown field `kindd`"),
        ("{\"events\":[{}],\"colour\":1}", "unknown field `colour`"),
        ("{\"events\":[{\"kind\":1}]}", "expected a string"),
        ("{\"events\":[{\"payload\":1,\"payload_text\":\"a\"}]}", "event 0: more than one"),
        ("{\"events\":[{},{\"payload_base64\":\"%\"}]}", "event 1: `payload_base64`"),
        ("{\"events\":[{\"headers_base64\":[[\"a\",\"%\"]]}]}", "event 0: `headers_base64`"),
        ("{\"events\":[{\"time\":\"soon\"}]}", "event 0: `time`"),
        ("{\"events\":[{\"headers\":{\"a\":1}}]}", "invalid type"),
        ("{\"events\":[{\"headers\":{\"a\":\"1\",\"a\":\"2\"}}]}", "`a` is there twice"),
        ("{\"events\":[{\"channel\":\"a b\"}]}", "event 0: channel name `a b`"),
        ("{\"events\":[{\"channel\":\"../x\"}]}", "segments"),
        ("{\"events\":[{}],\"conditions\":[{\"expect\":\"maybe\"}]}", "`maybe` is no expectation"),
        ("{\"events\":[{}],\"conditions\":[{\"expect\":-1}]}", "did not match"),
        ("{\"events\":[{}],\"ack\":\"now\"}", "`ack`"),
        ("{\"events\":[{}],\"idempotency_key\":\"\"}", "idempotency key is empty"),
        ("{\"events\":[{}],\"idempotency_key\":\"a\",\"producer\":{\"id\":\"p\",\"number\":1}}", "not both"),
        ("{\"events\":[{}],\"producer\":{\"id\":\"p\",\"number\":-1}}", "invalid value"),
        ("{\"events\":[{}],\"events\":[{}]}", "duplicate field"),
    ] {
        it.send("POST", EVENTS, BATCH, batch).await.refused(400, "invalid", said);
    }
    let without = it.send("POST", "/v1/events", BATCH, "{\"events\":[{}]}").await;
    without.refused(400, "invalid", "no `channel`");
    it.send("POST", "/v1/events", JSON, "{\"events\":[{}]}").await.refused(415, "invalid", "batch");
    let both = it.send("POST", EVENTS, &format!("{BATCH}netdb-kind: k\r\n"), "{\"events\":[{}]}").await;
    both.refused(400, "invalid", "`netdb-kind`");
    assert_eq!(it.get("/v1/channels").await.json()["channels"], serde_json::json!([]));
}

#[tokio::test]
async fn headers_that_say_nonsense_are_400() {
    let it = start().await;
    for (header, said) in [
        ("netdb-expect: maybe", "`maybe` is no expectation"),
        ("netdb-ack: now", "`now` is no acknowledgement level"),
        ("netdb-time: soon", "netdb-time"),
        ("netdb-header: plain", "NAME=VALUE"),
        ("netdb-header: =v", "NAME=VALUE"),
        ("netdb-kinds: a", "no header `netdb-kinds`"),
        ("netdb-kind: a\r\nnetdb-kind: b", "there twice"),
        ("idempotency-key: ", "idempotency key is empty"),
    ] {
        let reply = it.send("POST", EVENTS, &format!("{JSON}{header}\r\n"), "1").await;
        reply.refused(400, "invalid", said);
    }
    let long = format!("{JSON}netdb-kind: {}\r\n", "k".repeat(5_000));
    it.send("POST", EVENTS, &long, "1").await.refused(413, "invalid", "kind is too large");
    for media_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = format!("content-type: {media_type}\r\n");
        it.send("POST", EVENTS, &headers, "a=1").await.refused(415, "invalid", "a form is no payload");
    }
    it.send("POST", "/v1/sql", "content-type: text/plain\r\n", "select 1")
        .await
        .refused(415, "invalid", "JSON");
    it.send("POST", "/v1/tasks", "", "{\"title\":\"x\"}").await.refused(415, "invalid", "JSON");
}

#[tokio::test]
async fn names_in_paths_lead_nowhere_else() {
    let it = start().await;
    for (name, said) in [
        ("..%2F..%2Fetc", "segments"),
        ("a%2F..%2Fb", "segments"),
        ("%2Fa", "segments"),
        ("a%2F", "segments"),
        ("a%00", "contains"),
        ("a%5Cb", "contains"),
        ("a%20b", "contains"),
        ("stra%C3%9Fe", "contains"),
        ("%ff", "the path"),
        ("a%252Fb", "contains"),
    ] {
        for verb in ["events", "tail"] {
            it.get(&format!("/v1/channels/{name}/{verb}")).await.refused(400, "invalid", said);
        }
        let reply = it.post(&format!("/v1/channels/{name}/events"), "1").await;
        reply.refused(400, "invalid", said);
    }
    let long = "x".repeat(256);
    it.get(&format!("/v1/channels/{long}/events")).await.refused(400, "invalid", "256 bytes");
    for path in
        ["/v1/channels/a/b/events", "/v1/channels//events", "/v1/channels/../../etc/passwd", "/v2/tasks"]
    {
        let reply = it.get(path).await;
        assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
        assert!(reply.json()["error"]["next"].is_string());
    }
    it.get("/v1/channels/a/b/events").await.refused(404, "not-found", "/v1/channels/a/b/events");
    it.post("/v1/channels/sys%2Fkeys/events", "1").await.refused(403, "denied", "belongs to the database");
}

#[tokio::test]
async fn parameters_that_nobody_knows_are_400_everywhere() {
    let it = start().await;
    it.append("c", "1").await;
    for (method, path) in [
        ("GET", "/v1/channels/c/events"),
        ("POST", "/v1/channels/c/events"),
        ("GET", "/v1/channels/c/tail"),
        ("GET", "/v1/channels/c"),
        ("GET", "/v1/channels"),
        ("GET", "/v1/producers/p"),
        ("GET", "/v1/status"),
        ("GET", "/metrics"),
        ("POST", "/v1/sql"),
        ("POST", "/v1/events"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/watch"),
        ("GET", "/v1/tasks/1"),
        ("POST", "/v1/tasks"),
        ("DELETE", "/v1/tasks/1"),
        ("GET", "/v1/memories"),
        ("GET", "/v1/memories/1"),
    ] {
        let reply = it.send(method, &format!("{path}?limt=1"), JSON, "{\"title\":\"t\"}").await;
        reply.refused(400, "invalid", "`limt`");
    }
    for query in ["limit=-1", "limit=x", "from=1&from=2", "since=yesterday", "reverse=maybe", "kind=%ff"] {
        let reply = it.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn methods_that_are_not_done_are_405_with_those_that_are() {
    let it = start().await;
    for (method, path, allowed) in [
        ("PUT", "/v1/tasks", "GET,HEAD,POST"),
        ("GET", "/v1/sql", "POST"),
        ("DELETE", EVENTS, "GET,HEAD,POST"),
        ("POST", "/health/live", "GET,HEAD"),
        ("PATCH", "/metrics", "GET,HEAD"),
    ] {
        let reply = it.send(method, path, "", "").await;
        reply.refused(405, "invalid", method);
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
    }
    let head = it.send("HEAD", "/v1/status", "", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_413_whether_they_say_so_or_not() {
    let mut config = config();
    config.http.body_bytes_max = 1_000;
    let it = start_with(config).await;
    let body = format!("\"{}\"", "x".repeat(2_000));
    it.post(EVENTS, &body).await.refused(413, "invalid", "1000 bytes");
    let chunked = format!("{JSON}transfer-encoding: chunked\r\n");
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    it.send("POST", EVENTS, &chunked, chunks).await.refused(413, "invalid", "1000 bytes");
    assert_eq!(it.post(EVENTS, "1").await.status, 200);
    // Nobody waits for a body that says that it is too large.
    let mut stream = it.connect().await;
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 999999999\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read_reply(stream).await.refused(413, "invalid", "1000 bytes");
}

#[tokio::test]
async fn events_beyond_their_limits_are_413() {
    let it = start().await;
    let large = format!("\"{}\"", "x".repeat(16 << 20));
    it.post(EVENTS, &large).await.refused(413, "invalid", "event is too large");
    let many = format!("{{\"events\":[{}{{}}]}}", "{},".repeat(100_000));
    it.send("POST", EVENTS, BATCH, many).await.refused(413, "invalid", "100001 events");
    is_well(&it).await;
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let it = start().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /v1/\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        &[b'x'; 100_000],
    ] {
        let mut stream = it.connect().await;
        let _ = stream.write_all(nonsense).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let headers: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let reply = it.send("GET", "/v1/status", &headers, "").await;
    assert_eq!(reply.status, 431);
    is_well(&it).await;
}

#[tokio::test]
async fn many_requests_go_over_one_connection() {
    let it = start().await;
    let mut stream = it.connect().await;
    let request = format!("POST {EVENTS} HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 1\r\n\r\n1");
    let last = "GET /v1/channels/c HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // All at once, without waiting for answers.
    stream.write_all(format!("{}{last}", request.repeat(20)).as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut raw).await.unwrap();
    let text = String::from_utf8(raw).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 21, "{text}");
    assert!(text.contains("\"next_seq\":20"), "{text}");
}
