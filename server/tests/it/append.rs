//! Appending: one event, batches, conditions, repetition.

use netdb::base::{Doors, Fault, SimulatedDisk, SystemClock, SystemRandom};
use serde_json::json;

use crate::support::{BATCH, JSON, begin, config, in_memory, start};

const EIO: i32 = 5;
const ORDERS: &str = "/v1/channels/orders%2Faudit/events";

#[tokio::test]
async fn one_event_is_appended_with_all_that_stands_beside_it() {
    let it = start().await;
    let headers = "netdb-kind: order.placed\r\nnetdb-key: caf\u{e9}\r\nnetdb-time: 2026-01-31T08:15:00Z\r\n\
        netdb-header: a=1\r\nnetdb-header: b=x=y\r\nnetdb-ack: written\r\n";
    let body = "{\"total\": 12.50}";
    let reply = it.send("POST", ORDERS, &format!("{JSON}{headers}"), body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let expected = json!({
        "outcome": "appended", "ack": "written", "position": 0,
        "ranges": [{ "channel": "orders/audit", "first_seq": 0, "count": 1 }],
    });
    assert_eq!(reply.json(), expected);
    let read = it.get(ORDERS).await;
    let event = &read.json()["events"][0];
    assert_eq!(event["kind"], "order.placed");
    assert_eq!(event["key"], "caf\u{e9}");
    assert_eq!(event["time"], "2026-01-31T08:15:00Z");
    assert_eq!(event["headers"], json!({ "a": "1", "b": "x=y", "content-type": "application/json" }));
    assert!(String::from_utf8(read.body).unwrap().contains(body), "the payload is kept as it was sent");
}

#[tokio::test]
async fn any_bytes_are_a_payload() {
    let it = start().await;
    let path = "/v1/channels/bytes/events";
    it.send("POST", path, "content-type: application/octet-stream\r\n", [0, 0xff]).await;
    it.send("POST", path, "content-type: text/plain; charset=utf-8\r\n", "words").await;
    it.send("POST", path, "", "").await;
    let events = it.get(path).await.json()["events"].clone();
    assert_eq!(events[0]["payload_base64"], "AP8=");
    assert_eq!(events[1]["payload_text"], "words");
    assert_eq!(events[1]["headers"], json!({ "content-type": "text/plain" }));
    assert_eq!((&events[2]["payload_text"], &events[2]["headers"]), (&json!(""), &json!({})));
    assert_eq!(events[2]["kind"], "event");
}

#[tokio::test]
async fn a_repeated_key_is_answered_with_the_first_place_and_other_content_is_a_conflict() {
    let it = start().await;
    let headers = format!("{JSON}idempotency-key: k1\r\n");
    let first = it.send("POST", ORDERS, &headers, "{\"n\":1}").await.json();
    it.append("other", "1").await;
    let again = it.send("POST", ORDERS, &headers, "{\"n\":1}").await;
    assert_eq!((again.status, &again.json()["outcome"]), (200, &json!("already-appended")));
    assert_eq!(again.json()["ranges"], first["ranges"]);
    let error = it.send("POST", ORDERS, &headers, "{\"n\":2}").await.refused(409, "conflict", "`k1`");
    assert_eq!((&error["outcome"], &error["reason"]), (&json!("rejected"), &json!("key-reused")));
    assert_eq!(it.get(ORDERS).await.json()["count"], 1);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_412_with_the_number_that_does() {
    let it = start().await;
    let expecting =
        async |expect: &str| it.send("POST", ORDERS, &format!("{JSON}netdb-expect: {expect}\r\n"), "1").await;
    let error = expecting("exists").await.refused(412, "conflict", "no such channel");
    assert_eq!((&error["next_seq"], &error["position"]), (&json!(null), &json!(0)));
    assert_eq!(expecting("none").await.status, 200);
    assert_eq!(expecting("1").await.status, 200);
    let error = expecting("1").await.refused(412, "conflict", "expected 1, found 2");
    assert_eq!((&error["next_seq"], &error["reason"]), (&json!(2), &json!("condition-failed")));
    assert_eq!(expecting("any").await.status, 200);
}

#[tokio::test]
async fn a_batch_is_appended_over_several_channels_or_not_at_all() {
    let it = start().await;
    let batch = json!({
        "events": [
            { "kind": "a", "payload": { "n": 1 } },
            { "kind": "b", "channel": "other", "key": "k", "payload_text": "plain",
              "headers": { "z": "1", "a": "2" }, "headers_base64": [["bin", "/w=="]] },
            { "kind": "c", "payload_base64": "AP8=", "time": "2026-01-31T08:15:00Z" },
        ],
        "conditions": [{ "expect": "none" }, { "channel": "third", "expect": "none" }],
    });
    let appended = it.send("POST", ORDERS, BATCH, batch.to_string()).await;
    assert_eq!(appended.status, 200, "{appended:?}");
    let ranges = appended.json()["ranges"].clone();
    assert_eq!(ranges.as_array().unwrap().len(), 3, "{ranges}");
    assert_eq!(ranges[1], json!({ "channel": "other", "first_seq": 0, "count": 1 }));
    let other = it.get("/v1/channels/other/events").await.json()["events"][0].clone();
    assert_eq!((&other["payload_text"], &other["headers"]["bin"]), (&json!("plain"), &json!("base64:/w==")));
    let orders = it.get(ORDERS).await.json();
    assert_eq!(orders["events"][1]["payload_base64"], "AP8=");
    assert_eq!(orders["events"][0]["position"], other["position"], "one append is one entry");

    let again = it.send("POST", ORDERS, BATCH, batch.to_string()).await;
    again.refused(412, "conflict", "orders/audit");
    assert_eq!(it.get("/v1/channels/other/events").await.json()["count"], 1);
    let numbered = json!({ "events": [{ "channel": "third", "payload": 1 }],
        "conditions": [{ "channel": "orders/audit", "expect": 2 }] });
    assert_eq!(it.send("POST", "/v1/events", BATCH, numbered.to_string()).await.status, 200);
}

#[tokio::test]
async fn a_producer_goes_on_behind_its_last_number() {
    let it = start().await;
    let path = "/v1/producers/import:c:%2Fa%20file";
    it.get(path).await.refused(404, "not-found", "producer");
    let digest = "ab".repeat(32);
    let batch = |number: u64, digest: &str| {
        json!({ "events": [{ "channel": "c", "payload": number }],
            "producer": { "id": "import:c:/a file", "number": number, "digest": digest } })
        .to_string()
    };
    let send = async |batch: String| it.send("POST", "/v1/events", BATCH, batch).await;
    assert_eq!(send(batch(7, &digest)).await.json()["outcome"], "appended");
    assert_eq!(send(batch(7, &digest)).await.json()["outcome"], "already-appended");
    assert_eq!(it.get(path).await.json(), json!({ "id": "import:c:/a file", "number": 7, "digest": digest }));
    let error = send(batch(3, &digest)).await.refused(409, "conflict", "at number 7");
    assert_eq!((&error["reason"], &error["last_number"]), (&json!("stale-producer"), &json!(7)));
    send(batch(8, "xy")).await.refused(400, "invalid", "producer.digest");
}

#[tokio::test]
async fn a_full_disk_is_507_and_the_server_is_not_ready_until_there_is_room() {
    let disk = SimulatedDisk::new();
    let doors = || Doors {
        clock: std::sync::Arc::new(SystemClock),
        random: std::sync::Arc::new(SystemRandom),
        disk: std::sync::Arc::new(disk.clone()),
    };
    let it = begin(config(), doors(), in_memory).await;
    it.append("c", "1").await;
    disk.fill_up(Some(0));
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let refused = it.post("/v1/channels/c/events", &large).await;
    let error = refused.refused(507, "unavailable", "the disk is full");
    assert_eq!((&error["outcome"], &error["reason"]), (&json!("rejected"), &json!("disk-full")));
    let ready = it.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"][0]["reason"]), (503, &json!("disk-full")));
    disk.fill_up(None);
    it.append("c", "2").await;
    assert_eq!(it.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn a_failed_sync_is_an_unknown_outcome_and_the_server_is_not_ready_any_more() {
    let disk = SimulatedDisk::new();
    let doors = Doors {
        clock: std::sync::Arc::new(SystemClock),
        random: std::sync::Arc::new(SystemRandom),
        disk: std::sync::Arc::new(disk.clone()),
    };
    let it = begin(config(), doors, in_memory).await;
    it.append("c", "1").await;
    // An append is a write and its sync.
    disk.inject(disk.operation_count() + 1, Fault::Error(EIO));
    let unknown = it.post("/v1/channels/c/events", "2").await;
    let error = unknown.refused(503, "unavailable", "outcome unknown");
    assert_eq!(error["outcome"], "unknown");
    assert!(error["next"].as_str().unwrap().contains("same idempotency key"));
    it.post("/v1/channels/c/events", "3").await.refused(503, "unavailable", "failed sync");
    let ready = it.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"][0]["reason"]), (503, &json!("poisoned")));
    // What is there can still be read.
    assert_eq!(it.get("/v1/channels/c/events").await.json()["count"], 1);
    assert!(it.running.stop().await.is_err());
}
