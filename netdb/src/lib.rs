//! NetDb, embedded: an event-sourced database in a directory or in memory.
//!
//! [`NetDb::open`] opens a directory for writing, [`NetDb::channel`] names a stream of events,
//! [`Channel::append`] returns when an event is on disk, [`Channel::tail`] follows, and `NetDb::sql` asks.
//! [`NetDb::builder`] adds models, whose state is folded from the log: [`NetDb::tasks`], [`NetDb::memories`], and
//! an application's own.
//! Nothing here needs a server; appending and reading need no asynchronous runtime, tails and SQL run on
//! tokio.
//!
//! The crates below are re-exported: [`redex`] is the log with everything it can do, [`base`] the identifiers,
//! and `meshdb` the query engine.

mod blobs;
mod blocking;
mod builder;
mod channel;
#[cfg(feature = "cluster")]
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
mod database;
mod error;
mod member;
mod models;
mod snapshot;
#[cfg(feature = "sql")]
mod sql;
mod stream;
mod wiring;

pub use base;
pub use blob;
pub use cortex;
#[cfg(feature = "sql")]
pub use meshdb;
#[cfg(feature = "cluster")]
pub use net;
pub use redex;
#[cfg(feature = "cluster")]
pub use replication;

pub use base::{ErrorKind, Seq, Timestamp};
pub use blobs::{
    BlobDurability, Blobs, INLINE_BYTES, KeepOptions, Keeper, OverflowChange, OverflowStatus, PublishOptions,
    Published, open_blobs, open_pins,
};
pub use builder::{Builder, hold_models, is_of_models, reserve_models};
pub use channel::Channel;
pub use cortex::models::memories::{Memories, Memory, MemoryCommand, MemoryFilter, MemoryQuery};
pub use cortex::models::tasks::{Task, TaskCommand, TaskFilter, TaskQuery, TaskStatus, Tasks};
pub use cortex::models::{Batch, Guard, SortBy, WriteOptions};
pub use cortex::{Applied, ErrorPolicy, Folded, WriteToken};
pub use database::NetDb;
pub use error::Error;
pub use member::MODELS_LOG;
pub use models::Model;
pub use redex::{
    Ack, Appended, Event, EventInput, Expect, LogConfig, LogOptions, Placement, Retention, Selection,
};
pub use snapshot::Snapshot;
#[cfg(feature = "sql")]
pub use sql::{Answer, blob_tables};
pub use stream::EventStream;

/// The programs of the README, compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "sql"))]
#[doc = include_str!("../../README.md")]
struct Readme;
