//! NetDb as a process: it opens a directory, listens, answers over HTTP, tells how it is, and stops in order.
//!
//! [`load`] gathers a [`Config`] from a file, the environment and flags, [`Server::start`] takes the addresses and
//! opens the database behind them, and [`Running::stop`] ends it in order. The contract of the endpoints is `docs/http.md`, that of keys and
//! metrics `docs/operating.md`.
//!
//! It knows nothing of its own about logs, folds or SQL: every answer comes from `netdb`.

mod access;
mod clients;
mod config;
mod connections;
mod engine;
mod error;
mod http;
mod keeping;
mod limits;
mod local;
mod metered;
mod metrics;
mod server;
mod shared;
mod tls;

pub use access::{Role, Token, hash_token, make_token};
pub use config::{
    Config, ConfigError, Fault, Flags, HttpConfig, Loaded, LogFormat, MeshConfig, Settings, Source, Sources,
    SqlConfig, TlsFiles, load,
};
pub use error::{ServeError, StopReport};
pub use local::{LOCAL_FILE, LocalServer};
pub use server::{Running, Server};
