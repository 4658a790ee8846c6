//! `net-db export`

use std::io::{self, BufWriter, Write};
use std::path::Path;

use netdb::redex::{Bounds, Channels, Selection, StoreView};

use crate::arguments::ExportArguments;
use crate::context::{Context, find_channel};
use crate::exit::{Code, Failure};
use crate::export::{Target, push_line};
use crate::output::Format;

pub(super) fn run(context: &Context, arguments: &ExportArguments) -> Result<(), Failure> {
    if context.format.is_some_and(|format| format != Format::Ndjson) {
        return Err(Failure::new(Code::Usage, "export writes ndjson only; leave `--format` away"));
    }
    let store = context.open_reader()?;
    let view = store.view();
    let channels = match &arguments.channel {
        Some(name) => Channels::Names(vec![find_channel(&view, name)?.name().clone()]),
        None => Channels::All,
    };
    let seqs = Bounds { from: arguments.from, to: arguments.to };
    let selection = Selection { channels, seqs, ..Selection::default() };

    if arguments.file == Path::new("-") {
        let mut out = BufWriter::with_capacity(64 << 10, io::stdout());
        write_events(context, &view, &selection, &mut out)?;
        return Ok(out.flush()?);
    }
    let mut target = Target::create(&arguments.file)?;
    let _caught = context.interrupts.catch(|| {});
    let events = write_events(context, &view, &selection, target.writer())?;
    target.finish()?;
    context.note(format_args!("exported {events} events to {}", arguments.file.display()));
    Ok(())
}

fn write_events(
    context: &Context,
    view: &StoreView,
    selection: &Selection,
    out: &mut impl Write,
) -> Result<u64, Failure> {
    let mut scan = view.scan(selection)?;
    let mut lines = Vec::new();
    let mut events = 0;
    while let Some(chunk) = scan.next_chunk()? {
        if context.interrupts.raised() {
            return Err(Failure::silent(Code::Interrupted));
        }
        lines.clear();
        for event in chunk.events() {
            push_line(&mut lines, &event.into());
            events += 1;
        }
        out.write_all(&lines)?;
    }
    Ok(events)
}
