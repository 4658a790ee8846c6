//! `net-db log channels`

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let mut rows = context.rows(&["channel", "events", "first_seq", "next_seq", "created_at", "log"])?;
    for channel in store.main().view().channels()? {
        rows.row(&[
            Cell::display(&channel.name),
            Cell::Number(channel.next_seq.0.saturating_sub(channel.first_seq.0)),
            Cell::Number(channel.first_seq.0),
            Cell::Number(channel.next_seq.0),
            Cell::display(channel.created_at),
            Cell::Text(channel.log.into()),
        ])?;
    }
    Ok(rows.finish()?)
}
