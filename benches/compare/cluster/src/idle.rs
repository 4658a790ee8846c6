//! What a cluster costs that has many channels and nothing to do.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ours::Ours;
use crate::processes::{Scratch, patiently};
use crate::report::spread;

/// For how long each look goes on.
const LOOK: Duration = Duration::from_secs(5);

/// Creates channels, waits until nothing is under way, and looks at the processor time of all nodes.
pub async fn ours(program: &Path, scratch: Scratch, channels: usize, runs: usize) {
    let ours = Ours::start(program, scratch, 3, false).await;
    let replicated = json!({ "factor": 3 });
    let began = Instant::now();
    for number in 1..channels {
        let path = format!("/v1/channels/c{number}");
        patiently("a channel", || ours.put(0, &path, &replicated)).await;
    }
    let created = began.elapsed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut shares = Vec::new();
    for _ in 0..runs {
        let (before, began) = (ours.processor_seconds(), Instant::now());
        tokio::time::sleep(LOOK).await;
        shares.push(100.0 * (ours.processor_seconds() - before) / began.elapsed().as_secs_f64());
    }
    println!(
        "| net-db: three nodes, {channels} replicated channels, idle | {} % of one core, all nodes | {:.1} ms a channel to create |",
        spread(shares.into_iter()).shown(1),
        1e3 * created.as_secs_f64() / channels as f64
    );
}
