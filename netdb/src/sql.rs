//! SQL over an embedded database.

use std::fmt;
use std::sync::OnceLock;

use meshdb::{Gateway, GatewayOptions, Limits, Param, Principal, RecordBatch, SchemaRef};
use redex::Store;

use crate::Error;
use crate::models::{LateModels, Models};

/// The query engine, made when it is first used.
#[derive(Debug)]
pub(crate) struct Engine {
    options: GatewayOptions,
    limits: Limits,
    gateway: OnceLock<Gateway>,
}

impl Engine {
    pub(crate) fn new(options: GatewayOptions, limits: Limits) -> Self {
        Self { options, limits, gateway: OnceLock::new() }
    }

    pub(crate) async fn run(
        &self,
        store: &Store,
        models: &LateModels,
        sql: &str,
        params: &[Param],
    ) -> Result<Answer, Error> {
        let gateway = self.ready(store, models)?;
        let result = gateway.execute(&Principal::owner(), sql, params, &self.limits).await?;
        let schema = result.schema();
        Ok(Answer { batches: result.collect().await?, schema })
    }

    /// Returns the gateway, made when it is first asked for; while models wait, one that refuses their tables.
    pub(crate) fn ready(&self, store: &Store, models: &LateModels) -> Result<Gateway, Error> {
        if let Some(gateway) = self.gateway.get() {
            return Ok(gateway.clone());
        }
        match models.get() {
            Ok(running) => {
                let made = self.gateway(store, running)?;
                Ok(self.gateway.get_or_init(|| made).clone())
            }
            Err(waiting) => {
                let gateway = Gateway::new(store.reader(), self.options.clone());
                Ok(gateway.with_absent(models.tables().to_vec(), waiting.to_string()))
            }
        }
    }

    fn gateway(&self, store: &Store, models: &Models) -> Result<Gateway, Error> {
        let gateway = Gateway::new(store.reader(), self.options.clone());
        match models.runner() {
            Some(runner) => Ok(gateway.with_models(runner.clone(), models.tables())?),
            None => Ok(gateway),
        }
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
