//! `net-db log redact`

use crate::arguments::RedactArguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context, arguments: RedactArguments) -> Result<(), Failure> {
    // A directory that is not there has nothing to redact.
    context.open_reader()?;
    let store = context.open_writer()?;
    let done = store.redact(&arguments.channel, arguments.seqs, &arguments.reason)?;
    store.close()?;
    Ok(context.record(&[
        ("channel", Cell::display(&arguments.channel)),
        ("redacted", Cell::Number(done.events)),
        ("position", done.index.map_or(Cell::Null, |index| Cell::Number(index.0))),
    ])?)
}
