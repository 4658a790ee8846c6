//! The same endpoints over a simulated network: what it does to datagrams is survived, and one seed is one history.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{ClusterId, Identity, NodeId, SeededRandom};
use net::{
    Admission, Asks, ConnectError, Connection, Endpoint, EndpointOptions, NetworkCounts, Pool, Protocol,
    Refusal, RequestError, SimulatedNetwork, Weather,
};
use tokio::time::Instant;

const WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Anybody;

impl Admission for Anybody {
    fn admit(&self, _: &Asks) -> Result<(), Refusal> {
        Ok(())
    }
}

fn identity(node: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(&[node; 32]))
}

fn machine(node: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, node])
}

fn address(node: u8) -> SocketAddr {
    SocketAddr::new(machine(node), 7000)
}

fn open(network: &SimulatedNetwork, node: u8) -> Endpoint {
    let place = (ClusterId::from_bytes([9; 16]), NodeId(node.into()));
    let random = SeededRandom::new(node.into());
    let socket = network.socket(address(node));
    Endpoint::open(socket, identity(node), place, Arc::new(Anybody), EndpointOptions::default(), &random)
        .unwrap()
}

/// Answers with the length of what was asked, on every connection.
async fn serve(endpoint: Endpoint) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(async move {
            while let Ok(mut request) = connection.next_request().await {
                tokio::spawn(async move {
                    if let Ok(body) = request.body().await {
                        let _ = request.answer(&body.len().to_le_bytes()).await;
                    }
                });
            }
        });
    }
}

fn bad_weather() -> Weather {
    Weather { delay: Duration::from_millis(1)..Duration::from_millis(30), lost: 50, repeated: 20 }
}

/// What happened, when.
#[derive(Clone)]
struct Trace {
    begun: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.lines.lock().unwrap().push(format!("{:?} {what}", self.begun.elapsed()));
    }
}

/// Asks `count` times, and connects again whenever that is needed.
async fn ask(endpoint: &Endpoint, to: u8, count: usize, trace: &Trace) {
    let mut connection: Option<Connection> = None;
    let mut done = 0;
    while done < count {
        let Some(open) = &connection else {
            match endpoint.connect(identity(to).public_key(), address(to), Protocol::Raft).await {
                Ok(open) => connection = Some(open),
                Err(error) => {
                    trace.note(error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            continue;
        };
        let body = vec![7; 10_000 * (done % 5)];
        match open.request(&body, WITHIN).await {
            Ok(answer) => {
                assert_eq!(answer, body.len().to_le_bytes());
                done += 1;
                trace.note(format!("answer {done}"));
            }
            Err(error) => {
                trace.note(error);
                connection = None;
            }
        }
    }
}

/// Forty requests in bad weather; in the middle the other machine is cut off for a while, and restarts.
fn history(seed: u64) -> (Vec<String>, NetworkCounts) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let network = SimulatedNetwork::new(seed, bad_weather());
        let trace = Trace::new();
        let one = open(&network, 1);
        let server = tokio::spawn(serve(open(&network, 2)));
        let trouble = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            network.cut(machine(1), machine(2));
            tokio::time::sleep(Duration::from_millis(900)).await;
            network.mend();
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.abort();
            network.unplug(address(2));
            tokio::time::sleep(Duration::from_millis(300)).await;
            tokio::spawn(serve(open(&network, 2)));
        };
        tokio::join!(trouble, ask(&one, 2, 40, &trace));
        let lines = trace.lines.lock().unwrap().clone();
        (lines, network.counts())
    })
}

#[test]
fn requests_are_answered_whatever_the_network_does_and_a_seed_is_a_history() {
    let mut all = NetworkCounts::default();
    let mut reconnected = 0;
    for seed in 0..20 {
        let (lines, counts) = history(seed);
        assert_eq!((&lines, counts), (&history(seed).0, counts), "seed {seed}");
        assert!(lines.last().unwrap().ends_with("answer 40"), "seed {seed}");
        reconnected += lines.iter().filter(|line| !line.contains("s answer ")).count();
        all.lost += counts.lost;
        all.repeated += counts.repeated;
        all.cut += counts.cut;
        all.dropped += counts.dropped;
        all.overtaken += counts.overtaken;
    }
    assert_ne!(history(1), history(2));
    let happened = [all.lost, all.repeated, all.cut, all.dropped, all.overtaken];
    assert!(happened.iter().all(|count| *count > 20) && reconnected >= 20, "{all:?}, {reconnected}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_one_way_answers_nothing_until_it_is_mended() {
    for (from, to) in [(1, 2), (2, 1)] {
        let network = SimulatedNetwork::new(1, Weather::fair());
        let one = open(&network, 1);
        tokio::spawn(serve(open(&network, 2)));
        let connection = one.connect(identity(2).public_key(), address(2), Protocol::Raft).await.unwrap();
        connection.request(b"before", WITHIN).await.unwrap();
        network.cut(machine(from), machine(to));
        let cut = connection.request(b"while", WITHIN).await;
        assert!(matches!(cut, Err(RequestError::Timeout { .. })), "{cut:?}");
        network.mend();
        let begun = Instant::now();
        connection.request(b"after", Duration::from_secs(30)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(network.counts().cut > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_noticed() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let one = open(&network, 1);
    let server = tokio::spawn(serve(open(&network, 2)));
    let connection = one.connect(identity(2).public_key(), address(2), Protocol::Raft).await.unwrap();
    network.unplug(address(2));
    let begun = Instant::now();
    let why = connection.closed().await;
    // The limit of 30 s begins anew at a sign of life of our own, and is thrice the time to a repetition at least.
    let after = begun.elapsed();
    assert!(why.contains("timed out") && after <= Duration::from_secs(65), "{why} {after:?}");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pool_makes_one_connection_for_all_who_ask_and_a_new_one_when_it_ends() {
    let network = SimulatedNetwork::new(1, bad_weather());
    let pool = Pool::new(Arc::new(open(&network, 1)));
    let other = open(&network, 2);
    let peer = identity(2).public_key();
    let ask = || pool.connection(peer, address(2), Protocol::Raft);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let taken = other.accept().await.unwrap();
    for connection in [one.unwrap(), two.unwrap(), three.unwrap()] {
        assert!(connection.is_open());
    }
    // Another protocol has a connection of its own; it is the next one that is taken.
    let client = pool.connection(peer, address(2), Protocol::Client).await.unwrap();
    assert_eq!(
        (client.protocol(), other.accept().await.unwrap().protocol()),
        (Protocol::Client, Protocol::Client)
    );
    taken.close();
    ask().await.unwrap().closed().await;
    assert!(ask().await.unwrap().is_open());
    assert_eq!(other.accept().await.unwrap().protocol(), Protocol::Raft);
    pool.forget(peer);
    assert!(ask().await.unwrap().is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let pool = Pool::new(Arc::new(open(&network, 1)));
    let ask = || pool.connection(identity(2).public_key(), address(2), Protocol::Raft);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let failed = ask().await.unwrap_err();
        assert!(matches!(failed, ConnectError::Timeout { .. }), "{failed}");
        let Err(ConnectError::NotYet { wait, .. }) = ask().await else { panic!("it is not left alone") };
        pauses.push(wait.as_millis());
        tokio::time::sleep(wait).await;
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    let other = open(&network, 2);
    let (connected, _taken) = tokio::join!(ask(), other.accept());
    assert!(connected.unwrap().is_open());
    network.unplug(address(2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_peer_that_restarted_is_told_at_once() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let one = open(&network, 1);
    let server = tokio::spawn(serve(open(&network, 2)));
    let connection = one.connect(identity(2).public_key(), address(2), Protocol::Raft).await.unwrap();
    connection.request(b"before", WITHIN).await.unwrap();
    // Its power goes, so that it says no farewell.
    network.unplug(address(2));
    server.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::spawn(serve(open(&network, 2)));
    let begun = Instant::now();
    let lost = connection.request(b"of a life before", Duration::from_secs(10)).await;
    assert!(matches!(lost, Err(RequestError::Closed { .. })), "{lost:?}");
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    let again = one.connect(identity(2).public_key(), address(2), Protocol::Raft).await.unwrap();
    again.request(b"after", WITHIN).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_was_unplugged_sends_nothing() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let one = open(&network, 1);
    tokio::spawn(serve(open(&network, 2)));
    let connection = one.connect(identity(2).public_key(), address(2), Protocol::Raft).await.unwrap();
    connection.request(b"before", WITHIN).await.unwrap();
    network.unplug(address(1));
    let sent = network.counts().sent;
    assert!(connection.request(b"without power", WITHIN).await.is_err());
    // What the other side says meanwhile finds nobody.
    let counts = network.counts();
    assert_eq!(counts.sent - sent, counts.dropped, "{counts:?}");
}
