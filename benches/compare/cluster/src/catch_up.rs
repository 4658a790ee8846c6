//! How fast a replica that has nothing gets a log.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::{Shape, Target, measure};
use crate::ours::Ours;
use crate::processes::{Scratch, patiently};

const SYNC_EVERY: usize = 4 << 20;

/// Fills a log, has it moved to a node that is new, and tells how long that took, beside writing as much with a sync each
/// 4 MiB.
pub async fn ours(program: &Path, scratch: Scratch, bytes: usize, seconds: f64) {
    let mut ours = Ours::start(program, scratch, 3, false).await;
    let filled = Arc::new(ours);
    let target: Arc<dyn Target> = filled.clone();
    let shape = Shape { clients: 64, outstanding: 16 };
    let events: usize = {
        let runs = measure(&target, shape, bytes, Duration::from_secs_f64(seconds), 1).await;
        runs.iter().map(|run| run.latencies.len()).sum()
    };
    drop(target);
    ours = Arc::into_inner(filled).expect("nobody else has it");
    let position = |node: usize| {
        let ours = &ours;
        async move { ours.log(node).await?["visible"].as_u64() }
    };
    let end = patiently("the end of the log", || position(0)).await;
    let log_bytes = ours.log_bytes(0);
    let synced = synced_write(&ours.scratch_file("disk"), log_bytes);
    ours.add().await;
    let began = Instant::now();
    let moving = json!({ "log": "replicated-1", "nodes": [1, 2, 4] });
    patiently("the move", || ours.post(0, "/v1/cluster/move", &moving)).await;
    loop {
        let position = ours.log(3).await.and_then(|log| log["visible"].as_u64());
        if position.is_some_and(|position| position >= end) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed().as_secs_f64();
    let rate = log_bytes as f64 / took / 1e6;
    println!(
        "| net-db: catch-up of an empty replica, {bytes} B | {:.0} MB in {took:.2} s: {rate:.0} MB/s | disk, synced each 4 MiB: {:.0} MB/s | **{:.2} x** | {:.0} k events/s |",
        log_bytes as f64 / 1e6,
        synced / 1e6,
        rate * 1e6 / synced,
        events as f64 / took / 1e3
    );
}

/// Returns how many bytes a second the disk takes.
fn synced_write(path: &Path, bytes: u64) -> f64 {
    let chunk: Vec<u8> = (0..SYNC_EVERY).map(|at| (at * 31 % 251) as u8).collect();
    let mut file = std::fs::File::create(path).unwrap();
    let (began, mut written) = (Instant::now(), 0);
    while written < bytes {
        file.write_all(&chunk).unwrap();
        file.sync_data().unwrap();
        written += chunk.len() as u64;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(path);
    rate
}
