//! Following a channel, and going on after a break.

use serde_json::json;

use crate::support::{BATCH, Fixture, config, start, start_with};

const TAIL: &str = "/v1/channels/c/tail";

async fn with_events(count: u64) -> Fixture {
    let it = start().await;
    for n in 0..count {
        it.append("c", &n.to_string()).await;
    }
    it
}

#[tokio::test]
async fn a_tail_gives_history_and_then_what_comes() {
    let it = with_events(3).await;
    let mut tail = it.stream(TAIL, "").await;
    assert_eq!(tail.ids(3).await, [0, 1, 2]);
    it.append("c", "{\"n\":\n3}").await;
    let message = tail.next().await.unwrap();
    assert_eq!((message.event.as_str(), message.id.as_deref()), ("event", Some("3")));
    assert_eq!((&message.data["payload"], &message.data["seq"]), (&json!({ "n": 3 }), &json!(3)));

    assert_eq!(it.stream(&format!("{TAIL}?from=2"), "").await.ids(2).await, [2, 3]);
    assert_eq!(it.stream(&format!("{TAIL}?last=1"), "").await.ids(1).await, [3]);
    it.get(&format!("{TAIL}?last=1&from=2")).await.refused(400, "invalid", "both given");
    it.get("/v1/channels/nowhere/tail").await.refused(404, "not-found", "no channel");
}

#[tokio::test]
async fn a_tail_goes_on_behind_the_last_event_that_was_seen() {
    let it = with_events(5).await;
    let mut seen = Vec::new();
    let mut headers = String::new();
    for round in 0..4_u64 {
        // The address asks for everything; what was seen goes before it.
        let mut tail = it.stream(&format!("{TAIL}?from=0"), &headers).await;
        seen.extend(tail.ids(2).await);
        drop(tail);
        headers = format!("last-event-id: {}\r\n", seen.last().unwrap());
        it.append("c", &round.to_string()).await;
    }
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "no gap and no repetition");
    let wrong = it.send("GET", TAIL, "last-event-id: x\r\n", "").await;
    wrong.refused(400, "invalid", "last-event-id");
}

#[tokio::test]
async fn many_tails_each_see_everything_that_is_appended_meanwhile() {
    let it = with_events(1).await;
    let mut tails = Vec::new();
    for _ in 0..8 {
        tails.push(it.stream(TAIL, "").await);
    }
    let events: Vec<_> = (0..500).map(|n| json!({ "payload": n })).collect();
    let batch = json!({ "events": events }).to_string();
    for _ in 0..4 {
        assert_eq!(it.send("POST", "/v1/channels/c/events", BATCH, &batch).await.status, 200);
    }
    for tail in &mut tails {
        assert_eq!(tail.ids(2_001).await, (0..2_001).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn streams_have_a_limit_of_their_own_and_give_their_place_back() {
    let mut config = config();
    config.http.streams_max = 1;
    config.http.requests_max = 1;
    let it = start_with(config).await;
    it.append("c", "1").await;
    let mut tail = it.stream(TAIL, "").await;
    assert_eq!(tail.ids(1).await, [0]);
    it.get(TAIL).await.refused(503, "unavailable", "1 streams are open");
    // Requests that end are not kept out by it.
    it.append("c", "2").await;
    drop(tail);
    // The server learns that the client is gone when it writes to it.
    loop {
        it.append("c", "3").await;
        let metrics = String::from_utf8(it.get("/metrics").await.body).unwrap();
        if metrics.contains("netdb_http_streams 0\n") {
            break;
        }
    }
    assert_eq!(it.stream(TAIL, "").await.ids(1).await, [0]);
}
