//! Stopping: requests end, streams are told, the database is closed cleanly, and nothing acknowledged is lost.

use std::time::Duration;

use netdb::base::{CrashImage, Doors, SimulatedDisk, SystemClock, SystemDisk, SystemRandom};
use netdb::redex::{Store, verify_all};
use netdb::{Error, NetDb, Seq};
use serde_json::json;
use server::{LOCAL_FILE, LocalServer};
use tokio::io::AsyncWriteExt as _;

use crate::support::{BATCH, JSON, begin, config, in_memory, read_reply, start, start_with};

fn on_disk(dir: &std::path::Path) -> impl FnOnce(Doors) -> Result<NetDb, Error> + Send + 'static {
    let dir = dir.to_owned();
    move |doors| NetDb::builder().directory(dir).doors(doors).with_tasks().with_memories().open()
}

#[tokio::test]
async fn open_streams_are_told_and_the_directory_is_closed_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let it = begin(config(), Doors::system(), on_disk(dir.path())).await;
    it.append("c", "1").await;
    let mut tail = it.stream("/v1/channels/c/tail", "").await;
    let mut watch = it.stream("/v1/tasks/watch", "").await;
    assert_eq!(tail.ids(1).await, [0]);
    assert!(watch.next().await.is_some());
    let idle = it.connect().await;
    let report = it.running.stop().await.unwrap();
    assert_eq!(report.connections_cut, 0);
    for stream in [&mut tail, &mut watch] {
        let end = stream.next().await.unwrap();
        assert_eq!((end.event.as_str(), &end.data), ("end", &json!({ "reason": "stopping" })));
        assert_eq!(stream.next().await, None);
    }
    drop(idle);
    assert!(!dir.path().join(LOCAL_FILE).exists());
    // Nothing is left to be put in order, and the lock is free.
    let store = Store::open(dir.path(), &Doors::system(), &Default::default()).unwrap();
    assert!(!store.recovery().unclean, "{:?}", store.recovery());
    store.close().unwrap();
}

#[tokio::test]
async fn a_request_that_has_begun_is_done_and_answered() {
    let it = start().await;
    let mut stream = it.connect().await;
    let mut other = it.connect().await;
    let head = format!(
        "POST /v1/channels/c/events HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 4\r\n\r\n12"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // This one has begun, too, so that it is not idle.
    other.write_all(b"GET /v1/channels HTTP/1.1\r\n").await.unwrap();
    while !String::from_utf8(it.get("/metrics").await.body).unwrap().contains("netdb_http_in_flight 2\n") {}
    let address = it.address;
    let stopping = tokio::spawn(it.running.stop());
    // New connections are not taken any more.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"34").await.unwrap();
    let reply = read_reply(stream).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    drop(other);
    assert_eq!(stopping.await.unwrap().unwrap().connections_cut, 0);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let mut config = config();
    config.shutdown_within = Duration::from_millis(50);
    let it = start_with(config).await;
    let mut stream = it.connect().await;
    let head = format!("POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    while !String::from_utf8(it.get("/metrics").await.body).unwrap().contains("netdb_http_in_flight 2\n") {}
    let report = it.running.stop().await.unwrap();
    assert_eq!(report.connections_cut, 1);
}

#[tokio::test]
async fn stopping_while_the_database_is_opened_closes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let open = on_disk(dir.path());
    let open = move |doors: Doors| {
        wait.recv().unwrap();
        open(doors)
    };
    let running = server::Server::start(config(), Doors::system(), open).await.unwrap();
    let stopping = tokio::spawn(running.stop());
    go.send(()).unwrap();
    stopping.await.unwrap().unwrap();
    assert!(!dir.path().join(LOCAL_FILE).exists());
    NetDb::open(dir.path()).unwrap().close().unwrap();
}

#[tokio::test]
async fn programs_on_this_machine_find_the_server_by_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let it = begin(config(), Doors::system(), on_disk(dir.path())).await;
    let local = LocalServer::read(&SystemDisk, dir.path()).unwrap().unwrap();
    assert_eq!((local.http, local.pid), (it.address, std::process::id()));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.path().join(LOCAL_FILE)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    assert!(!format!("{local:?}").contains(&local.token));
    let headers = format!("{JSON}authorization: Bearer {}\r\n", local.token);
    let reply = it.send("POST", "/v1/channels/cortex%2Fother/events", &headers, "1").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    it.running.stop().await.unwrap();
    assert_eq!(LocalServer::read(&SystemDisk, dir.path()).unwrap(), None);
    // What an earlier server left behind is replaced.
    std::fs::write(dir.path().join(LOCAL_FILE), "{").unwrap();
    assert_eq!(LocalServer::read(&SystemDisk, dir.path()).unwrap(), None);
    let it = begin(config(), Doors::system(), on_disk(dir.path())).await;
    assert!(LocalServer::read(&SystemDisk, dir.path()).unwrap().is_some_and(|new| new.token != local.token));
    it.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_that_goes_off_in_the_middle_of_requests_takes_nothing_that_was_acknowledged() {
    let disk = SimulatedDisk::new();
    let doors = Doors {
        clock: std::sync::Arc::new(SystemClock),
        random: std::sync::Arc::new(SystemRandom),
        disk: std::sync::Arc::new(disk.clone()),
    };
    let it = begin(config(), doors.clone(), in_memory).await;
    let it = std::sync::Arc::new(it);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let it = std::sync::Arc::clone(&it);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let body = format!("\"{client}-{n}\"");
                    let reply = it.post("/v1/channels/c/events", &body).await;
                    if reply.status != 200 {
                        return acknowledged;
                    }
                    acknowledged.push((reply.json()["ranges"][0]["first_seq"].as_u64().unwrap(), body));
                }
                acknowledged
            })
        })
        .collect();
    while it.get("/v1/channels/c").await.json()["next_seq"].as_u64().unwrap_or(0) < 50 {}
    disk.power_off();
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    let it = std::sync::Arc::into_inner(it).unwrap();
    assert!(it.running.stop().await.is_err());
    disk.restart(&CrashImage::None);
    let db = in_memory(doors.clone()).unwrap();
    let events: Vec<_> = db.channel("c").unwrap().read(Seq(0)).unwrap().map(Result::unwrap).collect();
    assert!(acknowledged.len() >= 50);
    for (seq, body) in acknowledged {
        assert_eq!(events[usize::try_from(seq).unwrap()].payload, body.as_bytes());
    }
    db.close().unwrap();
    let reports = verify_all("/netdb".as_ref(), &doors, &Default::default()).unwrap();
    assert!(reports.iter().all(|report| report.faults.is_empty()));
}

#[tokio::test]
async fn a_batch_that_is_cut_off_is_not_appended() {
    let it = start().await;
    it.append("c", "1").await;
    let events: Vec<_> = (0..1_000).map(|n| json!({ "payload": n })).collect();
    let batch = json!({ "events": events }).to_string();
    let mut stream = it.connect().await;
    let head = format!(
        "POST /v1/channels/c/events HTTP/1.1\r\nhost: localhost\r\n{BATCH}content-length: {}\r\n\r\n{}",
        batch.len(),
        &batch[..batch.len() / 2]
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    while !String::from_utf8(it.get("/metrics").await.body).unwrap().contains("netdb_http_in_flight 1\n") {}
    assert_eq!(it.get("/v1/channels/c").await.json()["next_seq"], 1);
}
