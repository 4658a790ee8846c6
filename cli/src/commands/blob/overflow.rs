//! `net-db blob overflow ...`

use netdb::{Blobs, OverflowChange, OverflowStatus};

use super::open_all;
use crate::arguments::{OverflowCommand, OverflowEnableArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::progress::Progress;

/// What is told of how it stands.
pub(super) const STATUS: [&str; 11] = [
    "enabled",
    "place",
    "high",
    "low",
    "pushes_per_tick",
    "quota",
    "used",
    "disk_ratio",
    "away_chunks",
    "away_bytes",
    "left_chunks",
];
/// What is told of what was moved.
pub(super) const MOVED: [&str; 6] =
    ["pushed", "pushed_bytes", "freed_bytes", "taken_back", "tidied", "failed"];

pub(super) fn run(context: &Context, command: OverflowCommand) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    match command {
        OverflowCommand::Status => status(context, &blobs)?,
        OverflowCommand::Enable(arguments) => enable(context, &blobs, arguments)?,
        OverflowCommand::Disable(arguments) => disable(context, &blobs, arguments.take_back)?,
        OverflowCommand::Run => tick(context, &blobs)?,
    }
    Ok(blobs.store().close()?)
}

fn enable(context: &Context, blobs: &Blobs, arguments: OverflowEnableArguments) -> Result<(), Failure> {
    let OverflowEnableArguments { place, high, low, pushes_per_tick, quota } = arguments;
    blobs.enable_overflow(&OverflowChange { place, high, low, pushes_per_tick, quota })?;
    status(context, blobs)
}

fn disable(context: &Context, blobs: &Blobs, take_back: bool) -> Result<(), Failure> {
    let chunks = blobs.disable_overflow(take_back)?;
    if take_back {
        context.note(format_args!("{chunks} chunks came back"));
    }
    status(context, blobs)
}

fn status(context: &Context, blobs: &Blobs) -> Result<(), Failure> {
    let OverflowStatus { settings, disk, away } = blobs.overflow_status()?;
    let (config, quota) =
        settings.as_ref().map(|settings| (settings.config, settings.quota)).unwrap_or_default();
    let (number, share) = (Cell::Number, |share: f64| Cell::Json(format!("{share:.3}").into()));
    let values = [
        Cell::Json(config.enabled.to_string().into()),
        settings.map_or(Cell::Null, |settings| Cell::Text(settings.place.into())),
        share(config.high),
        share(config.low),
        number(config.pushes_per_tick as u64),
        quota.map_or(Cell::Null, number),
        number(disk.used),
        share(disk.ratio()),
        number(away.chunks),
        number(away.bytes),
        number(away.left),
    ];
    Ok(context.record(&STATUS.into_iter().zip(values).collect::<Vec<_>>())?)
}

/// Goes on until the use is below the low watermark, or nothing goes any more.
fn tick(context: &Context, blobs: &Blobs) -> Result<(), Failure> {
    let mut progress = Progress::new(context);
    let sum = blobs.run_overflow(|sum| {
        progress.show(|_| format!("{} chunks went, {} bytes", sum.pushed, sum.pushed_bytes));
        true
    })?;
    progress.clear();
    let values = [sum.pushed, sum.pushed_bytes, sum.freed_bytes, sum.taken_back, sum.tidied, sum.failed]
        .map(Cell::Number);
    context.record(&MOVED.into_iter().zip(values).collect::<Vec<_>>())?;
    moved(sum.failed)
}

/// Tells whether all could be moved.
pub(super) fn moved(failed: u64) -> Result<(), Failure> {
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(Code::Unavailable, format!("{failed} chunks could not be moved"))
            .hint("they are as safe as before; look at the place, and run it again")),
    }
}
