//! Redis Streams with `appendfsync always`, one node: `XADD` over TCP, as many at once as are outstanding.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::load;
use crate::processes::{Process, Scratch, patiently};

const PORT: u16 = 26_399;

pub struct Redis {
    _process: Process,
    _scratch: Scratch,
}

impl Redis {
    pub async fn start(scratch: Scratch) -> Self {
        let dir = scratch.join("redis");
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &PORT.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&dir);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        let process = Process::start(&mut command);
        patiently("redis", || async { TcpStream::connect(("127.0.0.1", PORT)).await.ok() }).await;
        Self { _process: process, _scratch: scratch }
    }
}

type Ask = (Bytes, oneshot::Sender<bool>);

struct RedisClient(mpsc::Sender<Ask>);

async fn connect() -> Option<RedisClient> {
    let stream = TcpStream::connect(("127.0.0.1", PORT)).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (reading, mut writing) = stream.into_split();
    let (asks, mut asked) = mpsc::channel::<Ask>(1_024);
    let (waits, mut waiting) = mpsc::channel::<oneshot::Sender<bool>>(4_096);
    tokio::spawn(async move {
        let mut out = Vec::new();
        while let Some(first) = asked.recv().await {
            let mut next = Some(first);
            out.clear();
            while let Some((payload, answer)) = next {
                out.extend(
                    format!("*5\r\n$4\r\nXADD\r\n$1\r\ne\r\n$1\r\n*\r\n$1\r\nd\r\n${}\r\n", payload.len())
                        .as_bytes(),
                );
                out.extend(&payload);
                out.extend(b"\r\n");
                if waits.send(answer).await.is_err() {
                    return;
                }
                next = asked.try_recv().ok();
            }
            if writing.write_all(&out).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut reading = BufReader::with_capacity(64 << 10, reading);
        let (mut line, mut id) = (String::new(), Vec::new());
        while let Some(answer) = waiting.recv().await {
            line.clear();
            if !reading.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
                return;
            }
            let length: Option<usize> = line.strip_prefix('$').and_then(|rest| rest.trim().parse().ok());
            if let Some(length) = length {
                id.resize(length + 2, 0);
                if reading.read_exact(&mut id).await.is_err() {
                    return;
                }
            }
            let _ = answer.send(length.is_some());
        }
    });
    Some(RedisClient(asks))
}

impl load::Client for RedisClient {
    fn append(&self, payload: Bytes) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.0.send((payload, answer)).await.is_ok() && answered.await.unwrap_or(false)
        })
    }
}

impl load::Target for Redis {
    fn name(&self) -> &'static str {
        "Redis Streams, one node, AOF always"
    }

    fn connect(&self, _: usize) -> BoxFuture<'_, Arc<dyn load::Client>> {
        Box::pin(async move {
            let client = patiently("a client", connect).await;
            Arc::new(client) as Arc<dyn load::Client>
        })
    }
}
