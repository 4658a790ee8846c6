//! `net-db serve`, three of them or one, and clients over QUIC.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use netdb::EventInput;
use netdb::base::{ChannelName, Identity, SystemRandom};
use netdb::client::Session;
use netdb::redex::{AppendRequest, ChannelEvents, Idempotency};
use serde_json::{Value, json};

use crate::load;
use crate::processes::{Process, Scratch, output, patiently};

const PORTS: u16 = 27_700;

pub struct Ours {
    pub nodes: Vec<Node>,
    program: PathBuf,
    scratch: Scratch,
    spread: bool,
}

pub struct Node {
    process: Mutex<Option<Process>>,
    ports: u16,
}

impl Ours {
    pub async fn start(program: &Path, scratch: Scratch, count: u16, spread: bool) -> Self {
        let mut ours = Self { nodes: Vec::new(), program: program.to_owned(), scratch, spread };
        let mut begin = ours.command(0);
        output(if count == 1 { begin.arg("init") } else { begin.args(["cluster", "init"]) });
        ours.begin(0).await;
        for _ in 1..count {
            ours.add().await;
        }
        if count > 1 {
            for node in 0..ours.nodes.len() {
                patiently("three members", || async {
                    let status = ours.get(node, "/v1/cluster").await?;
                    let control = status["logs"][0]["here"]["voters"].as_array()?.len();
                    (status["members"].as_array()?.len() == usize::from(count)
                        && control == usize::from(count))
                    .then_some(())
                })
                .await;
            }
            let replicated = json!({ "factor": count });
            patiently("the channel", || ours.put(1, "/v1/channels/orders", &replicated)).await;
            patiently("a leader", || async { ours.leader().await }).await;
        }
        ours
    }

    fn command(&self, number: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(self.scratch.join(&format!("n{number}"))).arg("--quiet");
        command
    }

    pub fn start_node(&self, node: usize) {
        let ports = self.nodes[node].ports;
        let mut command = self.command(u16::try_from(node).unwrap());
        command.args(["serve", "--port-base", &ports.to_string()]).env("NETDB_LOG", "warn");
        *self.nodes[node].process.lock().unwrap() = Some(Process::start(&mut command));
    }

    pub fn kill_node(&self, node: usize) {
        self.nodes[node].process.lock().unwrap().take().unwrap().kill();
    }

    /// Starts a node for the first time.
    async fn begin(&mut self, number: u16) {
        self.nodes.push(Node { process: Mutex::default(), ports: PORTS + 10 * number });
        self.start_node(usize::from(number));
        patiently("a node", || self.is_ready(usize::from(number))).await;
    }

    /// Starts one more node, which joins.
    pub async fn add(&mut self) {
        let number = u16::try_from(self.nodes.len()).unwrap();
        let told = self.post(0, "/v1/cluster/invite", &json!({})).await.expect("an invitation");
        let mesh = format!("127.0.0.1:{}", PORTS + 10 * number + 1);
        let ticket = told["ticket"].as_str().unwrap().to_owned();
        output(self.command(number).args(["cluster", "join", &ticket, "--listen-mesh", &mesh]));
        self.begin(number).await;
        patiently("its membership", || async {
            let status = self.get(0, "/v1/cluster").await?;
            (status["members"].as_array()?.len() == self.nodes.len()).then_some(())
        })
        .await;
    }

    /// Returns how the channel's log stands on a node.
    pub async fn log(&self, node: usize) -> Option<Value> {
        let status = self.get(node, "/v1/cluster").await?;
        let logs = status["logs"].as_array()?.clone();
        let here = logs.into_iter().find(|log| log["log"] == "replicated-1")?["here"].clone();
        (!here.is_null()).then_some(here)
    }

    /// Returns the bytes of the segments of the channel's log on a node.
    pub fn log_bytes(&self, node: usize) -> u64 {
        let dir = self.scratch.join(&format!("n{node}")).join("logs/replicated-1");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let segments = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "seg"));
        segments.map(|file| file.metadata().unwrap().len()).sum()
    }

    pub fn scratch_file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Returns the processor time that all nodes took so far.
    pub fn processor_seconds(&self) -> f64 {
        let seconds =
            |node: &Node| node.process.lock().unwrap().as_ref().map_or(0.0, Process::processor_seconds);
        self.nodes.iter().map(seconds).sum()
    }

    /// Returns the number of the node that leads the channel's log.
    pub async fn leader(&self) -> Option<usize> {
        for node in 0..self.nodes.len() {
            let Some(status) = self.get(node, "/v1/cluster").await else { continue };
            let logs = status["logs"].as_array()?.clone();
            let here = logs.into_iter().find(|log| log["log"] == "replicated-1")?["here"].clone();
            if here["role"] == "leader" {
                return Some(node);
            }
        }
        None
    }

    pub async fn is_ready(&self, node: usize) -> Option<()> {
        self.get(node, "/health/ready").await.map(|_| ())
    }

    pub async fn get(&self, node: usize, path: &str) -> Option<Value> {
        self.ask(node, "GET", path, None).await
    }

    pub async fn post(&self, node: usize, path: &str, body: &Value) -> Option<Value> {
        self.ask(node, "POST", path, Some(body)).await
    }

    pub async fn put(&self, node: usize, path: &str, body: &Value) -> Option<Value> {
        self.ask(node, "PUT", path, Some(body)).await
    }

    async fn ask(&self, node: usize, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let ports = self.nodes.get(node).map_or(PORTS, |node| node.ports);
        let (url, method) = (format!("http://127.0.0.1:{ports}{path}"), method.to_owned());
        let body = body.map(ToString::to_string);
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(std::time::Duration::from_secs(30)))
                .build()
                .into();
            let answered = match (method.as_str(), body) {
                ("PUT", Some(body)) => agent.put(&url).header("content-type", "application/json").send(body),
                (_, Some(body)) => agent.post(&url).header("content-type", "application/json").send(body),
                _ => agent.get(&url).call(),
            };
            let text = answered.ok()?.body_mut().with_config().limit(1 << 30).read_to_string().ok()?;
            serde_json::from_str(&text).ok()
        })
        .await
        .unwrap()
    }

    /// Connects a client to a node.
    pub async fn client(&self, node: usize) -> Option<OurClient> {
        let identity = Arc::new(Identity::random(&SystemRandom));
        let told = self.post(node, "/v1/sessions", &json!({ "key": identity.public_key() })).await?;
        let session: Session = serde_json::from_value(told).ok()?;
        let client = netdb::client::Client::connect(&session, identity, &SystemRandom).await.ok()?;
        Some(OurClient { client, channel: ChannelName::new("orders").unwrap() })
    }
}

pub struct OurClient {
    client: netdb::client::Client,
    channel: ChannelName,
}

impl OurClient {
    pub async fn append(&self, payload: &[u8], idempotency: Idempotency<'_>) -> bool {
        let events = [EventInput::new("order.placed", payload)];
        let parts = [ChannelEvents { channel: &self.channel, events: &events }];
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        self.client.append(&request).await.is_ok_and(|outcome| outcome.at().is_some())
    }
}

impl load::Client for OurClient {
    fn append(&self, payload: Bytes) -> BoxFuture<'_, bool> {
        Box::pin(async move { OurClient::append(self, &payload, Idempotency::None).await })
    }
}

impl load::Target for Ours {
    fn name(&self) -> &'static str {
        match (self.nodes.len(), self.spread) {
            (1, _) => "net-db, one node, durable",
            (_, false) => "net-db, three nodes, clients on the leader",
            (_, true) => "net-db, three nodes, clients on all",
        }
    }

    fn connect(&self, number: usize) -> BoxFuture<'_, Arc<dyn load::Client>> {
        Box::pin(async move {
            let node = match (self.nodes.len(), self.spread) {
                (1, _) => 0,
                (count, true) => number % count,
                (_, false) => self.leader().await.unwrap_or(0),
            };
            let client = patiently("a client", || self.client(node)).await;
            Arc::new(client) as Arc<dyn load::Client>
        })
    }
}
