//! Leaders that are killed under load: how long nothing is acknowledged, and whether anything is lost or there twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netdb::redex::Idempotency;
use serde_json::json;

use crate::etcd::{self, Etcd};
use crate::ours::Ours;
use crate::processes::{Scratch, patiently};
use crate::report::{quantile, spread};

const WRITERS: usize = 6;
/// How long a writer waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_millis(250);
const BEFORE: Duration = Duration::from_millis(1_500);
const AFTER: Duration = Duration::from_secs(4);
/// How long a node may take to fetch what was appended while it was down.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// When something was acknowledged, since the beginning.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Instant>>>);

impl Times {
    fn note(&self) {
        self.0.lock().unwrap().push(Instant::now());
    }

    /// Returns the longest time without anything from a moment on, in seconds.
    fn longest_gap(&self, from: Instant) -> f64 {
        let mut times: Vec<_> = self.0.lock().unwrap().iter().copied().filter(|time| *time > from).collect();
        times.sort();
        let from = std::iter::once(from).chain(times);
        let all: Vec<_> = from.collect();
        all.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).fold(0.0, f64::max)
    }
}

fn report(name: &str, gaps: &[f64], rest: &str) {
    let all: Vec<_> = gaps.iter().map(|gap| format!("{:.0}", gap * 1e3)).collect();
    println!(
        "| {name}: {} kills, nothing acknowledged for | p50 {} s | p90 {:.2} s | p99 {:.2} s | {rest} |\n\neach, in ms: {}\n",
        gaps.len(),
        spread(gaps.iter().copied()).shown(2),
        quantile(gaps, 0.9),
        quantile(gaps, 0.99),
        all.join(" ")
    );
}

pub async fn ours(program: &Path, scratch: Scratch, kills: usize) {
    let ours = Arc::new(Ours::start(program, scratch, 3, true).await);
    let (mut gaps, mut acknowledged, mut elections) = (Vec::new(), vec![0_u64; WRITERS], 0);
    for _ in 0..kills {
        let (times, stop) = (Times::default(), Arc::new(AtomicBool::new(false)));
        let writers: Vec<_> = acknowledged
            .iter()
            .enumerate()
            .map(|(writer, last)| {
                tokio::spawn(write(Arc::clone(&ours), writer, *last, times.clone(), Arc::clone(&stop)))
            })
            .collect();
        tokio::time::sleep(BEFORE).await;
        let leader = patiently("a leader", || ours.leader()).await;
        let other = (leader + 1) % 3;
        let before = term(&ours, other).await;
        let killed = Instant::now();
        ours.kill_node(leader);
        tokio::time::sleep(AFTER).await;
        stop.store(true, Ordering::Relaxed);
        for (last, writer) in acknowledged.iter_mut().zip(writers) {
            *last = writer.await.unwrap();
        }
        gaps.push(times.longest_gap(killed));
        ours.start_node(leader);
        patiently("the killed node", || ours.is_ready(leader)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // One term for the new leader; further ones are elections that nobody needed.
        elections += term(&ours, other).await.saturating_sub(before + 1);
    }
    let (mut lost, mut twice) = (0, 0);
    let mut there = Vec::new();
    for node in 0..3 {
        let written = written(&ours, node, &acknowledged).await;
        for (writer, last) in acknowledged.iter().enumerate() {
            let found = written.get(&format!("w{writer}")).copied().unwrap_or_default();
            // What was asked for and not acknowledged may be there, too: the last number.
            lost += found.last.max(*last) - found.different;
            twice += found.all - found.different;
        }
        there.push(written.values().map(|written| written.different).sum::<u64>().to_string());
    }
    let acknowledged: u64 = acknowledged.iter().sum();
    let there = there.join(", ");
    report(
        "net-db",
        &gaps,
        &format!(
            "{acknowledged} acknowledged; on the nodes {there}; {lost} lost, {twice} twice; {elections} terms too many"
        ),
    );
}

async fn term(ours: &Ours, node: usize) -> u64 {
    let status = ours.get(node, "/v1/cluster").await.unwrap_or_default();
    let logs = status["logs"].as_array().cloned().unwrap_or_default();
    let log = logs.iter().find(|log| log["log"] == "replicated-1");
    log.and_then(|log| log["here"]["term"].as_u64()).unwrap_or(0)
}

/// Appends one number after the other, each until it is acknowledged, and returns the last.
async fn write(ours: Arc<Ours>, writer: usize, mut last: u64, times: Times, stop: Arc<AtomicBool>) -> u64 {
    let (id, mut node, mut client) = (format!("w{writer}"), writer % 3, None);
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &client else {
            client = tokio::time::timeout(PATIENCE, ours.client(node)).await.ok().flatten();
            if client.is_none() {
                node = (node + 1) % 3;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            continue;
        };
        let by = Idempotency::Producer { id: &id, number: last + 1, digest: None };
        let text = format!("w{writer} {}", last + 1);
        match tokio::time::timeout(PATIENCE, connected.append(text.as_bytes(), by)).await {
            Ok(true) => {
                last += 1;
                times.note();
            }
            _ => {
                client = None;
                node = (node + 1) % 3;
            }
        }
    }
    last
}

/// What a node's readers see of a writer's events.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    all: u64,
    different: u64,
    /// The highest number.
    last: u64,
}

/// What of each writer is there, as a node's readers see it: once they see as much as there should be, which one that was
/// killed a moment ago may still be fetching, or after a while that is long enough for that.
async fn written(ours: &Ours, node: usize, acknowledged: &[u64]) -> BTreeMap<String, Written> {
    let sql = json!({ "sql": "select split_part(payload, ' ', 1) as writer, count(*) as events,
        count(distinct payload) as different, max(cast(split_part(payload, ' ', 2) as bigint)) as last
        from channels.orders group by 1" });
    let until = Instant::now() + CAUGHT_UP_WITHIN;
    loop {
        let told = patiently("all events", || ours.post(node, "/v1/sql", &sql)).await;
        let rows = told["rows"].as_array().cloned().unwrap_or_default();
        let written: BTreeMap<_, _> = rows.iter().filter_map(of_row).collect();
        let all = written.values().map(|written| written.different).sum::<u64>();
        if all >= acknowledged.iter().sum() || Instant::now() > until {
            return written;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn of_row(row: &serde_json::Value) -> Option<(String, Written)> {
    let number = |name: &str| row[name].as_u64();
    let written = Written { all: number("events")?, different: number("different")?, last: number("last")? };
    Some((row["writer"].as_str()?.to_owned(), written))
}

pub async fn etcd(scratch: Scratch, kills: usize) {
    let mut etcd = Etcd::start(scratch, 3).await;
    let mut gaps = Vec::new();
    let ids = Arc::new(AtomicU64::new(0));
    for _ in 0..kills {
        let (times, stop) = (Times::default(), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (times, stop, ids) = (times.clone(), Arc::clone(&stop), Arc::clone(&ids));
            writers.push(tokio::spawn(async move {
                let mut clients = Vec::new();
                for node in 0..3 {
                    clients.push(patiently("a client", || etcd::connect(node)).await);
                }
                let mut node = writer % 3;
                while !stop.load(Ordering::Relaxed) {
                    let id = ids.fetch_add(1, Ordering::Relaxed);
                    loop {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let put = clients[node].put(format!("f/{id:016}"), "x", None);
                        if matches!(tokio::time::timeout(PATIENCE, put).await, Ok(Ok(_))) {
                            times.note();
                            break;
                        }
                        node = (node + 1) % 3;
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
            }));
        }
        tokio::time::sleep(BEFORE).await;
        let leader = patiently("a leader of etcd", || etcd.leader()).await;
        let killed = Instant::now();
        etcd.kill_node(leader);
        tokio::time::sleep(AFTER).await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        gaps.push(times.longest_gap(killed));
        etcd.start_node(leader, 3, "existing");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    report("etcd", &gaps, "not counted: its keys are written over");
}
