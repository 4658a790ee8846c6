//! `net-db log append`

use std::io::{self, Read as _};

use netdb::redex::{AppendRequest, ChannelEvents, Condition, EVENT_BYTES_MAX, EventInput, Idempotency};

use crate::arguments::AppendArguments;
use crate::context::{Context, Target};
use crate::exit::{Code, Failure};
use crate::output::Cell;

pub(super) fn run(context: &Context, arguments: &AppendArguments) -> Result<(), Failure> {
    let payload = payload(arguments.payload.as_deref())?;
    let headers: Vec<(&str, &[u8])> =
        arguments.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let event = EventInput {
        kind: &arguments.kind,
        key: arguments.key.as_deref(),
        headers: &headers,
        time: arguments.time,
        blobs: &[],
        payload: &payload,
    };
    let request = AppendRequest {
        parts: &[ChannelEvents { channel: &arguments.channel, events: &[event] }],
        conditions: &[Condition { channel: arguments.channel.clone(), expect: arguments.expect }],
        idempotency: arguments.idempotency_key.as_deref().map_or(Idempotency::None, Idempotency::Key),
    };

    match context.open_target()? {
        Target::Here(store) => {
            let appended = store.submit(&request)?.wait(arguments.ack).into_result()?;
            store.close()?;
            let ranges = appended.at.ranges().iter();
            let places = ranges.map(|range| (range.channel.as_str(), range.first.0));
            print(context, places, appended.at.index.0, appended.already)
        }
        Target::There(remote) => {
            let appended = remote.append(&request, arguments.ack)?;
            let places = appended.ranges.iter().map(|range| (range.channel.as_str(), range.first_seq));
            print(context, places, appended.position, appended.is_already())
        }
    }
}

fn payload(argument: Option<&str>) -> Result<Vec<u8>, Failure> {
    let Some("-") = argument else {
        return Ok(argument.unwrap_or_default().as_bytes().to_vec());
    };
    let mut payload = Vec::new();
    io::stdin()
        .take(EVENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut payload)
        .map_err(|error| Failure::system(&error, "cannot read standard input"))?;
    if payload.len() > EVENT_BYTES_MAX {
        let message = format!("standard input holds more than the {EVENT_BYTES_MAX} bytes of an event");
        return Err(Failure::new(Code::Failed, message));
    }
    Ok(payload)
}

fn print<'a>(
    context: &Context,
    places: impl Iterator<Item = (&'a str, u64)>,
    position: u64,
    is_already: bool,
) -> Result<(), Failure> {
    let mut rows = context.rows(&["channel", "seq", "position", "outcome"])?;
    for (channel, seq) in places {
        rows.row(&[
            Cell::Text(channel.into()),
            Cell::Number(seq),
            Cell::Number(position),
            Cell::Text(if is_already { "already-appended" } else { "appended" }.into()),
        ])?;
    }
    Ok(rows.finish()?)
}
