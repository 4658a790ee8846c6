//! `net-db blob overflow ...`

use netdb::Blobs;
use netdb::blob::{OverflowConfig, Ticked};

use super::open_all;
use crate::arguments::{OverflowCommand, OverflowEnableArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::progress::Progress;

pub(super) fn run(context: &Context, command: OverflowCommand) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    match command {
        OverflowCommand::Status => status(context, &blobs)?,
        OverflowCommand::Enable(arguments) => enable(context, &blobs, &arguments)?,
        OverflowCommand::Disable(arguments) => disable(context, &blobs, arguments.take_back)?,
        OverflowCommand::Run => tick(context, &blobs)?,
    }
    Ok(blobs.store().close()?)
}

fn enable(context: &Context, blobs: &Blobs, arguments: &OverflowEnableArguments) -> Result<(), Failure> {
    let before = blobs.overflow_settings()?;
    let (config, quota) = before.map(|before| (before.config, before.quota)).unwrap_or_default();
    let OverflowEnableArguments { place, high, low, pushes_per_tick, quota: wanted } = arguments;
    let config = OverflowConfig {
        enabled: true,
        high: high.unwrap_or(config.high),
        low: low.unwrap_or(config.low),
        pushes_per_tick: pushes_per_tick.unwrap_or(config.pushes_per_tick),
        tick: config.tick,
    };
    blobs.set_overflow(place.as_deref(), config, wanted.or(quota))?;
    status(context, blobs)
}

fn disable(context: &Context, blobs: &Blobs, take_back: bool) -> Result<(), Failure> {
    let Some(settings) = blobs.overflow_settings()? else { return status(context, blobs) };
    let config = OverflowConfig { enabled: false, ..settings.config };
    let overflow = blobs.set_overflow(None, config, settings.quota)?;
    if take_back {
        let chunks = overflow.take_all_back()?;
        context.note(format_args!("{chunks} chunks came back"));
    }
    status(context, blobs)
}

fn status(context: &Context, blobs: &Blobs) -> Result<(), Failure> {
    let settings = blobs.overflow_settings()?;
    let (config, quota) =
        settings.as_ref().map(|settings| (settings.config, settings.quota)).unwrap_or_default();
    let (disk, away) = (blobs.store().disk_use(quota)?, blobs.store().objects().away_use());
    let (number, share) = (Cell::Number, |share: f64| Cell::Json(format!("{share:.3}").into()));
    Ok(context.record(&[
        ("enabled", Cell::Json(config.enabled.to_string().into())),
        ("place", settings.map_or(Cell::Null, |settings| Cell::Text(settings.place.into()))),
        ("high", share(config.high)),
        ("low", share(config.low)),
        ("pushes_per_tick", number(config.pushes_per_tick as u64)),
        ("quota", quota.map_or(Cell::Null, number)),
        ("used", number(disk.used)),
        ("disk_ratio", share(disk.ratio())),
        ("away_chunks", number(away.chunks)),
        ("away_bytes", number(away.bytes)),
        ("left_chunks", number(away.left)),
    ])?)
}

/// Goes on until the use is below the low watermark, or nothing goes any more.
fn tick(context: &Context, blobs: &Blobs) -> Result<(), Failure> {
    if blobs.overflow_settings()?.is_none_or(|settings| !settings.config.enabled) {
        return Err(Failure::new(Code::Conflict, "blobs overflow to nowhere")
            .hint("name a place: `net-db blob overflow enable file:///directory`"));
    }
    let (mut sum, mut progress) = (Ticked::default(), Progress::new(context));
    loop {
        let Some(ticked) = blobs.tick_overflow()? else { break };
        sum.pushed += ticked.pushed;
        sum.pushed_bytes += ticked.pushed_bytes;
        sum.freed_bytes += ticked.freed_bytes;
        sum.taken_back += ticked.taken_back;
        sum.tidied += ticked.tidied;
        sum.failed += ticked.failed;
        progress.show(|_| format!("{} chunks went, {} bytes", sum.pushed, sum.pushed_bytes));
        if ticked.failed > 0 || ticked.pushed + ticked.taken_back + ticked.tidied == 0 {
            break;
        }
    }
    progress.clear();
    let number = Cell::Number;
    context.record(&[
        ("pushed", number(sum.pushed)),
        ("pushed_bytes", number(sum.pushed_bytes)),
        ("freed_bytes", number(sum.freed_bytes)),
        ("taken_back", number(sum.taken_back)),
        ("tidied", number(sum.tidied)),
        ("failed", number(sum.failed)),
    ])?;
    match sum.failed {
        0 => Ok(()),
        failed => Err(Failure::new(Code::Unavailable, format!("{failed} chunks could not be moved"))
            .hint("they are as safe as before; look at the place, and run it again")),
    }
}
