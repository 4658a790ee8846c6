//! Clients that append over QUIC, with sessions that HTTP gives out.

use std::sync::Arc;

use netdb::EventInput;
use netdb::base::{ChannelName, ErrorKind, Identity, SystemRandom};
use netdb::client::{Client, Session};
use netdb::redex::{AppendRequest, ChannelEvents, Condition, Expect, Idempotency, Outcome, Rejection};
use server::{Role, Token, make_token};

use crate::support::{Fixture, JSON, config, start, start_with};

fn key() -> Arc<Identity> {
    Arc::new(Identity::random(&SystemRandom))
}

async fn session(it: &Fixture, key: &Identity) -> Session {
    let reply = it.post("/v1/sessions", &format!("{{\"key\":\"{}\"}}", key.public_key())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_slice(&reply.body).unwrap()
}

async fn connected(it: &Fixture) -> Client {
    let key = key();
    Client::connect(&session(it, &key).await, key, &SystemRandom).await.unwrap()
}

async fn append(
    client: &Client,
    channel: &str,
    payload: &str,
    idempotency: Idempotency<'_>,
) -> Result<Outcome, netdb::Error> {
    let channel = ChannelName::new(channel).unwrap();
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &channel, events: &events }];
    client.append(&AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_many_clients_at_once_are_each_there_once_and_in_each_clients_order() {
    let it = start().await;
    let clients = (0..4).map(|number| {
        let it = &it;
        async move {
            let client = connected(it).await;
            let appends = (0..250).map(|at| {
                let client = client.clone();
                async move {
                    let outcome =
                        append(&client, "orders", &format!("{number} {at}"), Idempotency::None).await;
                    assert!(matches!(outcome, Ok(Outcome::Appended { .. })), "{outcome:?}");
                }
            });
            futures::future::join_all(appends).await;
        }
    });
    futures::future::join_all(clients).await;
    let read = it.get("/v1/channels/orders/events?limit=2000").await.json();
    let events = read["events"].as_array().unwrap();
    assert_eq!(events.len(), 1_000);
    for number in 0..4 {
        let prefix = format!("{number} ");
        let own = events
            .iter()
            .filter_map(|event| event["payload_text"].as_str()?.strip_prefix(&prefix).map(str::to_owned));
        let own: Vec<_> = own.collect();
        let wanted: Vec<_> = (0..250).map(|at| at.to_string()).collect();
        assert_eq!(own, wanted, "client {number}");
    }
}

#[tokio::test]
async fn outcomes_are_typed() {
    let it = start().await;
    let client = connected(&it).await;
    let by = Idempotency::Producer { id: "p", number: 1, digest: None };
    let (first, again) = (append(&client, "orders", "x", by).await, append(&client, "orders", "x", by).await);
    assert!(
        matches!((first, again), (Ok(Outcome::Appended { at }), Ok(Outcome::AlreadyAppended { at: before })) if at == before)
    );
    let conditions = [Condition { channel: ChannelName::new("orders").unwrap(), expect: Expect::NoChannel }];
    let refused = client.append(&AppendRequest { conditions: &conditions, ..AppendRequest::default() }).await;
    assert!(
        matches!(&refused, Ok(Outcome::Rejected { reason: Rejection::ConditionFailed { .. }, .. })),
        "{refused:?}"
    );
    let system = append(&client, "sys/x", "x", Idempotency::None).await.unwrap_err();
    assert_eq!(system.kind(), ErrorKind::Denied, "{system}");
    let long = append(&client, "orders", "x", Idempotency::Key(&"k".repeat(2_000))).await.unwrap_err();
    assert_eq!(long.kind(), ErrorKind::Invalid, "{long}");
}

#[tokio::test]
async fn only_a_key_with_a_session_is_let_in_and_may_do_what_its_caller_may() {
    let it = start().await;
    let (known, stranger) = (key(), key());
    let session = session(&it, &known).await;
    let refused = Client::connect(&session, stranger, &SystemRandom).await.unwrap_err();
    assert!(refused.to_string().contains("no session"), "{refused}");
    // Another server's key is not taken for this one's.
    let other = Session { key: key().public_key(), ..session.clone() };
    assert!(Client::connect(&other, Arc::clone(&known), &SystemRandom).await.is_err());
    assert!(Client::connect(&session, known, &SystemRandom).await.is_ok());
    it.post("/v1/sessions", "{\"key\":\"no key\"}").await.refused(400, "invalid", "no key");

    let (reader, mut config) = (make_token(&SystemRandom), config());
    config.tokens.push(Token::new("reader", Role::Read, &reader));
    let it = start_with(config).await;
    let headers = format!("{JSON}authorization: Bearer {reader}\r\n");
    let body = format!("{{\"key\":\"{}\"}}", key().public_key());
    it.send("POST", "/v1/sessions", &headers, body).await.refused(403, "denied", "");
}

#[tokio::test]
async fn what_was_asked_before_a_stop_is_answered_and_what_comes_later_is_not() {
    let it = start().await;
    let client = connected(&it).await;
    assert!(append(&client, "orders", "before", Idempotency::None).await.is_ok());
    it.running.stop().await.unwrap();
    let late = append(&client, "orders", "late", Idempotency::None).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable, "{late}");
}
