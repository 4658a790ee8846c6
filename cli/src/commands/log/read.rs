//! `net-db log read`

use netdb::redex::{Bounds, Channels, Selection};

use super::events;
use crate::arguments::ReadArguments;
use crate::context::{Context, find_channel};
use crate::exit::Failure;

pub(super) fn run(context: &Context, arguments: ReadArguments) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let view = store.view();
    find_channel(&view, &arguments.channel)?;

    let format = context.output_format();
    let mut rows = context.rows(events::columns(format))?;
    let mut scan = view.scan(&selection(arguments))?;
    while let Some(chunk) = scan.next_chunk()? {
        for event in chunk.events() {
            rows.row(&events::cells(&event.into(), format))?;
        }
    }
    Ok(rows.finish()?)
}

fn selection(arguments: ReadArguments) -> Selection {
    Selection {
        channels: Channels::Names(vec![arguments.channel]),
        seqs: Bounds { from: arguments.from, to: arguments.to },
        recorded: Bounds { from: arguments.since, to: arguments.until },
        kinds: some(arguments.kinds),
        keys: some(arguments.keys),
        reverse: arguments.reverse,
        limit: arguments.limit,
        last: arguments.last,
        ..Selection::default()
    }
}

/// No value at all means that any will do.
fn some(values: Vec<String>) -> Option<Vec<String>> {
    (!values.is_empty()).then_some(values)
}
