//! State as folds over logs.
//!
//! A [`Fold`] makes state of events. A [`Runner`] reads a log once for all its folds, each of which is used through
//! its [`Folded`] handle: a [`Snapshot`] shows the state at one position, a [`WriteToken`] says which state includes
//! a write, and a [`Subscription`] follows what changes. A [`Tabular`] fold shows its state as a table.

mod bell;
mod checkpoint;
mod cut;
mod error;
mod fold;
mod folded;
mod host;
pub mod limits;
mod metrics;
pub mod models;
mod ordered;
mod portable;
mod query;
mod runner;
pub mod store;
mod subscription;
mod table;
mod tabular;
mod token;
mod watch;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cut::{ModelStatus, RunnerCut};
pub use error::{FoldStopped, OpenError, WaitError};
pub use fold::{Applied, Changes, ErrorPolicy, Fold, FoldError};
pub use folded::{Folded, Reached, Snapshot, WriteError, Written};
pub use host::SkippedEvent;
pub use metrics::ModelMetrics;
pub use ordered::{OrderedMap, OrderedSet};
pub use portable::{Portable, export_all, import_all, state_hash};
pub use query::{Filter, Order, OrderKey, Query};
pub use runner::{RunMode, Runner, RunnerOptions};
pub use subscription::{FoldNews, News, Subscription};
pub use table::{Change, Record, Table};
pub use tabular::{
    Access, Column, Literal, ModelTable, PinnedTable, Row, RowSink, RowsRequest, Tabular, TextList, Value,
    ValueType,
};
pub use token::WriteToken;
pub use watch::{Delta, RecordFold, Results, Update, Watch, WithWatch};
