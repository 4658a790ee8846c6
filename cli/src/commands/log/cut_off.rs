//! `net-db log cut-off`

use std::io::{self, Write as _};
use std::path::Path;

use netdb::redex::{CutOff, CutOffError, cut_off_files};

use crate::arguments::CutOffArguments;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::export::push_line;
use crate::output::{Cell, Format};

pub(super) fn run(context: &Context, arguments: &CutOffArguments) -> Result<(), Failure> {
    match &arguments.file {
        Some(file) => events(context, file),
        None => files(context),
    }
}

/// Lists what was cut off of all logs.
fn files(context: &Context) -> Result<(), Failure> {
    context.open_reader()?;
    let disk = &*context.doors.disk;
    let mut rows = context.rows(&["file", "log", "first", "next", "entries", "events"])?;
    let mut damaged = None;
    for path in cut_off_files(&context.directory, disk)? {
        match CutOff::read(&path, disk) {
            Ok(found) => rows.row(&[
                Cell::display(path.display()),
                Cell::display(found.log()),
                Cell::Number(found.indexes().start.0),
                Cell::Number(found.indexes().end.0),
                Cell::Number(found.slots().len() as u64),
                Cell::Number(found.events().count() as u64),
            ])?,
            // It may have made room for a newer one meanwhile.
            Err(CutOffError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => damaged = damaged.or(Some(error)),
        }
    }
    rows.finish()?;
    damaged.map_or(Ok(()), |error| Err(error.into()))
}

/// Writes the events of a file as `export` does.
fn events(context: &Context, file: &Path) -> Result<(), Failure> {
    if context.format.is_some_and(|format| format != Format::Ndjson) {
        let message = "the events of a file are written as ndjson only; leave `--format` away";
        return Err(Failure::new(Code::Usage, message));
    }
    let found = CutOff::read(file, &*context.doors.disk)?;
    let mut lines = Vec::new();
    found.events().for_each(|event| push_line(&mut lines, &event.into()));
    Ok(io::stdout().lock().write_all(&lines)?)
}
