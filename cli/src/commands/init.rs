//! `net-db init`

use redex::{LogOptions, Store};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = Store::create(&context.directory, &context.doors, &LogOptions::default())?;
    let log = store.main().reader();
    let (id, origin) = (log.id(), log.origin());
    store.close()?;
    let mut rows = context.rows(&["directory", "log", "origin"])?;
    rows.row(&[Cell::display(context.directory.display()), Cell::display(id), Cell::display(origin)])?;
    Ok(rows.finish()?)
}
