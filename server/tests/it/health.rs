//! How the server says that it is.

use std::sync::mpsc;

use netdb::NetDb;
use netdb::base::Doors;
use netdb::cluster::{self, Cluster, ClusterOptions};
use netdb::net::Uses;
use server::Server;

use crate::support::{Fixture, JSON, begin, config, in_memory, start};

#[tokio::test]
async fn a_server_is_alive_before_it_is_ready() {
    let (go, wait) = mpsc::channel::<()>();
    let open = move |doors: Doors| {
        wait.recv().unwrap();
        in_memory(doors)
    };
    let running = Server::start(config(), Doors::memory(), open).await.unwrap();
    let mut it = Fixture { address: running.http(), running };
    assert_eq!(it.get("/health/live").await.status, 200);
    let ready = it.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"][0]["reason"]), (503, &"opening".into()));
    it.get("/v1/channels").await.refused(503, "unavailable", "is being opened");
    go.send(()).unwrap();
    it.running.opened().await.unwrap();
    let ready = it.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_told_and_the_server_stops() {
    let open = |_: Doors| netdb::NetDb::builder().open();
    let running = Server::start(config(), Doors::memory(), open).await.unwrap();
    let mut it = Fixture { address: running.http(), running };
    let error = it.running.opened().await.unwrap_err();
    assert!(error.to_string().contains("no place for the database"), "{error}");
    let ready = it.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"][0]["reason"]), (503, &"failed".into()));
    it.get("/v1/tasks").await.refused(503, "unavailable", "not open");
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_status_says_what_serves_and_where_it_stands() {
    let it = start().await;
    it.append("c", "1").await;
    let status = it.get("/v1/status").await.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["logs"][0]["log"], &status["logs"][0]["position"]), (&"main".into(), &1.into()));
    assert_eq!((&status["ready"], &status["authentication"]), (&true.into(), &false.into()));
    assert_eq!(status["origin"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn metrics_count_what_happened_and_their_labels_are_few() {
    let it = start().await;
    it.append("c", "1").await;
    it.append("d", "22").await;
    it.post("/v1/tasks", "{\"title\":\"t\"}").await;
    it.post("/v1/sql", "{\"sql\":\"select 1\"}").await;
    it.get("/v1/tasks/1").await;
    it.get("/v1/tasks/7").await;
    for n in 0..20 {
        it.get(&format!("/nothing/{n}")).await;
        it.send(&format!("M{n}"), "/v1/tasks", "", "").await;
    }
    let reply = it.get("/metrics").await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(reply.body).unwrap();
    for line in [
        "netdb_http_requests_total{route=\"/v1/channels/{channel}/events\",method=\"POST\",status=\"200\"} 2",
        "netdb_http_requests_total{route=\"/v1/tasks/{id}\",method=\"GET\",status=\"404\"} 1",
        "netdb_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 20",
        "netdb_http_requests_total{route=\"/v1/tasks\",method=\"other\",status=\"405\"} 20",
        "netdb_http_in_flight 1",
        "netdb_appends_total{outcome=\"appended\"} 3",
        "netdb_append_events_total 3",
        "netdb_append_payload_bytes_total 3",
        "netdb_append_seconds_count 3",
        "netdb_sql_statements_total{outcome=\"ok\"} 1",
        "netdb_sql_rows_total 1",
        "netdb_log_position{log=\"main\"} 3",
        "netdb_log_segments{log=\"main\"} 1",
        "netdb_model_lag{model=\"tasks\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn a_member_whose_models_do_not_run_yet_is_not_ready_and_says_what_to_wait_for() {
    let (doors, one, two) = (Doors::system(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        NetDb::open(dir.path()).unwrap().close().unwrap();
    }
    cluster::init(one.path(), &doors).unwrap();
    let options = |name| ClusterOptions::new("127.0.0.1:0".parse().unwrap(), name);
    let db = NetDb::builder().directory(one.path()).with_tasks().open().unwrap();
    let first = Cluster::start(&db, &options("one")).await.unwrap();
    db.models_begun().await.unwrap();
    let ticket = first.invite(std::time::Duration::from_secs(60), Uses::Once).unwrap();
    cluster::join(two.path(), &doors, &ticket, &options("two")).await.unwrap();
    first.stop().await.unwrap();
    db.close_async().await.unwrap();
    // The second one has nobody to get the log from.
    let path = two.path().to_owned();
    let open =
        move |doors: Doors| NetDb::builder().directory(path).doors(doors).with_tasks().with_memories().open();
    let mut config = config();
    config.mesh.listen = config.http.listen;
    let it = begin(config, doors, open).await;
    let ready = it.get("/health/ready").await;
    let reasons = ready.json()["reasons"].to_string();
    assert!(ready.status == 503 && reasons.contains("\"reason\":\"models\""), "{reasons}");
    let wait = "wait until the node takes part in its cluster";
    it.get("/v1/tasks").await.refused(503, "unavailable", wait);
    it.get("/v1/memories").await.refused(503, "unavailable", wait);
    it.post("/v1/tasks", "{\"title\":\"look\"}").await.refused(503, "unavailable", wait);
    let asked = it.post("/v1/sql", "{\"sql\":\"select * from tasks\"}").await;
    asked.refused(503, "unavailable", "table `tasks` cannot be read yet");
    assert_eq!(it.post("/v1/sql", "{\"sql\":\"select 1\"}").await.status, 200);
    it.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_replication_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let doors = Doors::system();
    NetDb::open(dir.path()).unwrap().close().unwrap();
    cluster::init(dir.path(), &doors).unwrap();
    let path = dir.path().to_owned();
    let open =
        move |doors: Doors| NetDb::builder().directory(path).doors(doors).with_tasks().with_memories().open();
    let mut config = config();
    config.mesh.listen = config.http.listen;
    let it = begin(config, doors, open).await;
    let mut left = 500;
    while it.get("/health/ready").await.status != 200 {
        left -= 1;
        assert!(left > 0, "{:?}", it.get("/health/ready").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let text = String::from_utf8(it.get("/metrics").await.body).unwrap();
    let line = |start: &str| text.lines().any(|line| line.starts_with(start));
    for wanted in [
        "dataforts_replication_role{log=\"control\",role=\"leader\"} 1",
        "dataforts_replication_role{log=\"models\",role=\"leader\"} 1",
        "dataforts_leader_changes_total{log=\"control\"} 0",
        "dataforts_replication_elections_total{log=\"control\"} ",
        "dataforts_replication_election_thrash_total{log=\"control\"} 0",
        "dataforts_replication_sync_bytes_total{log=\"control\"} 0",
        "dataforts_replication_under_capacity_total{log=\"control\"} 0",
        "netdb_forks_total{log=\"control\"} 0",
        "netdb_diverged_nodes{log=\"models\"} 0",
        "netdb_mesh_let_in_total 0",
        "netdb_mesh_handshakes_failed_total ",
        "netdb_mesh_datagrams_unread_total 0",
    ] {
        assert!(line(wanted), "{wanted} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    it.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_channel_is_made_shown_and_configured() {
    let dir = tempfile::tempdir().unwrap();
    let doors = Doors::system();
    NetDb::open(dir.path()).unwrap().close().unwrap();
    cluster::init(dir.path(), &doors).unwrap();
    let path = dir.path().to_owned();
    let open =
        move |doors: Doors| NetDb::builder().directory(path).doors(doors).with_tasks().with_memories().open();
    let mut config = config();
    config.mesh.listen = config.http.listen;
    let it = begin(config, doors, open).await;
    let mut left = 500;
    while it.get("/health/ready").await.status != 200 {
        left -= 1;
        assert!(left > 0, "{:?}", it.get("/health/ready").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let channel = "/v1/channels/orders";
    let made = r#"{"factor":1,"placement-metadata":{"intent":"billing"}}"#;
    let told = it.send("PUT", channel, JSON, made).await;
    assert_eq!(told.status, 200, "{told:?}");
    let log = told.json()["log"].as_str().unwrap().to_owned();
    let change = r#"{"heartbeat-ms":200,"replication-budget-fraction":0.25,"leader-pinned":1}"#;
    let told = it.send("PATCH", channel, JSON, change).await.json();
    assert_eq!((&told["log"], &told["config"]["heartbeat-ms"]), (&log.as_str().into(), &200.into()));
    let asked = format!("{{\"log\":\"{log}\",\"config\":{{\"leader-pinned\":null}}}}");
    let told = it.post("/v1/cluster/configure", &asked).await.json();
    assert!(told["config"]["leader-pinned"].is_null(), "{told}");
    let status = it.get("/v1/cluster").await.json();
    let shown = status["logs"].as_array().unwrap().iter().find(|known| known["log"] == log.as_str()).unwrap();
    let wanted = serde_json::json!({
        "factor": 1, "heartbeat-ms": 200, "placement": "standard", "leader-pinned": null,
        "placement-metadata": { "intent": "billing" }, "replication-budget-fraction": 0.25,
    });
    assert_eq!(shown["config"], wanted);
    assert!(status["catching_up"]["peak"].is_null());
    it.send("PATCH", "/v1/channels/none", JSON, "{}").await.refused(
        404,
        "not-found",
        "no replicated channel",
    );
    it.send("PATCH", channel, JSON, r#"{"factor":3}"#).await.refused(
        400,
        "invalid",
        "unknown field `factor`",
    );
    let wrong = r#"{"replication-budget-fraction":0}"#;
    it.send("PATCH", channel, JSON, wrong).await.refused(400, "invalid", "replication-budget-fraction 0");
    it.running.stop().await.unwrap();
}
