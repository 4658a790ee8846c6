//! `net-db log space`

use netdb::redex::space;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    context.open_reader()?;
    let report = space(&context.directory, &context.doors)?;
    context.record(&[
        ("total", Cell::Number(report.total())),
        ("live", Cell::Number(report.live)),
        ("ahead", Cell::Number(report.ahead)),
        ("derived", Cell::Number(report.derived)),
        ("garbage", Cell::Number(report.garbage())),
        ("quarantined", Cell::Number(report.quarantined)),
        ("reclaimable", Cell::Number(report.reclaimable())),
    ])?;
    Ok(())
}
