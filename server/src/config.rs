//! Settings: gathered from a file, the environment and flags, each with where it comes from.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

mod fault;
mod file;
mod keys;
mod load;
#[cfg(test)]
mod tests;
mod value;

pub use fault::{ConfigError, Fault};
pub(crate) use load::missing_for;
pub use load::{Flags, Loaded, Settings, Sources, load};

use netdb::KeepOptions;
use netdb::replication::Peak;

use crate::access::Token;
use crate::limits::{HTTP_PORT_OFFSET, MESH_PORT_OFFSET, PORT_BASE};

/// Everything that a server is told. [`Config::default`] is what an empty configuration gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The HTTP door.
    pub http: HttpConfig,
    /// What SQL statements may use.
    pub sql: SqlConfig,
    /// When blobs are collected.
    pub blobs: KeepOptions,
    /// How other nodes are met; of use in a directory that belongs to a cluster.
    pub mesh: MeshConfig,
    /// The address of clients that append over QUIC. Only keys that were given a session over HTTP are let in. Default:
    /// any port on 127.0.0.1, which a session says.
    pub clients: SocketAddr,
    /// How long requests may go on once the server is told to stop, and how long closing may take on top. Longer
    /// loses fewer answers, shorter restarts sooner. Default: 10 s.
    pub shutdown_within: Duration,
    /// What is logged: directives such as `info` or `server=debug`. Default: `info,openraft=warn`.
    pub log_filter: String,
    /// How it is written. Default: for people on a terminal, else JSON lines.
    pub log_format: LogFormat,
    /// Who may do what; without tokens everybody who reaches the (loopback) address may do everything.
    pub tokens: Vec<Token>,
}

/// The HTTP door.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The address. Off loopback TLS and at least one token are needed. Default: 127.0.0.1:7700.
    pub listen: SocketAddr,
    /// Certificate and key; without them HTTP is in the clear.
    pub tls: Option<TlsFiles>,
    /// Largest body of a request, in bytes. More takes that much memory for each request. Default: 48 MiB, which an
    /// append of the largest entry fits in as base64.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are held at a time; a request whose body does not fit is refused with 503. At least
    /// the largest body. Default: 512 MiB.
    pub bodies_bytes_max: usize,
    /// Requests that are worked on at a time, streams apart; the others are refused with 503. Default: 256.
    pub requests_max: usize,
    /// Tails and watches that are open at a time. Default: 256.
    pub streams_max: usize,
    /// Connections at a time; the others wait to be accepted. Default: 1,024.
    pub connections_max: usize,
    /// How long a client may take for the head of a request, and how long a connection may be idle. Default: 10 s.
    pub header_within: Duration,
    /// How long a client may leave a body unsent, or an answer untaken, without a byte moving. Default: 30 s.
    pub stall_within: Duration,
    /// How long a request may take until its answer begins. Default: 60 s.
    pub answer_within: Duration,
    /// How long a stream may be silent before a comment is sent. Default: 15 s.
    pub keep_alive: Duration,
}

/// How other nodes are met.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MeshConfig {
    /// The address, over UDP. Only members of the cluster are let in. Default: 127.0.0.1:7701.
    pub listen: SocketAddr,
    /// Where other nodes find it, when not there. Default: where it listens.
    pub advertise: Option<SocketAddr>,
    /// What the node calls itself. Default: node.
    pub name: String,
    /// How long a member may be gone until others hold what it held, where there are others; without it, until it is
    /// removed. Longer moves less data about, shorter is sooner as safe as before. Default: 10 min.
    pub replace_after: Option<Duration>,
    /// What its network carries at most, in bytes a second: bringing replicas up that are behind takes half of it, unless their
    /// log says otherwise. More is sooner as safe as before, less leaves more to everything else. Default: no limit.
    pub peak: Peak,
}

/// Certificate and key of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// What SQL statements may use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqlConfig {
    /// Statements at a time; the others are refused with 503. Default: 8.
    pub statements_max: usize,
    /// Rows of a result; a request can ask for fewer. Default: 1,000,000.
    pub rows_max: u64,
    /// Bytes that one statement may hold for sorting, grouping and joining. Default: 256 MiB.
    pub memory_bytes: usize,
    /// Bytes that one statement may read of logs and models; 0 is without limit. Default: 0.
    pub bytes_scanned_max: u64,
    /// How long a statement may take until its last row was taken. Default: 60 s.
    pub time: Duration,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people on a terminal, else JSON lines.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was not set.
    Default,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// Its name, with its dashes.
        name: &'static str,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: HttpConfig::default(),
            sql: SqlConfig::default(),
            blobs: KeepOptions::default(),
            mesh: MeshConfig::default(),
            clients: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            shutdown_within: Duration::from_secs(10),
            log_filter: "info,openraft=warn".to_owned(),
            log_format: LogFormat::Auto,
            tokens: Vec::new(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_BASE + HTTP_PORT_OFFSET)),
            tls: None,
            body_bytes_max: 48 << 20,
            bodies_bytes_max: 512 << 20,
            requests_max: 256,
            streams_max: 256,
            connections_max: 1_024,
            header_within: Duration::from_secs(10),
            stall_within: Duration::from_secs(30),
            answer_within: Duration::from_secs(60),
            keep_alive: Duration::from_secs(15),
        }
    }
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_BASE + MESH_PORT_OFFSET)),
            advertise: None,
            name: "node".to_owned(),
            replace_after: Some(Duration::from_secs(600)),
            peak: Peak::default(),
        }
    }
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            statements_max: 8,
            rows_max: 1_000_000,
            memory_bytes: 256 << 20,
            bytes_scanned_max: 0,
            time: Duration::from_secs(60),
        }
    }
}
