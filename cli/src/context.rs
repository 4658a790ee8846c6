//! What every command works with.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use netdb::MODELS_LOG;
use netdb::base::{ChannelName, Doors};
use netdb::redex::{
    ChannelHistory, Hold, LogName, LogOptions, LogReader, OpenError, RecoveryReport, Store, StoreReader,
    StoreView,
};

use crate::arguments::Common;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Cell, Format, Rows};
use crate::remote::{Remote, is_locked};

/// What every command works with: the directory, how to talk to the caller, and the doors.
pub(crate) struct Context {
    pub(crate) directory: PathBuf,
    pub(crate) doors: Doors,
    pub(crate) interrupts: Interrupts,
    /// The format that the caller asked for.
    pub(crate) format: Option<Format>,
    quiet: bool,
    strict: bool,
}

/// Where a command writes.
pub(crate) enum Target {
    /// In the directory itself.
    Here(Writer),
    /// Through the server that owns the directory.
    There(Remote),
}

/// A directory that is open for writing.
pub(crate) struct Writer {
    store: Store,
    _hold: Option<Hold>,
}

impl std::ops::Deref for Writer {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Context {
    pub(crate) fn new(common: Common) -> Self {
        Self {
            directory: common.dir,
            doors: Doors::system(),
            interrupts: Interrupts::watch(),
            format: common.format,
            quiet: common.quiet,
            strict: common.strict,
        }
    }

    /// Tells whether damage is to be refused instead of set aside.
    pub(crate) fn strict(&self) -> bool {
        self.strict
    }

    /// Opens the directory for writing, or finds the server that has it open.
    pub(crate) fn open_target(&self) -> Result<Target, Failure> {
        if let Some(remote) = Remote::find(self) {
            return Ok(Target::There(remote));
        }
        if self.is_member()? {
            // What it writes here could belong into a log that the others hold.
            let message = format!(
                "{} belongs to a cluster, and no server runs in it: only a node that takes part knows where events go",
                self.directory.display()
            );
            return Err(Failure::new(Code::Unavailable, message).hint("start it with `net-db serve`"));
        }
        match self.open_here()? {
            Ok(writer) => Ok(Target::Here(writer)),
            // One that began meanwhile is found now.
            Err(error) if is_locked(&error) => Remote::find(self).map(Target::There).ok_or(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells whether the directory belongs to a cluster.
    pub(crate) fn is_member(&self) -> Result<bool, Failure> {
        Ok(self.is_initialised()? && netdb::cluster::is_member(&self.directory, &*self.doors.disk)?)
    }

    /// Finds the log that tasks and memories are folded from: `main`, or the one that all members of a cluster hold.
    pub(crate) fn log_of_models(&self, store: &StoreReader) -> Result<LogReader, Failure> {
        if !self.is_member()? {
            return Ok(store.main().clone());
        }
        let name = LogName::new(MODELS_LOG)?;
        store.log(&name).ok_or_else(|| {
            let message =
                "tasks and memories are read from a replicated log, which this node does not have yet";
            Failure::new(Code::Unavailable, message)
                .hint("start it with `net-db serve`, and wait until it takes part in its cluster")
        })
    }

    /// Opens the directory for writing, creating what is missing.
    pub(crate) fn open_writer(&self) -> Result<Writer, Failure> {
        Ok(self.open_here()??)
    }

    /// Makes a database in the directory where there is none.
    pub(crate) fn create_if_missing(&self) -> Result<(), Failure> {
        if !self.is_initialised()? {
            self.open_writer()?;
        }
        Ok(())
    }

    fn open_here(&self) -> Result<Result<Writer, OpenError>, Failure> {
        let new = !self.is_initialised()?;
        let mut options = LogOptions::default();
        options.strict = self.strict;
        let store = match Store::open_to_hold(&self.directory, &self.doors, &options) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        // Commands that know nothing of models must not give up what these are folded from.
        let hold = netdb::hold_models(&store)?;
        if self.is_member()? {
            netdb::reserve_models(&store, &[]);
        }
        store.begin_retention();
        for (_, report) in store.recoveries() {
            self.tell_recovery(&report);
        }
        if new {
            self.note(format_args!("created {}", self.directory.display()));
        }
        Ok(Ok(Writer { store, _hold: hold }))
    }

    /// Tells what opening found that somebody should know.
    fn tell_recovery(&self, report: &RecoveryReport) {
        if report.torn_bytes > 0 {
            let bytes = report.torn_bytes;
            self.note(format_args!("{bytes} bytes of a write that a crash cut short were removed; nobody was told they were durable"));
        }
        for range in &report.quarantined {
            say(format_args!(
                "net-db: entries {} to {} are damaged and were set aside as {}: `net-db log fsck` explains, restore a backup beside",
                range.first,
                range.next.0.saturating_sub(1),
                range.saved_as.display()
            ));
        }
    }

    /// Opens the directory for reading, beside a writer if there is one.
    pub(crate) fn open_reader(&self) -> Result<StoreReader, Failure> {
        if !self.is_initialised()? {
            let missing = format!("there is no database in {}", self.directory.display());
            return Err(Failure::new(Code::NotFound, missing)
                .hint("make one with `net-db init`, or name another directory with `--dir`"));
        }
        Ok(StoreReader::open(&self.directory, &self.doors, &LogOptions::default())?)
    }

    fn is_initialised(&self) -> Result<bool, Failure> {
        let result = Store::is_initialised(&self.directory, &*self.doors.disk);
        result.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(Code::NotFound, error),
            _ => Failure::system(&error, format!("cannot read {}", self.directory.display())),
        })
    }

    /// Begins results with these columns.
    pub(crate) fn rows(&self, columns: &[&str]) -> io::Result<Rows<io::Stdout>> {
        Rows::begin(self.output_format(), columns)
    }

    /// Writes a single result: one row, but in a table a line for each field.
    pub(crate) fn record(&self, fields: &[(&str, Cell<'_>)]) -> io::Result<()> {
        let columns: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        if self.output_format() != Format::Table {
            let cells: Vec<Cell<'_>> = fields.iter().map(|(_, cell)| cell.clone()).collect();
            let mut rows = self.rows(&columns)?;
            rows.row(&cells)?;
            return rows.finish();
        }
        let mut rows = self.rows(&["field", "value"])?;
        for (name, cell) in fields {
            rows.row(&[Cell::Text((*name).into()), Cell::Text(cell.as_text())])?;
        }
        rows.finish()
    }

    /// Writes results that have the same fields: a single one as [`record`](Self::record) does.
    pub(crate) fn records(&self, records: &[Vec<(&'static str, Cell<'_>)>]) -> io::Result<()> {
        let [first, _, ..] = records else {
            return records.first().map_or(Ok(()), |only| self.record(only));
        };
        let columns: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let mut rows = self.rows(&columns)?;
        for record in records {
            rows.row(&record.iter().map(|(_, cell)| cell.clone()).collect::<Vec<_>>())?;
        }
        rows.finish()
    }

    /// The format of results: as asked for, else a table on a terminal and ndjson elsewhere.
    pub(crate) fn output_format(&self) -> Format {
        let usual = if io::stdout().is_terminal() { Format::Table } else { Format::Ndjson };
        self.format.unwrap_or(usual)
    }

    /// Tells the caller something that is no result, unless asked to be quiet.
    pub(crate) fn note(&self, text: fmt::Arguments<'_>) {
        if !self.quiet {
            say(format_args!("net-db: {text}"));
        }
    }

    /// Tells whether somebody watches who would like to see progress.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// Finds a channel that must exist.
pub(crate) fn find_channel(view: &StoreView, name: &ChannelName) -> Result<ChannelHistory, Failure> {
    view.channel(name)?.ok_or_else(|| {
        Failure::new(Code::NotFound, format!("there is no channel `{name}`"))
            .hint("`net-db log channels` lists those that are there")
    })
}

/// Writes a line to standard error; nobody may be there to read it.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
