//! Who is let in, and for what.

use netdb::base::{Doors, SystemRandom};
use server::{Role, Server, Token, make_token};

use crate::support::{BATCH, Fixture, JSON, config, in_memory, start, start_with};

async fn with_tokens() -> (Fixture, [String; 3]) {
    let tokens: [String; 3] = std::array::from_fn(|_| make_token(&SystemRandom));
    let roles = [Role::Read, Role::Write, Role::Admin];
    let mut config = config();
    config.tokens =
        roles.iter().zip(&tokens).map(|(role, token)| Token::new(role.as_str(), *role, token)).collect();
    (start_with(config).await, tokens)
}

/// What each role gets: the status without a token, and with those of read, write and admin.
const MATRIX: [(&str, &str, &str, &str, [u16; 4]); 16] = [
    ("GET", "/health/live", "", "", [200, 200, 200, 200]),
    ("GET", "/health/ready", "", "", [200, 200, 200, 200]),
    ("GET", "/metrics", "", "", [401, 200, 200, 200]),
    ("GET", "/v1/status", "", "", [401, 200, 200, 200]),
    ("GET", "/v1/channels", "", "", [401, 200, 200, 200]),
    ("GET", "/v1/channels/c/events", "", "", [401, 200, 200, 200]),
    ("GET", "/v1/producers/p", "", "", [401, 404, 404, 404]),
    ("GET", "/v1/tasks", "", "", [401, 200, 200, 200]),
    ("POST", "/v1/sql", JSON, "{\"sql\":\"select 1\"}", [401, 200, 200, 200]),
    ("POST", "/v1/channels/c/events", JSON, "1", [401, 403, 200, 200]),
    ("POST", "/v1/events", BATCH, "{\"events\":[{\"channel\":\"c\"}]}", [401, 403, 200, 200]),
    ("POST", "/v1/tasks", JSON, "{\"title\":\"t\"}", [401, 403, 201, 201]),
    ("DELETE", "/v1/memories/9", "", "", [401, 403, 404, 404]),
    ("POST", "/v1/channels/cortex%2Fother/events", JSON, "1", [401, 403, 403, 200]),
    ("POST", "/v1/channels/sys%2Fx/events", JSON, "1", [401, 403, 403, 403]),
    ("GET", "/nowhere", "", "", [401, 404, 404, 404]),
];

#[tokio::test]
async fn each_role_may_do_what_it_says_and_no_more() {
    let (it, tokens) = with_tokens().await;
    let admin = format!("authorization: Bearer {}\r\n", tokens[2]);
    it.send("POST", "/v1/channels/c/events", &format!("{JSON}{admin}"), "0").await;
    for (method, path, headers, body, statuses) in MATRIX {
        let tokens = std::iter::once(None).chain(tokens.iter().map(Some));
        for (token, status) in tokens.zip(statuses) {
            let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
            let reply = it.send(method, path, &format!("{headers}{bearer}"), body).await;
            assert_eq!(reply.status, status, "{method} {path} {}: {reply:?}", token.is_some());
        }
    }
    it.get("/v1/channels/c/tail").await.refused(401, "denied", "a token is needed");
}

#[tokio::test]
async fn a_batch_cannot_smuggle_a_channel_past_a_role() {
    let (it, tokens) = with_tokens().await;
    let headers = format!("{BATCH}authorization: bearer {}\r\n", tokens[1]);
    for channel in ["cortex/tasks", "sys/x", "sys"] {
        let batch = format!("{{\"events\":[{{\"channel\":\"c\"}},{{\"channel\":\"{channel}\"}}]}}");
        it.send("POST", "/v1/events", &headers, batch).await.refused(403, "denied", channel);
    }
    let list = format!("authorization: Bearer {}\r\n", tokens[0]);
    assert_eq!(it.send("GET", "/v1/channels", &list, "").await.json()["channels"], serde_json::json!([]));
}

#[tokio::test]
async fn what_is_no_token_is_401_and_says_how() {
    let (it, tokens) = with_tokens().await;
    let almost = format!("Bearer {}", &tokens[2][..tokens[2].len() - 1]);
    for value in ["Bearer", "Bearer ", "Basic YTpi", &almost, &tokens[2], "Bearer netdb_", "\u{e9}"] {
        let reply = it.send("GET", "/v1/status", &format!("authorization: {value}\r\n"), "").await;
        reply.refused(401, "denied", "token");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert!(!String::from_utf8_lossy(&reply.body).contains(&tokens[2]), "no secret comes back");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_where_none_is_needed() {
    let it = start().await;
    assert_eq!(it.get("/v1/status").await.status, 200);
    let reply = it.send("GET", "/v1/status", "authorization: Bearer netdb_x\r\n", "").await;
    reply.refused(401, "denied", "not known");
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out_where_no_token_is_needed() {
    let it = start().await;
    let own = format!("origin: http://{}\r\n", it.address);
    for (headers, status) in [
        (own.as_str(), 200),
        ("origin: http://example.org\r\n", 403),
        ("origin: null\r\n", 403),
        ("sec-fetch-site: cross-site\r\n", 403),
        ("sec-fetch-site: same-site\r\n", 403),
        ("sec-fetch-site: same-origin\r\n", 200),
        ("host: example.org\r\n", 403),
        ("host: localhost:7700\r\n", 200),
        ("host: 127.0.0.1.example.org\r\n", 403),
        ("host: \r\n", 403),
    ] {
        let reply = it.send("POST", "/v1/channels/c/events", &format!("{JSON}{headers}"), "1").await;
        assert_eq!(reply.status, status, "{headers}: {reply:?}");
    }
    // A token cannot be sent by another site's page without this one's leave, so whoever has one comes from anywhere.
    let (it, tokens) = with_tokens().await;
    let headers = format!("host: db.example.org\r\nauthorization: Bearer {}\r\n", tokens[0]);
    assert_eq!(it.send("GET", "/v1/status", &headers, "").await.status, 200);
}

#[tokio::test]
async fn an_address_off_loopback_without_tls_and_tokens_does_not_start() {
    let mut config = config();
    config.http.listen = "0.0.0.0:0".parse().unwrap();
    let error = Server::start(config, Doors::memory(), in_memory).await.unwrap_err();
    assert!(error.to_string().contains("TLS and authentication"), "{error}");
}
