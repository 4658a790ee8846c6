//! `net-db log channels`

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let log = store.main();
    let mut rows = context.rows(&["channel", "events", "first_seq", "next_seq", "created_at", "log"])?;
    for channel in log.view().channels()? {
        rows.row(&[
            Cell::display(&channel.name),
            Cell::Number(channel.next_seq.0.saturating_sub(channel.first_seq.0)),
            Cell::Number(channel.first_seq.0),
            Cell::Number(channel.next_seq.0),
            Cell::display(channel.created_at),
            Cell::Text(log.name().into()),
        ])?;
    }
    Ok(rows.finish()?)
}
