//! `net-db log info`

use redex::{LogView, Selection};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let log = store.main();
    let view = log.view();
    let segments = view.segments();
    let owner = store.owner();
    let mut rows = context.rows(&[
        "log",
        "id",
        "origin",
        "position",
        "channels",
        "segments",
        "bytes",
        "incarnations",
        "last_recorded_at",
        "writer",
    ])?;
    rows.row(&[
        Cell::Text(log.name().into()),
        Cell::display(log.id()),
        Cell::display(log.origin()),
        Cell::Number(view.position().0),
        Cell::Number(view.channels()?.len() as u64),
        Cell::Number(segments.len() as u64),
        Cell::Number(segments.iter().map(|segment| segment.bytes).sum()),
        Cell::Number(view.incarnations()?.len() as u64),
        last_recorded_at(&view)?,
        owner.map_or(Cell::Null, |owner| {
            Cell::display(format_args!("process {} on {}", owner.pid, owner.host))
        }),
    ])?;
    Ok(rows.finish()?)
}

fn last_recorded_at(view: &LogView) -> Result<Cell<'static>, Failure> {
    let newest = Selection { last: Some(1), skip_holes: true, ..Selection::default() };
    let chunk = view.scan(&newest)?.next_chunk()?;
    let time = chunk.as_ref().and_then(|chunk| chunk.events().last().map(|event| event.recorded_at));
    Ok(Cell::time(time))
}
