//! etcd, as Debian has it: `Put` of unique keys, which returns once a majority has synced.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::load;
use crate::processes::{Process, Scratch, patiently};

pub struct Etcd {
    pub nodes: Vec<Option<Process>>,
    scratch: Scratch,
    keys: Arc<AtomicU64>,
}

fn client_url(node: usize) -> String {
    format!("http://127.0.0.1:{}", 27_379 + node)
}

fn peer_url(node: usize) -> String {
    format!("http://127.0.0.1:{}", 27_480 + node)
}

impl Etcd {
    pub async fn start(scratch: Scratch, count: usize) -> Self {
        let mut etcd = Self { nodes: Vec::new(), scratch, keys: Arc::default() };
        for node in 0..count {
            etcd.nodes.push(None);
            etcd.start_node(node, count, "new");
        }
        patiently("a leader of etcd", || async { etcd.leader().await }).await;
        etcd
    }

    pub fn start_node(&mut self, node: usize, count: usize, state: &str) {
        let all: Vec<_> = (0..count).map(|node| format!("e{node}={}", peer_url(node))).collect();
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("e{node}")])
            .arg("--data-dir")
            .arg(self.scratch.join(&format!("e{node}")))
            .args(["--listen-client-urls", &client_url(node), "--advertise-client-urls", &client_url(node)])
            .args(["--listen-peer-urls", &peer_url(node), "--initial-advertise-peer-urls", &peer_url(node)])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", state])
            .args(["--quota-backend-bytes", "8589934592", "--log-level", "error"]);
        self.nodes[node] = Some(Process::start(&mut command));
    }

    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].take().unwrap().kill();
    }

    pub async fn leader(&self) -> Option<usize> {
        for node in 0..self.nodes.len() {
            let Some(mut client) = connect(node).await else { continue };
            let within = std::time::Duration::from_secs(1);
            let Ok(Ok(status)) = tokio::time::timeout(within, client.status()).await else { continue };
            if status.leader() != 0
                && status.header().is_some_and(|header| header.member_id() == status.leader())
            {
                return Some(node);
            }
        }
        None
    }
}

pub async fn connect(node: usize) -> Option<etcd_client::Client> {
    etcd_client::Client::connect([client_url(node)], None).await.ok()
}

struct EtcdClient {
    client: etcd_client::Client,
    keys: Arc<AtomicU64>,
}

impl load::Client for EtcdClient {
    fn append(&self, payload: Bytes) -> BoxFuture<'_, bool> {
        let (mut client, key) = (self.client.clone(), self.keys.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move { client.put(format!("e/{key:016x}"), payload.to_vec(), None).await.is_ok() })
    }
}

impl load::Target for Etcd {
    fn name(&self) -> &'static str {
        "etcd, three nodes, clients on the leader"
    }

    fn connect(&self, _: usize) -> BoxFuture<'_, Arc<dyn load::Client>> {
        Box::pin(async move {
            let leader = patiently("a leader of etcd", || self.leader()).await;
            let client = patiently("a client", || connect(leader)).await;
            Arc::new(EtcdClient { client, keys: Arc::clone(&self.keys) }) as Arc<dyn load::Client>
        })
    }
}
