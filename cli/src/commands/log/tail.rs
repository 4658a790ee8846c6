//! `net-db log tail`

use std::sync::Arc;
use std::time::Duration;

use netdb::base::Signal;
use netdb::redex::{Bounds, ChannelHistory, Channels, Selection, StoreReader};

use super::events;
use crate::arguments::TailArguments;
use crate::context::{Context, find_channel};
use crate::exit::{Code, Failure};
use crate::limits::TAIL_POLL_MS;

pub(super) fn run(context: &Context, arguments: &TailArguments) -> Result<(), Failure> {
    let store = context.open_reader()?;
    let channel = find_channel(&store.view(), &arguments.channel)?;
    let selection = Selection {
        channels: Channels::Names(vec![arguments.channel.clone()]),
        seqs: Bounds { from: Some(first_seq(arguments, &channel)), to: None },
        ..Selection::default()
    };
    follow(context, &store, selection, !arguments.no_follow)
}

fn first_seq(arguments: &TailArguments, channel: &ChannelHistory) -> u64 {
    match (arguments.from, arguments.last) {
        (Some(from), _) => from,
        (None, Some(last)) => channel.next_seq().0.saturating_sub(last),
        (None, None) => channel.first_seq().0,
    }
}

/// Prints what is there, then what another process adds, looking again every few milliseconds.
fn follow(context: &Context, store: &StoreReader, selection: Selection, wait: bool) -> Result<(), Failure> {
    let woken = Arc::new(Signal::new());
    let wake = Arc::clone(&woken);
    let _caught = context.interrupts.catch(move || wake.raise());

    let format = context.output_format();
    let mut rows = context.rows(events::columns(format))?;
    let mut tail = store.tail(selection);
    while !context.interrupts.raised() {
        let batch = tail.next_batch()?;
        for event in &batch {
            rows.row(&events::cells(&event.into(), format))?;
        }
        if !batch.is_empty() {
            continue;
        }
        rows.flush()?;
        if !wait {
            return Ok(rows.finish()?);
        }
        let clock = &context.doors.clock;
        clock.wait(&woken, Some(clock.monotonic() + Duration::from_millis(TAIL_POLL_MS)));
        store.refresh()?;
    }
    rows.finish()?;
    Err(Failure::silent(Code::Interrupted))
}
