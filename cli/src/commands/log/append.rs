//! `net-db log append`

use std::io::{self, Read as _};

use netdb::redex::{
    AppendRequest, Appended, ChannelEvents, Condition, EVENT_BYTES_MAX, EventInput, Idempotency,
};

use crate::arguments::AppendArguments;
use crate::context::Context;
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

    let store = context.open_writer()?;
    let appended = store.submit(&request)?.wait(arguments.ack).into_result()?;
    store.close()?;
    print(context, &appended)
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

fn print(context: &Context, appended: &Appended) -> Result<(), Failure> {
    let mut rows = context.rows(&["channel", "seq", "position", "outcome"])?;
    for range in appended.at.ranges() {
        rows.row(&[
            Cell::display(&range.channel),
            Cell::Number(range.first.0),
            Cell::Number(appended.at.index.0),
            Cell::Text(if appended.already { "already-appended" } else { "appended" }.into()),
        ])?;
    }
    Ok(rows.finish()?)
}
