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
use netdb::meshdb::{Limits, Param, Principal, QueryError, QueryResult, RecordBatch};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Form;
use super::params::Params;
use super::{Problem, answer, body};
use crate::access::Caller;
use crate::limits::PARAMS_MAX;
use crate::metrics::Metrics;
use crate::shared::Shared;

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
    Params::of(request.uri())?.finish()?;
    let (parts, content) = request.into_parts();
    let form = Form::choose(&parts.headers, &[Form::Json, Form::Ndjson, Form::Arrow])?;
    let statement: Statement = body::json(&shared, &parts.headers, content).await?;
    let params = params(&statement.params)?;
    let limits = limits(&shared, &statement);
    let db = shared.db()?;
    let permit = Arc::clone(&shared.statements).try_acquire_owned().map_err(|_| {
        let max = shared.config.sql.statements_max;
        Problem::unavailable(format!("{max} statements run already, and no more are admitted"))
    })?;
    tracing::debug!(caller = %caller.name, bytes = statement.sql.len(), "statement over HTTP");
    let clock = Arc::clone(&shared.doors.clock);
    let mut count = Count {
        metrics: Arc::clone(&shared.metrics),
        began: clock.monotonic(),
        clock,
        rows: 0,
        outcome: "cancelled",
    };
    let executed = begin(&db, &statement.sql, &params, &limits).await;
    let (rows, first) = executed.inspect_err(|_| count.outcome = "failed")?;
    let out = Shelf::default();
    let output = Output::new(form.format(), &rows.schema(), out.clone());
    let answer = Answer { form, rows, first: Some(first), output: Some(output), out, count, _permit: permit };
    let body = futures::stream::unfold(answer, |mut answer| async {
        let bytes = answer.next().await?;
        Some((bytes, answer))
    });
    Ok(answer::of(StatusCode::OK, form.media_type(), Body::from_stream(body)))
}

/// Runs a statement up to its first rows, so that what is wrong with it has a status of its own.
async fn begin(
    db: &netdb::NetDb,
    sql: &str,
    params: &[Param],
    limits: &Limits,
) -> Result<(QueryResult, Option<RecordBatch>), Problem> {
    let mut rows = db.query(&Principal::owner(), sql, params, limits).await?;
    let first = rows.next().await.transpose()?;
    Ok((rows, first))
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
    rows: QueryResult,
    /// The first batch, until it was written.
    first: Option<Option<RecordBatch>>,
    /// Absent once everything was written.
    output: Option<Output<Shelf>>,
    out: Shelf,
    count: Count,
    _permit: OwnedSemaphorePermit,
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
        let schema = self.rows.schema();
        let columns = schema.fields().iter().map(|field| {
            json!({ "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable() })
        });
        format!("{{\"columns\":{},\"rows\":", Value::from(columns.collect::<Vec<_>>())).into_bytes()
    }

    fn write(&mut self, batch: Option<Result<RecordBatch, QueryError>>) -> io::Result<Vec<u8>> {
        let problem = match batch {
            Some(Ok(batch)) => {
                if let Some(output) = &mut self.output {
                    output.write(&batch)?;
                }
                self.count.rows = self.rows.rows();
                return Ok(self.out.take());
            }
            Some(Err(error)) => Some(Problem::from(error)),
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
