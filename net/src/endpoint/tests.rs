//! What somebody can do who does not keep to the protocol.

use super::taking::GREETINGS_TRUSTED_MAX;
use super::*;
use crate::greeting::VERSION;

mod floods;

#[derive(Debug)]
struct Anybody;

impl Admission for Anybody {
    fn admit(&self, _: &Asks) -> Result<(), Refusal> {
        Ok(())
    }
}

fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(&[seed; 32]))
}

fn node() -> Endpoint {
    bind(1, EndpointOptions { greeted_within: Duration::from_millis(400), ..EndpointOptions::default() })
}

fn bind(seed: u8, options: EndpointOptions) -> Endpoint {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let place = (ClusterId::from_bytes([9; 16]), NodeId(seed.into()));
    let socket = Socket::bind(any).unwrap();
    Endpoint::open(socket, identity(seed), place, Arc::new(Anybody), options, &base::SystemRandom).unwrap()
}

/// Connects as TLS wants it, and no further.
async fn connect(to: &Endpoint, names: &[&str]) -> Result<quinn::Connection, quinn::ConnectionError> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = quinn::Endpoint::client(any).unwrap();
    let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let crypto = tls::client_speaking(&identity(2), identity(1).public_key(), names).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    endpoint.connect_with(config, to.local_address().unwrap(), "netdb").unwrap().await
}

/// Says something first; returns the answer.
async fn say(to: &Endpoint, bytes: &[u8]) -> Option<Answer> {
    let connection = connect(to, &[Protocol::Raft.name()]).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    Answer::decode(&receive.read_to_end(10_000).await.ok()?)
}

fn hello() -> [u8; GREETING_BYTES] {
    Hello { cluster: ClusterId::from_bytes([9; 16]), node: NodeId(2) }.encode()
}

/// Checks that a node still lets in who keeps to the protocol.
async fn goes_on(node: &Endpoint) {
    let other = bind(3, EndpointOptions::default());
    let address = node.local_address().unwrap();
    let connected = other.connect(identity(1).public_key(), address, Protocol::Client).await.unwrap();
    loop {
        let taken = node.accept().await.unwrap();
        if taken.peer() == identity(3).public_key() {
            assert_eq!(taken.protocol(), connected.protocol());
            return;
        }
    }
}

#[tokio::test]
async fn a_hello_that_does_not_read_is_refused_by_its_reason() {
    let node = node();
    assert_eq!(say(&node, &hello()).await.unwrap().refusal, None);
    let mut newer = hello();
    newer[8] = u8::try_from(VERSION).unwrap() + 1;
    let mut featured = hello();
    featured[10] = 1;
    for (bytes, code) in [
        (newer, RefusalCode::Version),
        (featured, RefusalCode::Version),
        ([0; GREETING_BYTES], RefusalCode::Malformed),
        ([0xFF; GREETING_BYTES], RefusalCode::Malformed),
    ] {
        let refusal = say(&node, &bytes).await.unwrap().refusal.unwrap();
        assert_eq!(refusal.code, code, "{}", refusal.reason);
    }
    goes_on(&node).await;
}

#[tokio::test]
async fn a_hello_that_is_cut_short_ends_the_connection() {
    let node = node();
    for length in [0, 1, GREETING_BYTES - 1] {
        assert_eq!(say(&node, &hello()[..length]).await, None, "{length}");
    }
    goes_on(&node).await;
}

#[tokio::test]
async fn any_changed_bit_of_a_hello_is_an_answer_and_never_an_end() {
    let node = node();
    for place in 0..GREETING_BYTES {
        let mut bytes = hello();
        bytes[place] ^= 1 << (place % 8);
        let answer = say(&node, &bytes).await.unwrap();
        // Another node's number is for the admission to judge.
        assert_eq!(answer.refusal.is_none(), (32..40).contains(&place), "{place}");
    }
    goes_on(&node).await;
}

#[tokio::test]
async fn who_says_nothing_is_let_go_after_a_while() {
    let node = node();
    let connection = connect(&node, &[Protocol::Raft.name()]).await.unwrap();
    let silent_stream = connect(&node, &[Protocol::Raft.name()]).await.unwrap();
    let (mut send, _receive) = silent_stream.open_bi().await.unwrap();
    send.write_all(&hello()[..5]).await.unwrap();
    connection.closed().await;
    silent_stream.closed().await;
    goes_on(&node).await;
}

#[tokio::test]
async fn a_protocol_that_is_not_known_is_not_spoken() {
    let node = node();
    for names in [&["netdb-raft/2"][..], &["h3"], &[]] {
        assert!(connect(&node, names).await.is_err(), "{names:?}");
    }
    goes_on(&node).await;
}

#[tokio::test]
async fn a_crowd_of_strangers_who_say_nothing_does_not_keep_members_out() {
    let node = node();
    let mut strangers = Vec::new();
    for _ in 0..2 * GREETINGS_TRUSTED_MAX {
        strangers.push(connect(&node, &[Protocol::Raft.name()]).await);
    }
    goes_on(&node).await;
}

#[tokio::test]
async fn who_is_not_let_in_yet_has_one_stream_and_its_datagrams_are_dropped() {
    let node = node();
    let connection = connect(&node, &[Protocol::Gossip.name()]).await.unwrap();
    for _ in 0..100 {
        connection.send_datagram(vec![1; 1_000].into()).unwrap();
    }
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let second = connection.open_bi();
    let early = tokio::time::timeout(Duration::from_millis(50), second).await;
    assert!(early.is_err(), "a second stream before the greeting");
    assert!(tokio::time::timeout(Duration::from_millis(50), connection.open_uni()).await.is_err());
    send.write_all(&hello()).await.unwrap();
    send.finish().unwrap();
    let answer = receive.read_to_end(1_000).await.unwrap();
    assert_eq!(Answer::decode(&answer).unwrap().refusal, None);
    let taken = node.accept().await.unwrap();
    connection.send_datagram(vec![2; 3].into()).unwrap();
    assert_eq!(taken.next_datagram().await.unwrap(), vec![2; 3]);
    assert!(node.counts().datagrams_unread > 0);
    // Now there are streams.
    for _ in 0..STREAMS_MAX / 2 {
        drop(connection.open_bi().await.unwrap());
    }
}

#[tokio::test]
async fn who_is_not_let_in_yet_sends_only_so_much() {
    let node = node();
    let connection = connect(&node, &[Protocol::Raft.name()]).await.unwrap();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    let mut written = 0;
    // It does not say hello, so that nothing is read.
    let flood = async {
        while let Ok(bytes) = send.write(&[0xFF; 1_000]).await {
            written += bytes;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), flood).await.unwrap();
    let most = usize::try_from(STRANGER_WINDOW_BYTES).unwrap();
    assert!(written > 0 && written <= most + GREETING_BYTES, "{written}");
    // Who is let in may send more, though nobody has read any of it yet.
    let member = connect(&node, &[Protocol::Raft.name()]).await.unwrap();
    let place = Hello { cluster: ClusterId::from_bytes([9; 16]), node: NodeId(2) };
    assert_eq!(say_hello(&member, place).await.unwrap().unwrap().refusal, None);
    let _taken = node.accept().await.unwrap();
    let (mut send, _receive) = member.open_bi().await.unwrap();
    let sent = send.write_all(&[1; 1 << 20]);
    tokio::time::timeout(Duration::from_secs(2), sent).await.unwrap().unwrap();
}
