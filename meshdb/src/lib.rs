//! SQL over the logs of NetDb, and over the state that models make of them.
//!
//! A [`Gateway`] runs one statement at a time for a [`Principal`], under [`Limits`], over one cut of all logs
//! that it was given. What can be asked are events (`events`, `channels."orders/audit"`, or the bare name of
//! a channel), the rows of models by their names ([`Gateway::with_models`]), and what describes them
//! (`system.channels`, `system.logs`, `system.segments`, `system.incarnations`, `system.quarantine`, `system.models`,
//! `system.skipped`), and what stands beside the logs ([`Gateway::with_tables`]). The engine is DataFusion with the PostgreSQL dialect; nothing but reading is
//! admitted.
//!
//! ```
//! # use meshdb::{Gateway, GatewayOptions, Limits, Principal};
//! # async fn example(logs: Vec<redex::LogReader>) -> Result<(), meshdb::QueryError> {
//! let gateway = Gateway::new(logs, GatewayOptions::default());
//! let sql = "select payload->>'carrier' as carrier, count(*) from flights group by 1 order by 2 desc";
//! let mut result = gateway.execute(&Principal::owner(), sql, &[], &Limits::default()).await?;
//! while let Some(batch) = result.next().await {
//!     println!("{} rows", batch?.num_rows());
//! }
//! # Ok(())
//! # }
//! ```

mod beside;
mod catalog;
mod cut;
mod error;
mod gateway;
mod limits;
mod models;
pub mod output;
mod param;
mod principal;
mod pushdown;
mod result;
mod statement;
mod tables;

pub use beside::{BesideError, BesideSchema, BesideTable};
pub use cut::LogSource;
pub use datafusion::arrow::datatypes::SchemaRef;
pub use datafusion::arrow::record_batch::RecordBatch;
pub use error::{QueryError, SqlPosition};
pub use gateway::{Gateway, GatewayOptions};
pub use limits::{Limits, QUERIES_NESTED_MAX, STATEMENT_BYTES_MAX, STATEMENT_DEPTH_MAX};
pub use models::ModelTableError;
pub use param::Param;
pub use principal::Principal;
pub use result::{QueryResult, ScanTotals};
