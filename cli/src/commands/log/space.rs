//! `net-db log space`

use netdb::redex::{SpaceReport, space_of_all};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    context.open_reader()?;
    let logs = space_of_all(&context.directory, &context.doors)?;
    Ok(context.records(&logs.iter().map(|(log, report)| described(log, report)).collect::<Vec<_>>())?)
}

fn described(log: &str, report: &SpaceReport) -> Vec<(&'static str, Cell<'static>)> {
    vec![
        ("log", Cell::Text(log.to_owned().into())),
        ("total", Cell::Number(report.total())),
        ("live", Cell::Number(report.live)),
        ("ahead", Cell::Number(report.ahead)),
        ("derived", Cell::Number(report.derived)),
        ("garbage", Cell::Number(report.garbage())),
        ("quarantined", Cell::Number(report.quarantined)),
        ("reclaimable", Cell::Number(report.reclaimable())),
    ]
}
