//! Clients that append as fast as they are answered.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

/// How many clients there are, and how many requests each has outstanding.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub clients: usize,
    pub outstanding: usize,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('x').and_then(|(clients, outstanding)| {
            Some(Self { clients: clients.parse().ok()?, outstanding: outstanding.parse().ok()? })
        });
        parsed.ok_or_else(|| format!("`{text}` is no shape: write it like 64x16"))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.clients, self.outstanding)
    }
}

/// Something that takes appends.
pub trait Target: Send + Sync {
    fn name(&self) -> &'static str;

    /// Connects a client; clients of the same number are told apart by nothing.
    fn connect(&self, number: usize) -> BoxFuture<'_, Arc<dyn Client>>;
}

/// A connection of a client.
pub trait Client: Send + Sync {
    /// Appends, and tells whether that is as safe as the target promises.
    fn append(&self, payload: bytes::Bytes) -> BoxFuture<'_, bool>;
}

/// What one run came to.
#[derive(Debug, Clone, Default)]
pub struct Run {
    pub per_second: f64,
    /// In microseconds, sorted.
    pub latencies: Vec<u32>,
    pub failed: u64,
}

/// A payload: JSON, of which the filling does not repeat.
pub fn payload(bytes: usize) -> bytes::Bytes {
    let mut text = br#"{"type":"order.placed","id":"5f0c","amount":4711,"note":""#.to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    while text.len() < bytes.saturating_sub(2) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(b'a' + u8::try_from((state >> 33) % 26).unwrap());
    }
    text.extend(br#""}"#);
    text.into()
}

/// Runs a load once to warm up, then as often as asked.
pub async fn measure(
    target: &Arc<dyn Target>,
    shape: Shape,
    bytes: usize,
    within: Duration,
    runs: usize,
) -> Vec<Run> {
    let mut clients = Vec::new();
    for number in 0..shape.clients {
        clients.push(target.connect(number).await);
    }
    run(&clients, shape, bytes, within / 4).await;
    let mut measured = Vec::new();
    for _ in 0..runs {
        measured.push(run(&clients, shape, bytes, within).await);
    }
    measured
}

async fn run(clients: &[Arc<dyn Client>], shape: Shape, bytes: usize, within: Duration) -> Run {
    let payload = payload(bytes);
    let began = Instant::now();
    let ends = began + within;
    let mut tasks = Vec::new();
    for client in clients {
        for _ in 0..shape.outstanding {
            let (client, payload) = (Arc::clone(client), payload.clone());
            tasks.push(tokio::spawn(async move {
                let (mut latencies, mut failed) = (Vec::new(), 0);
                while Instant::now() < ends {
                    let asked = Instant::now();
                    match client.append(payload.clone()).await {
                        true => {
                            latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX))
                        }
                        false => failed += 1,
                    }
                }
                (latencies, failed)
            }));
        }
    }
    let mut run = Run::default();
    for task in tasks {
        let (latencies, failed) = task.await.unwrap();
        run.latencies.extend(latencies);
        run.failed += failed;
    }
    run.per_second = run.latencies.len() as f64 / began.elapsed().as_secs_f64();
    run.latencies.sort_unstable();
    run
}
