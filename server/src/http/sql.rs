//! SQL over HTTP: rows as they are made, as JSON or as Arrow.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use netdb::base::Clock;
use netdb::meshdb::output::{Format, Output};
use netdb::meshdb::{Gateway, Limits, Param, Principal, RecordBatch, SchemaRef};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::Form;
use super::consistency::{Consistency, Positions};
use super::params::Params;
use super::{Problem, answer, body};
use crate::access::Caller;
use crate::limits::PARAMS_MAX;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// What a statement has beyond its time to say itself that it is over.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
    rows_max: Option<u64>,
    time_max_ms: Option<u64>,
}

/// `POST /v1/sql`
pub(super) async fn run(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let mut asked = Params::of(request.uri())?;
    let consistency = Consistency::take(&mut asked)?;
    asked.finish()?;
    let (parts, content) = request.into_parts();
    let form = Form::choose(&parts.headers, &[Form::Json, Form::Ndjson, Form::Arrow])?;
    let statement: Statement = body::json(&shared, &parts.headers, content).await?;
    let params = params(&statement.params)?;
    let limits = limits(&shared, &statement);
    let gateway = shared.db()?.gateway()?;
    let permit = Arc::clone(&shared.statements).try_acquire_owned().map_err(|_| {
        let max = shared.config.sql.statements_max;
        Problem::unavailable(format!("{max} statements run already, and no more are admitted"))
    })?;
    consistency.wait(&shared, None).await?;
    // The statement's own cut is taken behind this.
    let positions = Positions::of(&shared.db()?.store().reader().view(), None);
    tracing::debug!(caller = %caller.name, bytes = statement.sql.len(), "statement over HTTP");
    let clock = Arc::clone(&shared.doors.clock);
    let (metrics, began) = (Arc::clone(&shared.metrics), clock.monotonic());
    let count = Count { metrics, clock, began, rows: 0, outcome: "cancelled" };
    let deadline = Instant::now() + limits.time.unwrap_or_default() + GRACE;
    let late = Problem::late(limits.time.unwrap_or_default());
    let (rows, batches) = mpsc::channel(1);
    shared.engine.spawn(async move {
        execute(&gateway, &statement.sql, &params, &limits, rows).await;
        // A statement that computes on behind its time keeps its place.
        drop(permit);
    });
    let mut rows = Rows { batches, deadline, late };
    let mut count = count;
    let begun = rows.begin().await;
    let (schema, first) = begun.inspect_err(|_| count.outcome = "failed")?;
    let out = Shelf::default();
    let output = Output::new(form.format(), &schema, out.clone());
    let answer = Answer { form, schema, rows, first: Some(first), output: Some(output), out, count };
    let body = futures::stream::unfold(answer, |mut answer| async {
        let bytes = answer.next().await?;
        Some((bytes, answer))
    });
    Ok(positions.tell(answer::of(StatusCode::OK, form.media_type(), Body::from_stream(body))))
}

/// What the threads of SQL say to those that answer.
enum Said {
    Schema(SchemaRef),
    Batch(RecordBatch),
    Failed(Problem),
}

/// Runs a statement until its end, or until nobody listens.
async fn execute(
    gateway: &Gateway,
    sql: &str,
    params: &[Param],
    limits: &Limits,
    sender: mpsc::Sender<Said>,
) {
    let running = async {
        let mut rows = match gateway.execute(&Principal::owner(), sql, params, limits).await {
            Ok(rows) => rows,
            Err(error) => return drop(sender.send(Said::Failed(error.into())).await),
        };
        if sender.send(Said::Schema(rows.schema())).await.is_err() {
            return;
        }
        while let Some(batch) = rows.next().await {
            let said = batch.map_or_else(|error| Said::Failed(error.into()), Said::Batch);
            if sender.send(said).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = running => {}
        () = sender.closed() => {}
    }
}

/// The rows of a statement, as they come from its threads. Dropping it ends the statement.
struct Rows {
    batches: mpsc::Receiver<Said>,
    /// When the statement should have ended by itself, and a little more.
    deadline: Instant,
    /// What is said of one that did not.
    late: Problem,
}

impl Rows {
    async fn said(&mut self) -> Option<Said> {
        match tokio::time::timeout_at(self.deadline, self.batches.recv()).await {
            Ok(said) => said,
            Err(_) => {
                self.batches.close();
                Some(Said::Failed(self.late.clone()))
            }
        }
    }

    /// Waits for the first rows, so that what is wrong with a statement has a status of its own.
    async fn begin(&mut self) -> Result<(SchemaRef, Option<RecordBatch>), Problem> {
        let schema = match self.said().await {
            Some(Said::Schema(schema)) => schema,
            Some(Said::Failed(problem)) => return Err(problem),
            _ => return Err(Problem::internal("the statement ended without a result")),
        };
        Ok((schema, self.next().await.transpose()?))
    }

    async fn next(&mut self) -> Option<Result<RecordBatch, Problem>> {
        match self.said().await? {
            Said::Batch(batch) => Some(Ok(batch)),
            Said::Failed(problem) => Some(Err(problem)),
            Said::Schema(_) => None,
        }
    }
}

fn limits(shared: &Shared, statement: &Statement) -> Limits {
    let sql = &shared.config.sql;
    let rows = statement.rows_max.unwrap_or(sql.rows_max).min(sql.rows_max);
    let time = statement.time_max_ms.map_or(sql.time, Duration::from_millis).min(sql.time);
    Limits {
        rows_max: Some(rows),
        memory_bytes: sql.memory_bytes,
        time: Some(time),
        bytes_scanned_max: (sql.bytes_scanned_max > 0).then_some(sql.bytes_scanned_max),
    }
}

fn params(values: &[Value]) -> Result<Vec<Param>, Problem> {
    if values.len() > PARAMS_MAX {
        return Err(Problem::invalid(format!("{} parameters, at most {PARAMS_MAX}", values.len())));
    }
    let read = |(place, value): (usize, &Value)| {
        param(value).map_err(|why| Problem::invalid(format!("parameter ${}: {why}", place + 1)))
    };
    values.iter().enumerate().map(read).collect()
}

fn param(value: &Value) -> Result<Param, String> {
    const WANTED: &str =
        "give null, a truth value, a number, a text, {\"time\": \"..\"} or {\"base64\": \"..\"}";
    match value {
        Value::Null => Ok(Param::Null),
        Value::Bool(value) => Ok(Param::Bool(*value)),
        Value::String(text) => Ok(Param::Text(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Ok(Param::Int(number)),
            (None, Some(number), _) => Ok(Param::UInt(number)),
            (None, None, Some(number)) => Ok(Param::Float(number)),
            _ => Err("the number does not fit".to_owned()),
        },
        Value::Object(object) if object.len() == 1 => match object.iter().next() {
            Some((name, Value::String(text))) if name == "time" => {
                text.parse().map(Param::Time).map_err(|error| format!("`time`: {error}"))
            }
            Some((name, Value::String(text))) if name == "base64" => {
                BASE64.decode(text).map(Param::Bytes).map_err(|error| format!("`base64`: {error}"))
            }
            _ => Err(WANTED.to_owned()),
        },
        _ => Err(WANTED.to_owned()),
    }
}

impl Form {
    fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Ndjson => Format::Ndjson,
            Self::Arrow => Format::Arrow,
        }
    }
}

/// Where rows are written until they are sent.
#[derive(Debug, Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Shelf {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts a statement once it is over, however it ends.
struct Count {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    began: Duration,
    rows: u64,
    outcome: &'static str,
}

impl Drop for Count {
    fn drop(&mut self) {
        let took = self.clock.monotonic().saturating_sub(self.began);
        self.metrics.ran(self.outcome, self.rows, took);
    }
}

/// The rows of a statement on their way out. Dropping it ends the statement.
struct Answer {
    form: Form,
    schema: SchemaRef,
    rows: Rows,
    /// The first batch, until it was written.
    first: Option<Option<RecordBatch>>,
    /// Absent once everything was written.
    output: Option<Output<Shelf>>,
    out: Shelf,
    count: Count,
}

impl Answer {
    /// Returns the next bytes; `None` at the end. An error breaks the answer off.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while self.output.is_some() {
            let (is_first, batch) = match self.first.take() {
                Some(first) => (true, first.map(Ok)),
                None => (false, self.rows.next().await),
            };
            let mut bytes = if is_first { self.head() } else { Vec::new() };
            match self.write(batch) {
                Ok(more) => bytes.extend(more),
                Err(error) => return Some(Err(error)),
            }
            if !bytes.is_empty() {
                return Some(Ok(bytes.into()));
            }
        }
        None
    }

    fn head(&self) -> Vec<u8> {
        if self.form != Form::Json {
            return Vec::new();
        }
        let columns = self.schema.fields().iter().map(|field| {
            json!({ "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable() })
        });
        format!("{{\"columns\":{},\"rows\":", Value::from(columns.collect::<Vec<_>>())).into_bytes()
    }

    fn write(&mut self, batch: Option<Result<RecordBatch, Problem>>) -> io::Result<Vec<u8>> {
        let problem = match batch {
            Some(Ok(batch)) => {
                if let Some(output) = &mut self.output {
                    output.write(&batch)?;
                }
                self.count.rows += batch.num_rows() as u64;
                return Ok(self.out.take());
            }
            Some(Err(problem)) => Some(problem),
            None => None,
        };
        self.count.outcome = if problem.is_some() { "failed" } else { "ok" };
        let output = self.output.take();
        if let (Form::Arrow, Some(problem)) = (self.form, &problem) {
            // There is no room for words in it: only an end that is missing tells.
            return Err(io::Error::other(problem.message.clone()));
        }
        output.map(Output::finish).transpose()?;
        let mut bytes = self.out.take();
        let error = problem.map(|problem| problem.to_json());
        match (self.form, error) {
            (Form::Json, error) => {
                while bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                bytes.extend(format!(",\"count\":{}", self.count.rows).into_bytes());
                if let Some(error) = error {
                    bytes.extend(format!(",\"error\":{error}").into_bytes());
                }
                bytes.extend_from_slice(b"}\n");
            }
            (_, Some(error)) => bytes.extend(format!("{}\n", json!({ "error": error })).into_bytes()),
            (_, None) => {}
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_that_does_not_end_by_itself_is_given_up() {
        let (sender, batches) = mpsc::channel(1);
        let late = Problem::late(Duration::from_secs(1));
        let mut rows = Rows { batches, deadline: Instant::now(), late };
        let problem = rows.begin().await.map(|_| ()).unwrap_err();
        assert_eq!(problem.status, StatusCode::GATEWAY_TIMEOUT);
        assert!(sender.is_closed(), "its threads learn that nobody listens");
    }
}
