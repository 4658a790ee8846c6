//! Who is let in, who is not, and what each side is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Classify, ClusterId, ErrorKind, Identity, NodeId, PublicKey, SystemRandom};
use net::{
    Admission, Asks, ConnectError, Connection, Endpoint, EndpointOptions, Protocol, Refusal, RefusalCode,
    RequestError, Socket,
};

const WITHIN: Duration = Duration::from_secs(10);

/// Who is a member of the test's cluster.
#[derive(Debug, Default)]
struct Members(Mutex<BTreeMap<PublicKey, NodeId>>);

impl Members {
    fn remove(&self, key: PublicKey) {
        self.0.lock().unwrap().remove(&key);
    }
}

impl Admission for Members {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match self.0.lock().unwrap().get(&asks.key) {
            Some(node) if *node == asks.node => Ok(()),
            Some(node) => Err(Refusal::new(
                RefusalCode::NotMember,
                format!("this key is node {node}'s, not {}'s", asks.node),
            )),
            None => {
                Err(Refusal::new(RefusalCode::NotMember, "this key is no member's: join the cluster first"))
            }
        }
    }
}

fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(&[seed; 32]))
}

fn cluster(seed: u8) -> ClusterId {
    ClusterId::from_bytes([seed; 16])
}

fn members(nodes: &[u8]) -> Arc<Members> {
    let nodes = nodes.iter().map(|seed| (identity(*seed).public_key(), NodeId((*seed).into())));
    Arc::new(Members(Mutex::new(nodes.collect())))
}

fn options() -> EndpointOptions {
    EndpointOptions::default()
}

fn bind(seed: u8, of: ClusterId, members: &Arc<Members>, options: EndpointOptions) -> Endpoint {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let admission = Arc::clone(members) as Arc<dyn Admission>;
    let socket = Socket::bind(any).unwrap();
    let place = (of, NodeId(seed.into()));
    Endpoint::open(socket, identity(seed), place, admission, options, &SystemRandom).unwrap()
}

/// Nodes 1 and 2 of one cluster.
fn two() -> (Endpoint, Endpoint, Arc<Members>) {
    let known = members(&[1, 2]);
    (bind(1, cluster(9), &known, options()), bind(2, cluster(9), &known, options()), known)
}

async fn connect(from: &Endpoint, to: &Endpoint, key: u8) -> Result<Connection, ConnectError> {
    from.connect(identity(key).public_key(), to.local_address().unwrap(), Protocol::Raft).await
}

/// Answers each request with its bytes backwards.
async fn echo(connection: Connection) {
    while let Ok(mut request) = connection.next_request().await {
        let mut body = request.body().await.unwrap();
        body.reverse();
        request.answer(&body).await.unwrap();
    }
}

fn refusal(error: ConnectError) -> Refusal {
    match error {
        ConnectError::Refused { refusal, .. } => refusal,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn members_know_each_other_and_ask_and_answer() {
    let (one, two, _) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    assert_eq!((there.peer(), there.node()), (identity(2).public_key(), NodeId(2)));
    assert_eq!((here.peer(), here.node()), (identity(1).public_key(), NodeId(1)));
    assert_eq!((there.protocol(), here.protocol()), (Protocol::Raft, Protocol::Raft));
    tokio::spawn(echo(here));
    let large = (0..1_000_000_u32).map(|number| number as u8).collect::<Vec<_>>();
    for body in [&b"abc"[..], b"", &large] {
        let backwards: Vec<u8> = body.iter().rev().copied().collect();
        assert_eq!(there.request(body, WITHIN).await.unwrap(), backwards);
    }
}

#[tokio::test]
async fn a_request_does_not_wait_for_the_one_before() {
    let (one, two, _) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    let serve = async {
        let mut requests = Vec::new();
        for _ in 0..2 {
            let mut request = here.next_request().await.unwrap();
            requests.push((request.body().await.unwrap(), request));
        }
        let quick = requests.iter().position(|(body, _)| body == b"quick").unwrap();
        requests.swap_remove(quick).1.answer(b"at once").await.unwrap();
        (requests, here.next_request().await)
    };
    let ask = async {
        let slow = tokio::spawn({
            let there = there.clone();
            async move { there.request(b"slow", WITHIN).await }
        });
        assert_eq!(there.request(b"quick", WITHIN).await.unwrap(), b"at once");
        there.close();
        slow.await.unwrap()
    };
    let ((unanswered, next), slow) = tokio::join!(serve, ask);
    assert_eq!((unanswered.len(), &unanswered[0].0[..]), (1, &b"slow"[..]));
    assert!(matches!(next, Err(RequestError::Closed { .. })), "{next:?}");
    assert!(matches!(slow, Err(RequestError::Closed { .. })), "{slow:?}");
}

#[tokio::test]
async fn what_is_urgent_goes_before_large_requests_that_were_asked_first() {
    let (one, two, _) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    // What is kept to be sent has room for all.
    let (large, urgent) = (vec![0; 1 << 20], vec![1; 32 << 10]);
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (there, large) = (there.clone(), large.clone());
            tokio::spawn(async move { there.request(&large, WITHIN).await.unwrap() })
        })
        .collect();
    let serve = async {
        let mut reading = tokio::task::JoinSet::new();
        for _ in 0..9 {
            let mut request = here.next_request().await.unwrap();
            reading.spawn(async move {
                let body = request.body().await.unwrap();
                request.answer(b"").await.unwrap();
                body[0]
            });
        }
        reading.join_all().await
    };
    let ask = async {
        tokio::task::yield_now().await;
        there.request_urgent(&urgent, WITHIN).await.unwrap();
    };
    let (order, ()) = tokio::join!(serve, ask);
    let place = order.iter().position(|first| *first == 1).unwrap();
    assert!(place < 4, "{place} large ones came before it");
    for asked in asked {
        asked.await.unwrap();
    }
}

#[tokio::test]
async fn who_shows_another_key_than_expected_is_not_talked_to() {
    let (one, two, _) = two();
    let error = connect(&one, &two, 3).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
    let (shown, expected) = (identity(2).public_key(), identity(3).public_key());
    let text = error.to_string();
    assert!(text.contains(&shown.to_string()) && text.contains(&expected.to_string()), "{text}");
}

#[tokio::test]
async fn a_stranger_learns_why_it_is_not_let_in_and_the_node_goes_on() {
    let (one, two, known) = two();
    let stranger = bind(7, cluster(9), &known, options());
    let refused = refusal(connect(&stranger, &two, 2).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.contains("join the cluster")), (RefusalCode::NotMember, true));
    let liar = bind(1, cluster(8), &known, options());
    assert_eq!(refusal(connect(&liar, &two, 2).await.unwrap_err()).code, RefusalCode::Cluster);
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    assert_eq!((there.unwrap().node(), here.unwrap().node()), (NodeId(2), NodeId(1)));
}

#[tokio::test]
async fn a_member_that_is_removed_loses_its_connections_and_gets_no_new_ones() {
    let (one, two, known) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    two.review();
    tokio::spawn(echo(here.clone()));
    assert_eq!(there.request(b"ab", WITHIN).await.unwrap(), b"ba");
    known.remove(identity(1).public_key());
    two.review();
    let why = there.closed().await;
    assert!(why.contains("no member"), "{why}");
    assert!(matches!(there.request(b"ab", WITHIN).await, Err(RequestError::Closed { .. })));
    assert_eq!(refusal(connect(&one, &two, 2).await.unwrap_err()).code, RefusalCode::NotMember);
    let counts = two.counts();
    assert_eq!((counts.let_in, counts.refused_for(RefusalCode::NotMember)), (1, 1));
}

#[tokio::test]
async fn a_node_lets_go_of_a_removed_member_that_it_had_connected_to() {
    let (here, there) = (members(&[1, 2]), members(&[1, 2]));
    let (one, two) = (bind(1, cluster(9), &here, options()), bind(2, cluster(9), &there, options()));
    let (made, taken) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (made, taken) = (made.unwrap(), taken.unwrap());
    here.remove(identity(2).public_key());
    one.review();
    made.closed().await;
    assert!(taken.closed().await.contains("no member"));
    let error = connect(&one, &two, 2).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unwanted { .. }), "{error}");
}

#[tokio::test]
async fn one_key_takes_only_so_many_connections() {
    let known = members(&[1, 2, 3]);
    let mut few = options();
    (few.connections_of_key_max, few.connections_max) = (2, 3);
    let [one, three] = [1, 3].map(|seed| bind(seed, cluster(9), &known, options()));
    let two = bind(2, cluster(9), &known, few);
    let first = connect(&one, &two, 2).await.unwrap();
    let _second = connect(&one, &two, 2).await.unwrap();
    let error = connect(&one, &two, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(refusal(error).code, RefusalCode::Busy);
    let _third = connect(&three, &two, 2).await.unwrap();
    assert_eq!(refusal(connect(&three, &two, 2).await.unwrap_err()).code, RefusalCode::Busy);
    assert_eq!(two.counts().refused_for(RefusalCode::Busy), 2);
    first.close();
    let here = two.accept().await.unwrap();
    here.closed().await;
    connect(&three, &two, 2).await.unwrap();
}

#[tokio::test]
async fn messages_that_are_too_long_are_not_read() {
    let known = members(&[1, 2]);
    let mut short = options();
    short.message_bytes_max = 1_000;
    let one = bind(1, cluster(9), &known, short.clone());
    let two = bind(2, cluster(9), &known, short);
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    let serve = async {
        let mut request = here.next_request().await.unwrap();
        let read = request.body().await;
        assert!(matches!(read, Err(RequestError::TooLarge { max: 1_000 })), "{read:?}");
        drop(request);
        let mut request = here.next_request().await.unwrap();
        assert_eq!(request.body().await.unwrap().len(), 1_000);
        request.answer(&[1; 1_001]).await.unwrap();
        here.closed().await;
    };
    let ask = async {
        let refused = there.request(&[0; 1_001], WITHIN).await;
        assert!(matches!(refused, Err(RequestError::Closed { .. })), "{refused:?}");
        let long = there.request(&[0; 1_000], WITHIN).await;
        assert!(matches!(long, Err(RequestError::TooLarge { max: 1_000 })), "{long:?}");
        there.close();
    };
    tokio::join!(serve, ask);
    assert_eq!((one.counts().too_large, two.counts().too_large), (1, 1));
}

#[tokio::test]
async fn a_limit_on_time_holds_where_nobody_answers() {
    let (one, two, _) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, _here) = (there.unwrap(), here.unwrap());
    let late = there.request(b"x", Duration::from_millis(20)).await;
    assert!(matches!(late, Err(RequestError::Timeout { .. })), "{late:?}");
}

#[tokio::test]
async fn a_closed_endpoint_says_so() {
    let (one, two, _) = two();
    let (there, here) = tokio::join!(connect(&one, &two, 2), two.accept());
    let (there, _here) = (there.unwrap(), here.unwrap());
    two.close();
    there.closed().await;
    assert!(two.accept().await.is_none());
    one.close();
    assert!(matches!(connect(&one, &two, 2).await, Err(ConnectError::Closed)));
}
