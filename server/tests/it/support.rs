//! A server, and a client that sends what the test says, byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use netdb::base::Doors;
use netdb::{Error, NetDb};
use serde_json::Value;
use server::{Config, Running, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const JSON: &str = "content-type: application/json\r\n";
pub const BATCH: &str = "content-type: application/vnd.netdb.batch+json\r\n";

/// A server that answers.
pub struct Fixture {
    pub running: Running,
    pub address: SocketAddr,
}

pub fn config() -> Config {
    let mut config = Config::default();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.clients = config.http.listen;
    config
}

/// Opens a database in memory with the models that a server has.
pub fn in_memory(doors: Doors) -> Result<NetDb, Error> {
    NetDb::builder().in_memory().doors(doors).with_tasks().with_memories().open()
}

pub async fn start() -> Fixture {
    start_with(config()).await
}

pub async fn start_with(config: Config) -> Fixture {
    begin(config, Doors::memory(), in_memory).await
}

pub async fn begin(
    config: Config,
    doors: Doors,
    open: impl FnOnce(Doors) -> Result<NetDb, Error> + Send + 'static,
) -> Fixture {
    let mut running = Server::start(config, doors, open).await.unwrap();
    running.opened().await.unwrap();
    Fixture { address: running.http(), running }
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Asserts a refusal: status, kind, and what its message says; and that it names the next step.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str, message: &str) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let error = self.json()["error"].clone();
        assert_eq!(error["kind"], kind, "{error}");
        assert!(error["message"].as_str().unwrap().contains(message), "expected `{message}` in {error}");
        assert!(!error["next"].as_str().unwrap().is_empty(), "{error}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        error
    }
}

impl Fixture {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request with these header lines and this body on a connection of its own.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        send_to(self.connect().await, self.address, method, path, headers, body.as_ref()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "").await
    }

    pub async fn post(&self, path: &str, json: &str) -> Reply {
        self.send("POST", path, JSON, json).await
    }

    /// Appends a JSON payload to a channel.
    pub async fn append(&self, channel: &str, payload: &str) -> Value {
        let reply = self.post(&format!("/v1/channels/{channel}/events"), payload).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// Opens a stream of messages.
    pub async fn stream(&self, path: &str, headers: &str) -> Messages {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut messages = Messages { stream, raw: Vec::new(), text: String::new(), is_over: false };
        let end = loop {
            if let Some(end) = find(&messages.raw, b"\r\n\r\n") {
                break end;
            }
            messages.more().await;
        };
        let head = String::from_utf8(messages.raw.drain(..end + 4).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        messages
    }
}

/// Sends a request on a connection, and reads the answer to its end.
pub async fn send_to(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Reply {
    let host =
        if headers.to_lowercase().contains("host:") { String::new() } else { format!("host: {host}\r\n") };
    let length = if headers.contains("transfer-encoding") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}{headers}{length}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // Who refuses a body does not read it.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    read_reply(stream).await
}

/// Reads an answer until the other side closes the connection.
pub async fn read_reply(mut stream: impl AsyncRead + Unpin) -> Reply {
    let mut raw = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), async {
        let mut buffer = vec![0; 64 << 10];
        // A connection that is reset behind an answer has answered.
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            raw.extend_from_slice(&buffer[..count]);
        }
    });
    read.await.expect("an answer within a minute");
    parse(&raw)
}

fn parse(raw: &[u8]) -> Reply {
    let end = find(raw, b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(raw)));
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let rest = &raw[end + 4..];
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(rest).0 } else { rest.to_vec() };
    Reply { status, head, body }
}

/// Takes chunks apart; tells whether the last one, which is empty, was there.
pub fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(data) = rest.get(end + 2..end + 2 + size) else { break };
        body.extend_from_slice(data);
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
    (body, false)
}

pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The messages of a stream, as they come.
pub struct Messages {
    pub stream: TcpStream,
    raw: Vec<u8>,
    text: String,
    is_over: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
}

impl Messages {
    async fn more(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        let read = tokio::time::timeout(Duration::from_secs(60), self.stream.read(&mut buffer));
        match read.await.expect("a message within a minute") {
            Ok(count @ 1..) => self.raw.extend_from_slice(&buffer[..count]),
            _ => self.is_over = true,
        }
    }

    /// Takes whole chunks out of what came.
    fn take_chunks(&mut self) {
        while let Some(end) = find(&self.raw, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..end]).unwrap(), 16).unwrap();
            if size == 0 {
                self.is_over = true;
                return;
            }
            if self.raw.len() < end + 2 + size + 2 {
                return;
            }
            self.text.push_str(std::str::from_utf8(&self.raw[end + 2..end + 2 + size]).unwrap());
            self.raw.drain(..end + 2 + size + 2);
        }
    }

    /// Waits for the next message; comments are passed over. `None` at the end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            self.take_chunks();
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(message) = message(&block) {
                    return Some(message);
                }
            }
            if self.is_over {
                return None;
            }
            self.more().await;
        }
    }

    /// Waits for messages and returns their ids as numbers.
    pub async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let message = self.next().await.expect("more messages");
            ids.push(message.id.unwrap().parse().unwrap());
        }
        ids
    }
}

fn message(block: &str) -> Option<Message> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Message { id: field("id").map(str::to_owned), event: field("event").unwrap().to_owned(), data })
}
