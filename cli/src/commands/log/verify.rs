//! `net-db log verify`

use std::path::Path;

use netdb::base::OpenMode;
use netdb::redex::{
    Fault, ForkProof, IncarnationReport, VerifyOptions, VerifyReport, fork_proofs, verify_all,
};
use serde_json::Value;

use crate::arguments::VerifyArguments;
use crate::context::{Context, find_channel};
use crate::exit::{Code, Failure};
use crate::output::{Cell, Format};

const INCARNATION_COLUMNS: [&str; 5] = ["incarnation", "first", "next", "signed", "adopted"];
const FAULT_COLUMNS: [&str; 4] = ["file", "offset", "expected", "found"];

type Field = (&'static str, Cell<'static>);

pub(super) fn run(context: &Context, arguments: VerifyArguments) -> Result<(), Failure> {
    if let Some(path) = &arguments.proof {
        return verify_proof(context, path);
    }
    let store = context.open_reader()?;
    if let Some(channel) = &arguments.channel {
        find_channel(&store.view(), channel)?;
    }
    let options = VerifyOptions { channel: arguments.channel, all_signatures: arguments.all_signatures };
    let reports = verify_all(&context.directory, &context.doors, &options)?;
    match context.output_format() {
        Format::Table => {
            for report in &reports {
                print_for_people(context, report)?;
            }
        }
        _ => {
            let records = reports.iter().map(|report| [summary(report), lists(report)].concat());
            context.records(&records.collect::<Vec<_>>())?;
        }
    }
    let forks = fork_proofs(&context.directory, &*context.doors.disk)?;
    for found in &forks {
        match &found.proof {
            Ok(proof) => context.note(format_args!("{}: {proof}", found.path.display())),
            Err(error) => context.note(format_args!("{}: {error}", found.path.display())),
        }
    }
    let faults: Vec<&Fault> = reports.iter().flat_map(|report| &report.faults).collect();
    match (faults.as_slice(), forks.as_slice()) {
        ([], []) => Ok(()),
        ([], [first, ..]) => {
            let file = first.path.display();
            let what = match &first.proof {
                Ok(_) => format!("{file} proves a fork ({} files in `forks`)", forks.len()),
                Err(error) => format!("{file}: {error}"),
            };
            Err(Failure::new(Code::Corrupt, what).hint(FORK_HINT))
        }
        ([first, ..], _) => Err(failure(first, faults.len())),
    }
}

/// What to do about a fork.
const FORK_HINT: &str =
    "find the node that has the key, stop it and remove it from the cluster; keep the files";

/// Verifies a proof by its bytes alone.
fn verify_proof(context: &Context, path: &Path) -> Result<(), Failure> {
    let read = || -> std::io::Result<Vec<u8>> {
        let file = context.doors.disk.open(path, OpenMode::Read)?;
        netdb::base::read_to_end(&*file, 4_096)
    };
    let bytes = read().map_err(|cause| Failure::new(Code::Failed, format!("{}: {cause}", path.display())))?;
    let proof = ForkProof::verify(&bytes)
        .map_err(|error| Failure::new(Code::Corrupt, format!("{}: {error}", path.display())))?;
    let [first, second] = proof.hashes();
    context.record(&[
        ("verdict", Cell::Text("fork".into())),
        ("file", Cell::display(path.display())),
        ("log", Cell::display(proof.log())),
        ("incarnation", Cell::display(proof.incarnation())),
        ("position", Cell::Number(proof.index().0)),
        ("key", Cell::display(proof.key())),
        ("first_hash", Cell::display(first)),
        ("second_hash", Cell::display(second)),
    ])?;
    Ok(())
}

fn summary(report: &VerifyReport) -> Vec<Field> {
    let verdict = if report.faults.is_empty() { "passed" } else { "failed" };
    let mut fields = vec![
        ("verdict", Cell::Text(verdict.into())),
        ("name", Cell::Text(report.name.clone().into())),
        ("log", Cell::display(report.log)),
        ("origin", Cell::display(report.origin)),
        ("begins", Cell::Number(report.begins.0)),
        ("position", Cell::Number(report.position.0)),
        ("root", Cell::display(report.root)),
        ("entries", Cell::Number(report.entries)),
        ("events", Cell::Number(report.events)),
        ("redacted", Cell::Number(report.redacted)),
        ("bytes", Cell::Number(report.bytes)),
        ("segments", Cell::Number(report.segments)),
        ("signatures", Cell::Number(report.signatures)),
        ("unsigned", Cell::Number(report.unsigned)),
    ];
    if let Some(events) = report.channel_events {
        fields.push(("channel_events", Cell::Number(events)));
    }
    fields
}

/// What the summary leaves out, as JSON.
fn lists(report: &VerifyReport) -> Vec<Field> {
    let torn_tail = report.torn_tail.as_ref().map_or(Cell::Null, |torn| {
        let cells = [Cell::display(torn.file.display()), Cell::Number(torn.offset), Cell::Number(torn.bytes)];
        Cell::Json(object(&["file", "offset", "bytes"], &cells).to_string().into())
    });
    let incarnations = report.incarnations.iter().map(|it| object(&INCARNATION_COLUMNS, &incarnation(it)));
    let derived = report.derived.iter().map(|path| path.display().to_string().into());
    let faults = report.faults.iter().map(|it| object(&FAULT_COLUMNS, &fault(it)));
    vec![
        ("incarnations", array(incarnations)),
        ("torn_tail", torn_tail),
        ("derived", array(derived)),
        ("faults", array(faults)),
    ]
}

fn print_for_people(context: &Context, report: &VerifyReport) -> Result<(), Failure> {
    context.record(&summary(report))?;
    print_list(context, &INCARNATION_COLUMNS, report.incarnations.iter().map(incarnation))?;
    if !report.faults.is_empty() {
        print_list(context, &FAULT_COLUMNS, report.faults.iter().map(fault))?;
    }
    if let Some(torn) = &report.torn_tail {
        context.note(format_args!(
            "{} has a torn end of {} bytes at offset {}: never acknowledged as durable, no fault, removed when \
             the log is next opened for writing",
            torn.file.display(),
            torn.bytes,
            torn.offset
        ));
    }
    for path in &report.derived {
        context
            .note(format_args!("{} does not read: it is derived, and rebuilt when needed", path.display()));
    }
    Ok(())
}

fn print_list<const N: usize>(
    context: &Context,
    columns: &[&str; N],
    list: impl Iterator<Item = [Cell<'static>; N]>,
) -> Result<(), Failure> {
    let mut rows = context.rows(columns)?;
    rows.blank_line()?;
    for cells in list {
        rows.row(&cells)?;
    }
    Ok(rows.finish()?)
}

fn incarnation(report: &IncarnationReport) -> [Cell<'static>; 5] {
    [
        Cell::display(report.id),
        Cell::Number(report.first.0),
        Cell::Number(report.next.0),
        Cell::Number(report.signed.0),
        Cell::Number(report.adopted),
    ]
}

fn fault(fault: &Fault) -> [Cell<'static>; 4] {
    [
        Cell::display(fault.file.display()),
        Cell::Number(fault.offset),
        Cell::Text(fault.expected.clone().into()),
        Cell::Text(fault.found.clone().into()),
    ]
}

fn object(names: &[&str], cells: &[Cell<'_>]) -> Value {
    let named = names.iter().zip(cells);
    Value::Object(named.map(|(name, cell)| ((*name).to_owned(), cell.to_value())).collect())
}

fn array(values: impl Iterator<Item = Value>) -> Cell<'static> {
    Cell::Json(values.collect::<Value>().to_string().into())
}

fn failure(first: &Fault, count: usize) -> Failure {
    let more = if count > 1 { format!(" (the first of {count} faults)") } else { String::new() };
    let (file, offset) = (first.file.display(), first.offset);
    let (expected, found) = (&first.expected, &first.found);
    let what = format!("{file} at offset {offset}: expected {expected}, found {found}{more}");
    Failure::new(Code::Corrupt, what).hint("keep a copy of the directory and restore a backup beside it")
}
