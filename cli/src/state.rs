//! Tasks and memories on the command line: what the commands on them share.

use std::sync::Arc;
use std::time::Duration;

use netdb::base::{Seq, Signal};
use netdb::cortex::models::memories::MemoriesFold;
use netdb::cortex::models::tasks::TasksFold;
use netdb::cortex::{Delta, Filter, Fold, Folded, Query, Record, RecordFold, RunMode, Runner, RunnerOptions};
use netdb::cortex::{ErrorPolicy, ModelTable, Written};
use netdb::redex::{LogReader, LogWriter};
use netdb::{Applied, Guard, WriteOptions};

use serde_json::Value;

use crate::arguments::WriteArguments;
use crate::context::{Context, Target, Writer};
use crate::exit::{Code, Failure};
use crate::limits::TAIL_POLL_MS;
use crate::output::Cell;
use crate::remote::Remote;

/// A record as the commands print it.
pub(crate) trait Printed: Record<Id = u64> {
    /// What one is called.
    const NOUN: &'static str;
    /// The names of its fields.
    const COLUMNS: &'static [&'static str];

    /// Its fields, in the order of the columns.
    fn cells(&self) -> Vec<Cell<'_>>;

    /// Reads it as a server tells it.
    fn read(told: &Value) -> Option<Self>;
}

/// A model that was opened for writing, with everything folded.
pub(crate) struct OpenModel<F: Fold> {
    store: Writer,
    pub(crate) model: Folded<F>,
}

/// Where a command writes records.
pub(crate) enum Opened<F: Fold> {
    /// Into a model of the directory itself.
    Here(OpenModel<F>),
    /// Through the server that owns the directory.
    There(Remote),
}

/// Opens a model for writing, or finds the server that has it open.
pub(crate) fn open_writer<F: Fold>(context: &Context, fold: F) -> Result<Opened<F>, Failure> {
    let store = match context.open_target()? {
        Target::Here(store) => store,
        Target::There(remote) => return Ok(Opened::There(remote)),
    };
    let writer: Arc<dyn LogWriter> = Arc::new(store.main().clone());
    let model = open(context, store.main().reader(), fold, Some(writer))?.1;
    Ok(Opened::Here(OpenModel { store, model }))
}

/// Asks a server for a change, and prints what it was about. Without a body the change needs no words.
pub(crate) fn change_there<R: Printed>(
    context: &Context,
    remote: &Remote,
    path: &str,
    write: &WriteArguments,
    body: Option<&Value>,
) -> Result<(), Failure> {
    let told = remote.change(&guarded(path, write), write.idempotency_key.as_deref(), body)?;
    print_told::<R>(context, &told)
}

/// Asks a server to delete a record.
pub(crate) fn delete_there<R: Printed>(
    context: &Context,
    remote: &Remote,
    path: &str,
    write: &WriteArguments,
) -> Result<(), Failure> {
    let told = remote.delete(&guarded(path, write), write.idempotency_key.as_deref())?;
    print_told::<R>(context, &told)
}

fn guarded(path: &str, write: &WriteArguments) -> String {
    match write.if_version {
        Some(version) => format!("{path}?if-version={version}"),
        None => path.to_owned(),
    }
}

fn print_told<R: Printed>(context: &Context, told: &Value) -> Result<(), Failure> {
    if told["outcome"] == "unchanged" {
        context.note(format_args!("{} {} was so already", R::NOUN, told["id"]));
    }
    match &told[R::NOUN] {
        Value::Null => Ok(()),
        record => {
            let odd =
                || Failure::new(Code::Failed, "the server gave an odd answer; is it of the same version?");
            print_one(context, &R::read(record).ok_or_else(odd)?)
        }
    }
}

/// Opens a model for reading, with everything folded that is durable.
pub(crate) fn open_reader<F: Fold>(context: &Context, fold: F) -> Result<Folded<F>, Failure> {
    let store = context.open_reader()?;
    Ok(open(context, &context.log_of_models(&store)?, fold, None)?.1)
}

fn open<F: Fold>(
    context: &Context,
    reader: &LogReader,
    fold: F,
    writer: Option<Arc<dyn LogWriter>>,
) -> Result<(Runner, Folded<F>), Failure> {
    let runner = Runner::new(reader, Arc::clone(&context.doors.clock), manual());
    let model = runner.add(fold, ErrorPolicy::SkipAndRecord, writer)?;
    runner.start();
    runner.step();
    Ok((runner, model))
}

/// The names of the tables of tasks and memories.
pub(crate) const TABLES: [&str; 2] = ["tasks", "memories"];

/// Returns tasks and memories as tables, and what folds them when a statement asks for them.
pub(crate) fn tables(
    context: &Context,
    reader: &LogReader,
) -> Result<(Runner, Vec<Arc<dyn ModelTable>>), Failure> {
    let runner = Runner::new(reader, Arc::clone(&context.doors.clock), manual());
    let tasks = runner.add(TasksFold, ErrorPolicy::SkipAndRecord, None)?;
    let memories = runner.add(MemoriesFold, ErrorPolicy::SkipAndRecord, None)?;
    runner.start();
    Ok((runner, vec![Arc::new(tasks), Arc::new(memories)]))
}

fn manual() -> RunnerOptions {
    let mut options = RunnerOptions::default();
    options.mode = RunMode::Manual;
    options
}

impl<F: RecordFold> OpenModel<F>
where
    F::Row: Printed,
{
    /// Returns an id that no record has.
    pub(crate) fn free_id(&self) -> Result<u64, Failure> {
        let state = self.model.snapshot()?.state;
        let greatest = state.last().map(|record| record.id());
        greatest.map_or(Some(1), |id| id.checked_add(1)).ok_or_else(|| {
            Failure::new(Code::Conflict, "the greatest id is taken").hint("give a free one with `--id`")
        })
    }

    /// Waits for a write, and prints what it was about.
    pub(crate) fn finish(self, context: &Context, id: u64, written: &Written<F>) -> Result<(), Failure> {
        let applied = written.applied()?;
        let record = self.model.snapshot()?.state.find_unique(id);
        self.store.close()?;
        let noun = F::Row::NOUN;
        let failure = match applied {
            Applied::Changed => None,
            Applied::Unchanged => {
                context.note(format_args!("{noun} {id} was so already"));
                None
            }
            Applied::NotFound => Some(not_found::<F::Row>(id)),
            Applied::Exists { .. } => {
                let message = format!("there is a {noun} {id} already");
                Some(Failure::new(Code::Conflict, message).hint("take another id, or change that one"))
            }
            Applied::Conflict { expected, actual } => {
                let message = format!("{noun} {id} has version {actual}, not {expected}");
                Some(Failure::new(Code::Conflict, message).hint("look at it again and retry"))
            }
            other => Some(Failure::new(Code::Failed, format!("{noun} {id}: {other:?}"))),
        };
        match (failure, record) {
            (Some(failure), _) => Err(failure),
            (None, Some(record)) => print_one(context, &*record),
            (None, None) => Ok(()),
        }
    }
}

/// What a write is done with.
pub(crate) fn options(write: &WriteArguments) -> WriteOptions<'_> {
    WriteOptions {
        at: None,
        guard: write.if_version.map(Guard::Version),
        idempotency_key: write.idempotency_key.as_deref(),
    }
}

/// Prints the record of an id.
pub(crate) fn get<F: RecordFold>(context: &Context, fold: F, id: u64) -> Result<(), Failure>
where
    F::Row: Printed,
{
    let state = open_reader(context, fold)?.snapshot()?.state;
    match state.find_unique(id) {
        Some(record) => print_one(context, &*record),
        None => Err(not_found::<F::Row>(id)),
    }
}

/// Prints the records that a query gives.
pub(crate) fn list<F: RecordFold, Q: Filter<F::Row>>(
    context: &Context,
    fold: F,
    query: &Query<F::Row, Q>,
) -> Result<(), Failure>
where
    F::Row: Printed,
{
    let state = open_reader(context, fold)?.snapshot()?.state;
    let mut rows = context.rows(F::Row::COLUMNS)?;
    for record in query.walk(&state) {
        rows.row(&record.cells())?;
    }
    Ok(rows.finish()?)
}

/// Prints the records that a query gives, and then what changes, until interrupted.
pub(crate) fn watch<F: RecordFold, Q: Filter<F::Row>>(
    context: &Context,
    fold: F,
    query: Query<F::Row, Q>,
) -> Result<(), Failure>
where
    F::Row: Printed,
{
    let woken = Arc::new(Signal::new());
    let wake = Arc::clone(&woken);
    let _caught = context.interrupts.catch(move || wake.raise());
    let store = context.open_reader()?;
    let log = context.log_of_models(&store)?;
    let (runner, model) = open(context, &log, fold, None)?;
    let mut watch = model.watch(query)?;
    let columns = [&["change"], F::Row::COLUMNS].concat();
    let mut rows = context.rows(&columns)?;
    while !context.interrupts.raised() {
        if let Some(update) = watch.try_next()? {
            for delta in &update.deltas {
                let (change, record) = match delta {
                    Delta::Inserted(record) => ("inserted", record),
                    Delta::Updated { after, .. } => ("updated", after),
                    Delta::Removed(record) => ("removed", record),
                };
                let mut cells = vec![Cell::Text(change.into())];
                cells.extend(record.cells());
                rows.row(&cells)?;
            }
        }
        rows.flush()?;
        let clock = &context.doors.clock;
        clock.wait(&woken, Some(clock.monotonic() + Duration::from_millis(TAIL_POLL_MS)));
        log.refresh()?;
        runner.step();
    }
    rows.finish()?;
    Err(Failure::silent(Code::Interrupted))
}

fn print_one<R: Printed>(context: &Context, record: &R) -> Result<(), Failure> {
    let fields: Vec<_> = R::COLUMNS.iter().copied().zip(record.cells()).collect();
    Ok(context.record(&fields)?)
}

fn not_found<R: Printed>(id: u64) -> Failure {
    Failure::new(Code::NotFound, format!("there is no {} {id}", R::NOUN))
}

/// The version of a record, as it is printed.
pub(crate) fn version(version: Seq) -> Cell<'static> {
    Cell::Number(version.0)
}
