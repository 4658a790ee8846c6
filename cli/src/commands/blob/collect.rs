//! `net-db blob gc`

use netdb::KeepOptions;
use netdb::blob::CollectOptions;

use super::open_all;
use crate::arguments::CollectArguments;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;
use crate::progress::Progress;

/// What is told of a collection.
pub(super) const FIELDS: [&str; 8] =
    ["reached", "removed", "removed_bytes", "freed_bytes", "young", "young_bytes", "missing", "dry_run"];

pub(super) fn run(context: &Context, arguments: &CollectArguments) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let short = KeepOptions::default().pressure_floor;
    let floor = if arguments.disk_pressure { short } else { arguments.retention };
    let options = CollectOptions { floor, dry_run: arguments.dry_run, ..CollectOptions::default() };
    let mut collection = match arguments.beside_holes {
        true => blobs.begin_collection_beside_holes(options)?,
        false => blobs.begin_collection(options)?,
    };
    let mut progress = Progress::new(context);
    while collection.step()? {
        let so_far = collection.collected();
        progress.show(|_| format!("{} objects, {} bytes to go", so_far.removed, so_far.removed_bytes));
    }
    progress.clear();
    let collected = collection.collected();
    for hash in &collected.missing {
        tell_missing(context, hash);
    }
    tell_damaged(context, collected.damaged_packs);
    let number = Cell::Number;
    let values = [
        number(collected.reached),
        number(collected.removed),
        number(collected.removed_bytes),
        number(collected.freed_bytes),
        number(collected.young),
        number(collected.young_bytes),
        number(collected.missing.len() as u64),
        Cell::Json(arguments.dry_run.to_string().into()),
    ];
    context.record(&FIELDS.into_iter().zip(values).collect::<Vec<_>>())?;
    Ok(blobs.store().close()?)
}

pub(super) fn tell_missing(context: &Context, hash: impl std::fmt::Display) {
    context.note(format_args!("{hash} is referred to, and not here: put it, or take away what refers to it"));
}

pub(super) fn tell_damaged(context: &Context, packs: u64) {
    if packs > 0 {
        context.note(format_args!(
            "{packs} packs keep their garbage since something needed in them is damaged: `net-db blob verify` names it"
        ));
    }
}
