//! `net-db log fsck`

use std::path::Path;

use netdb::redex::{RecoveryReport, VerifyOptions, VerifyReport, verify_all};

use crate::arguments::FsckArguments;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;

const COLUMNS: [&str; 5] = ["finding", "file", "offset", "what", "then"];

type Finding = [Cell<'static>; 5];

pub(super) fn run(context: &Context, arguments: &FsckArguments) -> Result<(), Failure> {
    context.open_reader()?;
    let repaired = if arguments.repair { repair(context)? } else { Vec::new() };
    let reports = verify_all(&context.directory, &context.doors, &VerifyOptions::default())?;
    let mut rows = context.rows(&COLUMNS)?;
    for finding in repaired.into_iter().chain(reports.iter().flat_map(findings)) {
        rows.row(&finding)?;
    }
    rows.finish()?;
    match reports.iter().map(|report| report.faults.len()).sum::<usize>() {
        0 => Ok(()),
        count => {
            let what = format!("{count} damaged places; everything else reads");
            Err(Failure::new(Code::Corrupt, what)
                .hint("keep a copy of the directory and restore a backup beside it"))
        }
    }
}

/// Does what opening for writing does; returns what that was.
fn repair(context: &Context) -> Result<Vec<Finding>, Failure> {
    let store = context.open_writer()?;
    let reports = store.recoveries();
    store.close()?;
    Ok(reports.iter().flat_map(|(_, report)| done(report)).collect())
}

fn done(report: &RecoveryReport) -> Vec<Finding> {
    let mut done = Vec::new();
    if report.torn_bytes > 0 {
        let what = format!("{} bytes that were never acknowledged as durable", report.torn_bytes);
        done.push(finding("torn end", Path::new(""), 0, what, "removed"));
    }
    if report.rewritten_entries > 0 {
        let what = format!("{} entries that nothing testified to be on disk", report.rewritten_entries);
        done.push(finding("unsynced end", Path::new(""), 0, what, "written again and synced"));
    }
    for range in &report.quarantined {
        let what = format!(
            "{} bytes with entries {} to {}",
            range.bytes,
            range.first,
            range.next.0.saturating_sub(1)
        );
        let then = format!("set aside as {}", range.saved_as.display());
        done.push(finding("damage", &range.file, range.offset, what, &then));
    }
    for path in &report.repaired {
        done.push(finding(
            "damaged copy",
            path,
            0,
            "one of two copies".to_owned(),
            "written anew from the other",
        ));
    }
    done
}

fn findings(report: &VerifyReport) -> Vec<Finding> {
    let torn = report.torn_tail.iter().map(|torn| {
        let what = format!("{} bytes that were never acknowledged as durable", torn.bytes);
        finding("torn end", &torn.file, torn.offset, what, "removed when the log is opened for writing")
    });
    let derived = report.derived.iter().map(|path| {
        finding("derived file", path, 0, "does not read".to_owned(), "made again when it is needed")
    });
    let damage = report.faults.iter().map(|fault| {
        let what = format!("expected {}, found {}", fault.expected, fault.found);
        let then = match fault.found.contains("lost to corruption") {
            true => "on record: reads across it fail unless they skip holes",
            false => {
                "opening for writing sets it aside in the newest segment; elsewhere reads across it fail"
            }
        };
        finding("damage", &fault.file, fault.offset, what, then)
    });
    torn.chain(derived).chain(damage).collect()
}

fn finding(name: &'static str, file: &Path, offset: u64, what: String, then: &str) -> Finding {
    [
        Cell::Text(name.into()),
        Cell::display(file.display()),
        Cell::Number(offset),
        Cell::Text(what.into()),
        Cell::Text(then.to_owned().into()),
    ]
}
