//! Who sends too much: it is turned away or waits, is counted, and others are served.

use std::net::IpAddr;

use base::SeededRandom;
use quinn::udp::Transmit;

use super::super::taking::GREETINGS_OF_ADDRESS_MAX;
use super::*;
use crate::{SimulatedNetwork, Weather};

/// A node with its defaults, at 10.0.0.1.
fn simulated(network: &SimulatedNetwork, node: u8) -> Endpoint {
    let place = (ClusterId::from_bytes([9; 16]), NodeId(node.into()));
    let (socket, random) = (network.socket(address(node)), SeededRandom::new(node.into()));
    let options = EndpointOptions::default();
    Endpoint::open(socket, identity(node), place, Arc::new(Anybody), options, &random).unwrap()
}

fn address(node: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, node]), 7000)
}

/// Somebody who speaks QUIC and shows a key, and keeps to nothing else.
fn stranger(network: &SimulatedNetwork, node: u8) -> quinn::Endpoint {
    let socket = network.socket(address(node)).inner;
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, runtime).unwrap()
}

fn dial(from: &quinn::Endpoint, protocol: Protocol) -> quinn::Connecting {
    let names = vec![protocol.name().as_bytes().to_vec()];
    let crypto = tls::client_speaking(&identity(2), identity(1).public_key(), names).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    from.connect_with(config, address(1), "netdb").unwrap()
}

/// Answers whatever is asked, on each connection.
async fn serve(endpoint: Arc<Endpoint>) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(async move {
            while let Ok(mut request) = connection.next_request().await {
                tokio::spawn(async move {
                    if let Ok(body) = request.body().await {
                        let _ = request.answer(&body).await;
                    }
                });
            }
        });
    }
}

/// Checks that an honest node connects and is answered, and soon.
async fn is_served(network: &SimulatedNetwork, node: u8) {
    let honest = simulated(network, node);
    let asked = async {
        let connection =
            honest.connect(identity(1).public_key(), address(1), Protocol::Client).await.unwrap();
        connection.request(b"are you there?", Duration::from_secs(1)).await.unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.unwrap();
    assert_eq!(answer, b"are you there?");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_handshakes_from_one_address_leaves_room_for_others() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let node = Arc::new(simulated(&network, 1));
    tokio::spawn(serve(Arc::clone(&node)));
    let flood = stranger(&network, 66);
    let mut silent = Vec::new();
    for _ in 0..3 * GREETINGS_OF_ADDRESS_MAX {
        silent.push(dial(&flood, Protocol::Raft).await);
    }
    let connected = silent.iter().filter(|connection| connection.is_ok()).count();
    assert_eq!(connected, GREETINGS_OF_ADDRESS_MAX);
    let counts = node.counts();
    assert_eq!(counts.turned_away, 2 * u64::try_from(GREETINGS_OF_ADDRESS_MAX).unwrap());
    assert!(counts.retries > 100, "{counts:?}");
    is_served(&network, 3).await;
    // Who says nothing loses its place after a while.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(node.counts().greetings_unfinished, u64::try_from(GREETINGS_OF_ADDRESS_MAX).unwrap());
    dial(&flood, Protocol::Raft).await.unwrap();
    is_served(&network, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_streams_waits_and_others_are_served() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let node = Arc::new(simulated(&network, 1));
    tokio::spawn(serve(Arc::clone(&node)));
    let flood = stranger(&network, 66);
    let connection = dial(&flood, Protocol::Raft).await.unwrap();
    let answer = say_hello(&connection, Hello { cluster: ClusterId::from_bytes([9; 16]), node: NodeId(2) });
    assert_eq!(answer.await.unwrap().unwrap().refusal, None);
    let mut open = Vec::new();
    let opening = async {
        loop {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            // Begun and never ended.
            send.write_all(&[7; 100]).await.unwrap();
            open.push((send, receive));
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), opening).await.is_err());
    let most = usize::try_from(STREAMS_MAX).unwrap();
    assert!((most / 2..=most).contains(&open.len()), "{}", open.len());
    is_served(&network, 3).await;
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_are_no_quic_at_all_change_nothing() {
    let network = SimulatedNetwork::new(1, Weather::fair());
    let node = Arc::new(simulated(&network, 1));
    tokio::spawn(serve(Arc::clone(&node)));
    let (socket, random) = (network.socket(address(66)).inner, SeededRandom::new(5));
    for round in 0..200 {
        for length in [1, 20, 40, 1_200, 1_400] {
            let mut contents = vec![0; length];
            random.fill(&mut contents);
            // Half of them look like the first packet of a connection.
            if round % 2 == 0 {
                contents.splice(..5.min(length), [0xC3, 0, 0, 0, 1].into_iter().take(length));
            }
            let transmit = Transmit {
                destination: address(1),
                ecn: None,
                contents: &contents,
                segment_size: None,
                src_ip: None,
            };
            socket.try_send(&transmit).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    is_served(&network, 3).await;
    assert_eq!(node.counts().let_in, 1);
}
