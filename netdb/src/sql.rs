//! SQL over an embedded database.

use std::fmt;
use std::sync::{Arc, OnceLock};

use meshdb::{BesideTable, Gateway, GatewayOptions, Limits, Param, Principal, RecordBatch, SchemaRef};
use redex::Store;

use crate::Error;
use crate::models::{LateModels, Models};

mod blobs;

pub use blobs::blob_tables;

/// The query engine, made when it is first used.
#[derive(Debug)]
pub(crate) struct Engine {
    options: GatewayOptions,
    limits: Limits,
    gateway: OnceLock<Gateway>,
}

/// What a gateway asks.
pub(crate) struct Sources<'a> {
    pub store: &'a Store,
    pub models: &'a LateModels,
    /// What stands beside the logs.
    pub beside: Vec<Arc<dyn BesideTable>>,
}

impl Engine {
    pub(crate) fn new(options: GatewayOptions, limits: Limits) -> Self {
        Self { options, limits, gateway: OnceLock::new() }
    }

    pub(crate) async fn run(
        &self,
        sources: Sources<'_>,
        sql: &str,
        params: &[Param],
    ) -> Result<Answer, Error> {
        let gateway = self.ready(sources)?;
        let result = gateway.execute(&Principal::owner(), sql, params, &self.limits).await?;
        let schema = result.schema();
        Ok(Answer { batches: result.collect().await?, schema })
    }

    /// Returns the gateway, made when it is first asked for; while models wait, one that refuses their tables.
    pub(crate) fn ready(&self, sources: Sources<'_>) -> Result<Gateway, Error> {
        if let Some(gateway) = self.gateway.get() {
            return Ok(gateway.clone());
        }
        let Sources { store, models, beside } = sources;
        let gateway = Gateway::new(store.reader(), self.options.clone()).with_tables(beside)?;
        match models.get() {
            Ok(running) => {
                let made = with_models(gateway, running)?;
                Ok(self.gateway.get_or_init(|| made).clone())
            }
            Err(waiting) => Ok(gateway.with_absent(models.tables().to_vec(), waiting.to_string())),
        }
    }
}

fn with_models(gateway: Gateway, models: &Models) -> Result<Gateway, Error> {
    match models.runner() {
        Some(runner) => Ok(gateway.with_models(runner.clone(), models.tables())?),
        None => Ok(gateway),
    }
}

/// The rows that a statement gave; shown as a table.
#[derive(Debug, Clone)]
pub struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Answer {
    /// Returns names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the rows, as Arrow record batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Returns how many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        meshdb::output::table(&self.schema, &self.batches, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(String::from_utf8_lossy(&text).trim_end())
    }
}
