//! Statements one after the other, over what is durable when each begins.

use std::panic;

use netdb::ErrorKind;
use netdb::meshdb::{Gateway, GatewayOptions, Limits, Principal, QueryError};
use netdb::redex::StoreReader;
use tokio::runtime::Runtime;

use super::answer;
use crate::context::{Context, say};
use crate::exit::{Code, Failure};
use crate::output::Format;
use crate::remote::Remote;
use crate::state;

/// The names of all tables, as they are written in a statement.
const NAMES: &str = "select table_schema, table_name from information_schema.tables";

/// A connection, so to speak, to the logs of the directory.
pub(super) struct Session<'a> {
    context: &'a Context,
    runtime: Runtime,
    reader: StoreReader,
    gateway: Gateway,
    limits: Limits,
    /// Whether to tell how long each statement took.
    pub(super) timing: bool,
}

impl<'a> Session<'a> {
    /// Opens the directory for reading.
    pub(super) fn open(context: &'a Context) -> Result<Self, Failure> {
        let reader = context.open_reader()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::system(&error, "cannot start threads"))?;
        let (directory, doors, logs) = (context.directory.clone(), context.doors.clone(), reader.clone());
        let blobs = netdb::blob_tables(move || netdb::open_pins(&directory, &doors, &logs));
        let gateway = Gateway::new(reader.clone(), GatewayOptions::default()).with_tables(blobs)?;
        let gateway = match context.log_of_models(&reader) {
            Ok(log) => {
                let (runner, tables) = state::tables(context, &log)?;
                gateway.with_models(runner, tables)?
            }
            // Everything else can be asked.
            Err(absent) => gateway.with_absent(state::TABLES.map(str::to_owned).to_vec(), absent.message),
        };
        // A table is read by a person, who is better told than flooded; other formats are for programs.
        let limits = match context.output_format() {
            Format::Table => Limits::default(),
            _ => Limits::all_rows(),
        };
        Ok(Self { context, runtime, reader, gateway, limits, timing: false })
    }

    /// Runs one statement and writes its rows. An interrupt ends the statement, not the session.
    pub(super) fn run(&mut self, statement: &str) -> Result<(), Failure> {
        let clock = &self.context.doors.clock;
        let started = clock.monotonic();
        let result = self.runtime.block_on(self.answer(statement));
        if self.timing {
            let took = clock.monotonic().saturating_sub(started);
            say(format_args!("time: {:.1} ms", took.as_secs_f64() * 1000.0));
        }
        result
    }

    async fn answer(&self, statement: &str) -> Result<(), Failure> {
        let _caught = self.context.interrupts.catch(|| {});
        let interrupted = async {
            // An error means that there are no interrupts to wait for.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            result = self.write_rows(statement) => result,
            () = interrupted => Err(Failure::silent(Code::Interrupted)),
        }
    }

    async fn write_rows(&self, statement: &str) -> Result<(), Failure> {
        self.refresh()?;
        let format = self.context.output_format();
        match self.gateway.execute(&Principal::owner(), statement, &[], &self.limits).await {
            // A server has open what stands beside the logs, and answers for it.
            Err(QueryError::Beside { table, source }) if source.kind == ErrorKind::Unavailable => {
                let Some(remote) = Remote::find(self.context) else {
                    return Err(QueryError::Beside { table, source }.into());
                };
                let statement = statement.to_owned();
                let asked = tokio::task::spawn_blocking(move || remote.sql(&statement)).await;
                let (schema, batches) =
                    asked.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))?;
                answer::write_all(&schema, &batches, format)
            }
            rows => answer::write(rows?, format).await,
        }
    }

    /// Looks at what other processes have written meanwhile.
    fn refresh(&self) -> Result<(), Failure> {
        for log in self.reader.logs() {
            log.refresh()?;
        }
        Ok(())
    }

    /// Returns the names of tables, as they are written in a statement; none when they cannot be had.
    pub(super) fn names(&self) -> Vec<String> {
        let listed = self.runtime.block_on(async {
            self.refresh()?;
            let rows = self.gateway.execute(&Principal::owner(), NAMES, &[], &Limits::default()).await?;
            answer::names(rows).await
        });
        listed.unwrap_or_default()
    }
}
