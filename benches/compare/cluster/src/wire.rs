//! What the transport alone can do: one process sends another what a leader sends to a replica that catches up, and neither
//! does anything with it. No replica can be quicker than that.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use netdb::base::{ClusterId, Identity, NodeId, SeededRandom};
use netdb::net::{Admission, Asks, Endpoint, EndpointOptions, Protocol, Refusal, Socket};

/// Bytes of a message, and how many of them are on their way, as in replication.
const MESSAGE_BYTES: usize = 2 << 20;
const ON_THE_WAY: usize = 4;
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Everybody;

impl Admission for Everybody {
    fn admit(&self, _: &Asks) -> Result<(), Refusal> {
        Ok(())
    }
}

fn open(node: u8) -> Endpoint {
    let place = (ClusterId::from_bytes([9; 16]), NodeId(node.into()));
    let socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let identity = Arc::new(Identity::from_seed(&[node; 32]));
    let random = SeededRandom::new(node.into());
    Endpoint::open(socket, identity, place, Arc::new(Everybody), EndpointOptions::default(), &random)
        .expect("an endpoint")
}

/// The other side: takes every message whole, and says that it did.
pub async fn far() {
    let endpoint = open(2);
    println!("{}", endpoint.local_address().expect("an address"));
    let connection = endpoint.accept().await.expect("a connection");
    while let Ok(mut request) = connection.next_request().await {
        tokio::spawn(async move {
            let taken = request.body().await.expect("a message");
            let _ = request.answer(&taken[..1]).await;
        });
    }
}

/// Sends for some seconds, and tells how much came.
pub async fn measure(seconds: f64) {
    let program = std::env::current_exe().expect("this program");
    let mut far = Command::new(program).arg("wire-far").stdout(Stdio::piped()).spawn().expect("a process");
    let mut lines = BufReader::new(far.stdout.take().expect("its output"));
    let mut line = String::new();
    // The first lines are the head of a table.
    let address: SocketAddr = loop {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "the other process ended");
        if let Ok(address) = line.trim().parse() {
            break address;
        }
    };
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    let endpoint = open(1);
    let key = Identity::from_seed(&[2; 32]).public_key();
    let connection = Arc::new(endpoint.connect(key, address, Protocol::Raft).await.expect("a connection"));
    let message: Arc<[u8]> = (0..MESSAGE_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds);
    let sent = futures::stream::repeat(())
        .take_while(|()| std::future::ready(Instant::now() < end))
        .map(|()| {
            let (connection, message) = (Arc::clone(&connection), Arc::clone(&message));
            tokio::spawn(async move { connection.request(&message, WITHIN).await.expect("an answer") })
        })
        .buffered(ON_THE_WAY)
        .count()
        .await;
    let took = began.elapsed().as_secs_f64();
    let _ = far.kill();
    let _ = far.wait();
    let bytes = (sent * MESSAGE_BYTES) as f64;
    println!("| the transport alone, {ON_THE_WAY} messages of 2 MiB on their way | {:.0} MB in {took:.2} s: {:.0} MB/s | | | |", bytes / 1e6, bytes / took / 1e6);
}
