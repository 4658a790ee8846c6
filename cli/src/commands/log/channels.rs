//! `net-db log channels`

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let mut rows = context.rows(&["channel", "events", "first_seq", "next_seq", "created_at", "log"])?;
    for channel in store.view().channels()? {
        let created = channel.parts.first().map_or(channel.living(), |first| first);
        let kept =
            channel.parts.iter().map(|part| part.info.next_seq.0.saturating_sub(part.info.first_seq.0));
        rows.row(&[
            Cell::display(channel.name()),
            Cell::Number(kept.sum()),
            Cell::Number(channel.first_seq().0),
            Cell::Number(channel.next_seq().0),
            Cell::display(created.info.created_at),
            Cell::Text(channel.living().log.as_str().into()),
        ])?;
    }
    Ok(rows.finish()?)
}
