//! NATS JetStream with three replicas; with `sync_interval: always` where the server is new enough to know it.

use std::process::Command;
use std::sync::Arc;

use async_nats::jetstream;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::load;
use crate::processes::{Process, Scratch, patiently};

const NODES: usize = 3;

pub struct JetStream {
    _nodes: Vec<Process>,
    _scratch: Scratch,
    synced: bool,
}

impl JetStream {
    pub async fn start(scratch: Scratch, synced: bool) -> Self {
        let routes: Vec<_> = (0..NODES).map(|node| format!("nats://127.0.0.1:{}", 26_222 + node)).collect();
        let sync = if synced { "sync_interval: always" } else { "" };
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let (file, store) =
                (scratch.join(&format!("nats{node}.conf")), scratch.join(&format!("nats{node}")));
            let text = format!(
                "server_name: n{node}\nlisten: 127.0.0.1:{}\njetstream {{ store_dir: \"{}\"\nmax_file: 30G\n{sync} }}\n\
                 cluster {{ name: c, listen: 127.0.0.1:{}, routes: [{}] }}\n",
                25_222 + node,
                store.display(),
                26_222 + node,
                routes.join(", ")
            );
            std::fs::write(&file, text).unwrap();
            nodes.push(Process::start(Command::new("nats-server").arg("-c").arg(&file)));
        }
        let jetstream = patiently("a client", || connect(0)).await;
        patiently("a stream", || async {
            let config = jetstream::stream::Config {
                name: "s".to_owned(),
                subjects: vec!["s.>".to_owned()],
                num_replicas: NODES,
                ..Default::default()
            };
            jetstream.create_stream(config).await.ok()
        })
        .await;
        Self { _nodes: nodes, _scratch: scratch, synced }
    }
}

async fn connect(node: usize) -> Option<jetstream::Context> {
    let client = async_nats::connect(format!("127.0.0.1:{}", 25_222 + node)).await.ok()?;
    Some(jetstream::new(client))
}

struct JetStreamClient(jetstream::Context);

impl load::Client for JetStreamClient {
    fn append(&self, payload: Bytes) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.0.publish("s.e", payload).await {
                Ok(acknowledged) => acknowledged.await.is_ok(),
                Err(_) => false,
            }
        })
    }
}

impl load::Target for JetStream {
    fn name(&self) -> &'static str {
        if self.synced { "JetStream R3, synced" } else { "JetStream R3, not synced before it answers" }
    }

    fn connect(&self, number: usize) -> BoxFuture<'_, Arc<dyn load::Client>> {
        Box::pin(async move {
            let client = patiently("a client", || connect(number % NODES)).await;
            Arc::new(JetStreamClient(client)) as Arc<dyn load::Client>
        })
    }
}
