//! `net-db blob gc`

use std::time::Duration;

use netdb::blob::CollectOptions;

use super::open_all;
use crate::arguments::CollectArguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;
use crate::progress::Progress;

/// What was put less long ago stays, however short room is.
const PRESSURE_FLOOR: Duration = Duration::from_secs(600);

pub(super) fn run(context: &Context, arguments: &CollectArguments) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let floor = if arguments.disk_pressure { PRESSURE_FLOOR } else { arguments.retention };
    let options = CollectOptions { floor, dry_run: arguments.dry_run, ..CollectOptions::default() };
    let mut collection = blobs.begin_collection(options)?;
    let mut progress = Progress::new(context);
    while collection.step()? {
        let so_far = collection.collected();
        progress.show(|_| format!("{} objects, {} bytes to go", so_far.removed, so_far.removed_bytes));
    }
    progress.clear();
    let collected = collection.collected();
    for hash in &collected.missing {
        context.note(format_args!(
            "{hash} is referred to, and not here: put it, or take away what refers to it"
        ));
    }
    if collected.damaged_packs > 0 {
        let packs = collected.damaged_packs;
        context.note(format_args!(
            "{packs} packs keep their garbage since something needed in them is damaged: `net-db blob verify` names it"
        ));
    }
    let number = Cell::Number;
    context.record(&[
        ("reached", number(collected.reached)),
        ("removed", number(collected.removed)),
        ("removed_bytes", number(collected.removed_bytes)),
        ("freed_bytes", number(collected.freed_bytes)),
        ("young", number(collected.young)),
        ("young_bytes", number(collected.young_bytes)),
        ("missing", number(collected.missing.len() as u64)),
        ("dry_run", Cell::Json(arguments.dry_run.to_string().into())),
    ])?;
    Ok(blobs.store().close()?)
}
