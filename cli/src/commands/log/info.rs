//! `net-db log info`

use netdb::base::Position;
use netdb::redex::{LogReader, Owner, read_owner};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let owner = read_owner(&*context.doors.disk, &context.directory);
    let logs = store.logs().into_iter().map(|log| described(&log, owner.as_ref()));
    Ok(context.records(&logs.collect::<Result<Vec<_>, _>>()?)?)
}

fn described(log: &LogReader, owner: Option<&Owner>) -> Result<Vec<(&'static str, Cell<'static>)>, Failure> {
    let view = log.view();
    let segments = view.segments();
    let written = view.position() > Position::ZERO;
    Ok(vec![
        ("log", Cell::Text(log.name().to_owned().into())),
        ("id", Cell::display(log.id())),
        ("origin", Cell::display(log.origin())),
        ("begins", Cell::Number(view.begins().0)),
        ("position", Cell::Number(view.position().0)),
        ("channels", Cell::Number(view.channels()?.len() as u64)),
        ("segments", Cell::Number(segments.len() as u64)),
        ("bytes", Cell::Number(segments.iter().map(|segment| segment.bytes).sum())),
        ("incarnations", Cell::Number(view.incarnations().len() as u64)),
        ("last_recorded_at", Cell::time(written.then(|| view.last_recorded_at()).transpose()?)),
        ("writer", owner.map_or(Cell::Null, owner_text)),
    ])
}

fn owner_text(owner: &Owner) -> Cell<'static> {
    Cell::display(format_args!("process {} on {}", owner.pid, owner.host))
}
