//! Reading events and what there is.

use serde_json::{Value, json};

use crate::support::{BATCH, Fixture, JSON, start};

const PATH: &str = "/v1/channels/c/events";

async fn with_events(count: u64) -> Fixture {
    let it = start().await;
    let events: Vec<Value> = (0..count)
        .map(|n| {
            let kind = if n % 2 == 0 { "even" } else { "odd" };
            json!({ "kind": kind, "key": (n % 3).to_string(), "payload": { "n": n } })
        })
        .collect();
    let batch = json!({ "events": events }).to_string();
    assert_eq!(it.send("POST", PATH, BATCH, batch).await.status, 200);
    it
}

async fn seqs(it: &Fixture, query: &str) -> Vec<u64> {
    let reply = it.get(&format!("{PATH}?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let json = reply.json();
    let seqs: Vec<u64> =
        json["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(json["count"], seqs.len());
    seqs
}

#[tokio::test]
async fn each_parameter_narrows() {
    let it = with_events(10).await;
    assert_eq!(seqs(&it, "").await, (0..10).collect::<Vec<_>>());
    assert_eq!(seqs(&it, "from=3&to=5").await, [3, 4]);
    assert_eq!(seqs(&it, "kind=odd&limit=2").await, [1, 3]);
    assert_eq!(seqs(&it, "key=0&key=1&to=4").await, [0, 1, 3]);
    assert_eq!(seqs(&it, "last=2").await, [8, 9]);
    assert_eq!(seqs(&it, "reverse&limit=2").await, [9, 8]);
    assert_eq!(seqs(&it, "from=5&to=5").await, [0; 0]);
    assert_eq!(seqs(&it, "until=2000-01-01T00:00:00Z").await, [0; 0]);
    assert_eq!(seqs(&it, "since=2000-01-01T00:00:00Z&limit=1").await, [0]);
}

#[tokio::test]
async fn a_read_gives_a_thousand_events_unless_it_asks_for_more() {
    let it = with_events(1_200).await;
    assert_eq!(seqs(&it, "").await.len(), 1_000);
    assert_eq!(seqs(&it, "limit=100000").await.len(), 1_200);
}

#[tokio::test]
async fn ndjson_is_one_event_a_line() {
    let it = with_events(5_000).await;
    let reply = it.send("GET", &format!("{PATH}?limit=5000"), "accept: application/x-ndjson\r\n", "").await;
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let seqs: Vec<u64> = reply.lines().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..5_000).collect::<Vec<_>>());
    let none = it.send("GET", &format!("{PATH}?kind=none"), "accept: application/x-ndjson\r\n", "").await;
    assert_eq!((none.status, none.body.len()), (200, 0));
}

#[tokio::test]
async fn what_is_not_there_or_not_offered_is_refused() {
    let it = with_events(1).await;
    it.get("/v1/channels/nowhere/events").await.refused(404, "not-found", "no channel `nowhere`");
    it.get("/v1/channels/nowhere").await.refused(404, "not-found", "no channel `nowhere`");
    let reply = it.send("GET", PATH, "accept: text/html\r\n", "").await;
    reply.refused(406, "invalid", "application/x-ndjson");
}

#[tokio::test]
async fn channels_are_listed_and_described() {
    let it = with_events(3).await;
    it.append("orders%2Faudit", "1").await;
    let list = it.get("/v1/channels").await.json()["channels"].clone();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|channel| channel["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "orders/audit"]);
    let one = it.get("/v1/channels/orders%2Faudit").await.json();
    assert_eq!((&one["events"], &one["next_seq"], &one["log"]), (&json!(1), &json!(1), &json!("main")));
    assert_eq!(one, list[1]);
}

#[tokio::test]
async fn answers_say_up_to_where_they_saw_the_logs() {
    let it = with_events(3).await;
    let statement = json!({ "sql": "select count(*) from channels.c" }).to_string();
    for consistency in ["", "?consistency=local", "?consistency=linearizable"] {
        for path in [PATH, "/v1/channels", "/v1/channels/c"] {
            let reply = it.get(&format!("{path}{consistency}")).await;
            assert_eq!(reply.header("netdb-position"), Some("main=1"), "{path}{consistency}: {reply:?}");
        }
        let reply = it.send("POST", &format!("/v1/sql{consistency}"), JSON, statement.clone()).await;
        assert_eq!(reply.header("netdb-position"), Some("main=1"), "{reply:?}");
    }
    for path in [PATH, "/v1/channels", "/v1/channels/c"] {
        let reply = it.get(&format!("{path}?consistency=newest")).await;
        reply.refused(400, "invalid", "give local or linearizable");
    }
}
