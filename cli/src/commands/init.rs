//! `net-db init`

use netdb::redex::{LogOptions, Store};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let store = Store::create(&context.directory, &context.doors, &LogOptions::default())?;
    let log = store.main().reader();
    let (id, origin) = (log.id(), log.origin());
    store.close()?;
    context.record(&[
        ("directory", Cell::display(context.directory.display())),
        ("log", Cell::display(id)),
        ("origin", Cell::display(origin)),
    ])?;
    Ok(())
}
