//! Who joins by a ticket, who does not, and what each side is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{
    Classify, ClusterId, ErrorKind, Identity, ManualClock, NodeId, PublicKey, SeededRandom, Timestamp,
};
use net::{
    ConnectError, Endpoint, Grant, GrantId, GrantTerms, Inviter, JoinDecision, JoinDoor, JoinError,
    JoinHandler, JoinRefusal, JoinRefusalCode, JoinRequest, Joined, Joiner, Protocol, RefusalCode,
    SimulatedNetwork, Ticket, Uses, Weather, join,
};

use crate::nodes::{Members, WITHIN, address, cluster, connect, identity, key, open, pair};

/// The last moment at which a test's tickets hold.
const END: Timestamp = Timestamp::from_nanos(1_000_000);

/// A cluster in memory: who has used which grant.
#[derive(Debug, Default)]
struct Cluster {
    used: Mutex<BTreeMap<GrantId, PublicKey>>,
    asked: Mutex<Vec<JoinRequest>>,
    full: bool,
    silent: bool,
}

impl JoinHandler for Cluster {
    fn join(&self, request: JoinRequest) -> JoinDecision {
        self.asked.lock().unwrap().push(request.clone());
        let terms = request.grant.terms();
        let by = *self.used.lock().unwrap().entry(terms.id).or_insert(request.key);
        let decided = match () {
            () if self.full => Err(JoinRefusal::new(JoinRefusalCode::Full, "nine members are enough")),
            () if terms.uses == Uses::Once && by != request.key => {
                Err(JoinRefusal::new(JoinRefusalCode::Used, "another node has used this ticket"))
            }
            () => Ok(format!("welcome, {}", request.name).into_bytes()),
        };
        let silent = self.silent;
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            decided
        })
    }
}

struct Test {
    network: SimulatedNetwork,
    members: Arc<Members>,
    clock: Arc<ManualClock>,
    cluster: Arc<Cluster>,
    one: Arc<Endpoint>,
}

fn cluster_identity() -> Identity {
    Identity::from_seed(&[77; 32])
}

fn terms() -> GrantTerms {
    GrantTerms { cluster: cluster(), id: GrantId([1; 16]), not_after: END, roles: 3, uses: Uses::Once }
}

fn ticket(terms: GrantTerms, inviters: &[u8]) -> Ticket {
    let inviters = inviters.iter().map(|node| Inviter { key: key(*node), address: address(*node) });
    Ticket::new(Grant::issue(&cluster_identity(), terms), inviters.collect()).unwrap()
}

impl Test {
    fn new(cluster: Cluster) -> Self {
        let network = SimulatedNetwork::new(1, Weather::fair());
        let members = Members::new(&[1, 2]);
        let one = open(&network, 1, &members);
        let test = Self {
            network,
            members,
            clock: Arc::new(ManualClock::new(Timestamp::from_nanos(0))),
            cluster: Arc::new(cluster),
            one,
        };
        test.let_join(&test.one);
        test
    }

    fn let_join(&self, endpoint: &Endpoint) {
        let cluster_key = cluster_identity().public_key();
        let (clock, handler) = (Arc::clone(&self.clock) as _, Arc::clone(&self.cluster) as _);
        endpoint.open_to_joins(Some(JoinDoor { cluster_key, clock, handler }));
    }

    async fn join(&self, node: u8, ticket: &Ticket) -> Result<Joined, JoinError> {
        let socket = self.network.socket(SocketAddr::new(address(node).ip(), 9_000));
        let joiner = Joiner { address: address(node), name: format!("node {node}") };
        join(socket, identity(node), ticket, &joiner, Duration::from_secs(60), &SeededRandom::new(9)).await
    }
}

fn refusal(error: JoinError) -> JoinRefusal {
    match error {
        JoinError::Refused { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_a_ticket_joins_and_is_told_what_the_cluster_says() {
    let test = Test::new(Cluster::default());
    let text = ticket(terms(), &[1]).to_string();
    let joined = test.join(5, &text.parse().unwrap()).await.unwrap();
    assert_eq!((joined.by, joined.welcome.as_slice()), (NodeId(1), &b"welcome, node 5"[..]));
    let asked = test.cluster.asked.lock().unwrap().pop().unwrap();
    assert_eq!((asked.key, asked.address, asked.name.as_str()), (key(5), address(5), "node 5"));
    assert_eq!(*asked.grant.terms(), terms());
    assert_eq!(test.one.counts().joins, 1);
    // Asking again, as when the answer was lost, is answered again; another node is not let in.
    test.join(5, &text.parse().unwrap()).await.unwrap();
    let refused = test.join(6, &text.parse().unwrap()).await.unwrap_err();
    assert_eq!((refused.kind(), refusal(refused).code), (ErrorKind::Denied, JoinRefusalCode::Used));
    assert_eq!(test.one.counts().joins_refused_for(JoinRefusalCode::Used), 1);
    let many = ticket(GrantTerms { uses: Uses::Many, id: GrantId([2; 16]), ..terms() }, &[1]);
    for node in [5, 6, 7] {
        test.join(node, &many).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn tickets_that_do_not_hold_are_refused_before_the_cluster_is_asked() {
    let test = Test::new(Cluster::default());
    let code = async |ticket: &Ticket| refusal(test.join(5, ticket).await.unwrap_err()).code;
    test.clock.set_wall(Timestamp::from_nanos(END.as_nanos() + 1));
    assert_eq!(code(&ticket(terms(), &[1])).await, JoinRefusalCode::Expired);
    test.clock.set_wall(END);
    let forged = Grant::issue(&Identity::from_seed(&[5; 32]), terms());
    let forged = Ticket::new(forged, ticket(terms(), &[1]).inviters().to_vec()).unwrap();
    assert_eq!(code(&forged).await, JoinRefusalCode::Unknown);
    assert!(test.cluster.asked.lock().unwrap().is_empty());
    let counts = test.one.counts();
    assert_eq!(counts.joins_refused.values().sum::<u64>(), 2);
    // Another cluster is noticed at the greeting.
    let elsewhere = ticket(GrantTerms { cluster: ClusterId::from_bytes([8; 16]), ..terms() }, &[1]);
    let error = test.join(5, &elsewhere).await.unwrap_err();
    let JoinError::Unreachable { source: ConnectError::Refused { refusal, .. } } = error else {
        panic!("{error}")
    };
    assert_eq!(refusal.code, RefusalCode::Cluster);
    test.join(5, &ticket(terms(), &[1])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_says_so() {
    let test = Test::new(Cluster { full: true, ..Cluster::default() });
    let error = test.join(5, &ticket(terms(), &[1])).await.unwrap_err();
    assert_eq!((error.kind(), refusal(error).code), (ErrorKind::Unavailable, JoinRefusalCode::Full));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_decide_in_time_says_so() {
    let test = Test::new(Cluster { silent: true, ..Cluster::default() });
    let error = test.join(5, &ticket(terms(), &[1])).await.unwrap_err();
    assert_eq!(refusal(error).code, JoinRefusalCode::Busy);
}

#[tokio::test(start_paused = true)]
async fn another_inviter_is_asked_when_one_cannot_be_reached_or_takes_no_joins() {
    let test = Test::new(Cluster::default());
    let _two = open(&test.network, 2, &test.members);
    // Nobody is at 3, and nobody joins through 2.
    let joined = test.join(5, &ticket(terms(), &[3, 2, 1])).await.unwrap();
    assert_eq!(joined.inviter, Inviter { key: key(1), address: address(1) });
    let error = test.join(5, &ticket(terms(), &[3, 2])).await.unwrap_err();
    let JoinError::Unreachable { source: ConnectError::Refused { refusal, .. } } = error else {
        panic!("{error}")
    };
    assert_eq!(refusal.code, RefusalCode::Denied);
    test.one.open_to_joins(None);
    assert!(matches!(test.join(5, &ticket(terms(), &[1])).await, Err(JoinError::Unreachable { .. })));
    assert_eq!(test.one.counts().refused_for(RefusalCode::Denied), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inviter_with_another_key_is_not_asked() {
    let test = Test::new(Cluster::default());
    let wrong = Inviter { key: key(2), address: address(1) };
    let ticket = Ticket::new(*ticket(terms(), &[1]).grant(), vec![wrong]).unwrap();
    let error = test.join(5, &ticket).await.unwrap_err();
    assert!(matches!(error, JoinError::Unreachable { source: ConnectError::Handshake { .. } }), "{error}");
    assert!(test.cluster.asked.lock().unwrap().is_empty());
    // The other side hears of it a little later.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(test.one.counts().handshakes_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_has_one_request_and_no_other_protocol() {
    let test = Test::new(Cluster::default());
    let stranger = open(&test.network, 5, &Members::new(&[1, 5]));
    for protocol in Protocol::ALL.into_iter().filter(|protocol| *protocol != Protocol::Join) {
        let error = connect(&stranger, 1, protocol).await.unwrap_err();
        let ConnectError::Refused { refusal, .. } = error else { panic!("{error}") };
        assert_eq!(refusal.code, RefusalCode::NotMember);
    }
    let connection = connect(&stranger, 1, Protocol::Join).await.unwrap();
    let first = connection.request(b"what is this?", WITHIN).await.unwrap();
    assert_eq!(first[..12], *b"NetDbJoA\x01\0\x01\0");
    assert!(connection.request(b"and this?", WITHIN).await.is_err());
    let long = connect(&stranger, 1, Protocol::Join).await.unwrap();
    let _ = long.request(&[7; 60_000], WITHIN).await;
    assert_eq!(test.one.counts().too_large, 1);
    // A review, as after each change of members, does not end what the cluster decides about.
    let waiting = connect(&stranger, 1, Protocol::Join).await.unwrap();
    test.one.review();
    let answer = waiting.request(b"still there?", WITHIN).await.unwrap();
    assert_eq!(answer[..8], *b"NetDbJoA");
    // Whoever wants to join is never what others accept.
    let two = open(&test.network, 2, &test.members);
    let (_there, here) = pair(&two, (1, &test.one), Protocol::Raft).await;
    assert_eq!((here.protocol(), here.peer()), (Protocol::Raft, key(2)));
    assert_eq!(test.one.counts().joins_refused_for(JoinRefusalCode::Malformed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_too_long_is_not_sent() {
    let test = Test::new(Cluster::default());
    let socket = test.network.socket(address(5));
    let joiner = Joiner { address: address(5), name: "n".repeat(65) };
    let (ticket, random) = (ticket(terms(), &[1]), SeededRandom::new(9));
    let error = join(socket, identity(5), &ticket, &joiner, WITHIN, &random).await.unwrap_err();
    assert!(matches!(error, JoinError::Name { bytes: 65, max: 64 }), "{error}");
}
