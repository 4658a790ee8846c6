//! Writes: commands that become events, alone or several at once.

use base::{ChannelName, Timestamp};
use redex::{AppendError, AppendRequest, ChannelEvents, Condition, EventInput, Idempotency};

use crate::{Fold, Folded, Written};

/// Something that a model can be asked to do.
pub trait Command: std::fmt::Debug {
    /// Returns the channel of its events.
    fn channel(&self) -> &'static ChannelName;

    /// Returns the event's kind.
    fn kind(&self) -> &'static str;

    /// Returns what the event is about.
    fn key(&self) -> String;

    /// Returns the event's payload.
    fn payload(&self, guard: Option<super::Guard>) -> Vec<u8>;
}

/// How a write is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// When it happened, as the writer says; without it, when the log puts it in order.
    pub at: Option<Timestamp>,
    /// What must hold of the record.
    pub guard: Option<super::Guard>,
    /// The key that a repetition is recognised by, at most 1,024 bytes.
    pub idempotency_key: Option<&'a str>,
}

/// Stages one command.
pub(crate) fn write<F: Fold>(
    model: &Folded<F>,
    command: &impl Command,
    options: &WriteOptions<'_>,
) -> Result<Written<F>, AppendError> {
    let (key, payload) = (command.key(), command.payload(options.guard));
    let event = EventInput { key: Some(&key), time: options.at, ..EventInput::new(command.kind(), &payload) };
    let events = [event];
    let parts = [ChannelEvents { channel: command.channel(), events: &events }];
    let idempotency = options.idempotency_key.map_or(Idempotency::None, Idempotency::Key);
    model.submit(&AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() })
}

/// Several commands, of any models of one log, that come into it together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    commands: Vec<Encoded>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Encoded {
    channel: &'static ChannelName,
    kind: &'static str,
    key: String,
    payload: Vec<u8>,
    at: Option<Timestamp>,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a command.
    pub fn push(&mut self, command: &impl Command, options: &WriteOptions<'_>) -> &mut Self {
        self.commands.push(Encoded {
            channel: command.channel(),
            kind: command.kind(),
            key: command.key(),
            payload: command.payload(options.guard),
            at: options.at,
        });
        self
    }

    /// Demands something of a channel of the log, such as that a model's has not moved on: then nothing of the batch
    /// comes into the log.
    pub fn expect(&mut self, condition: Condition) -> &mut Self {
        self.conditions.push(condition);
        self
    }

    /// Returns how many commands there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Stages the batch; any model of the log can be waited on for it.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn submit<F: Fold>(
        &self,
        model: &Folded<F>,
        idempotency_key: Option<&str>,
    ) -> Result<Written<F>, AppendError> {
        let events: Vec<EventInput<'_>> = self
            .commands
            .iter()
            .map(|command| EventInput {
                key: Some(&command.key),
                time: command.at,
                ..EventInput::new(command.kind, &command.payload)
            })
            .collect();
        let mut parts: Vec<ChannelEvents<'_>> = Vec::new();
        let mut begin = 0;
        for (place, command) in self.commands.iter().enumerate() {
            let ends = self.commands.get(place + 1).is_none_or(|next| next.channel != command.channel);
            if ends {
                parts.push(ChannelEvents { channel: command.channel, events: &events[begin..=place] });
                begin = place + 1;
            }
        }
        let idempotency = idempotency_key.map_or(Idempotency::None, Idempotency::Key);
        model.submit(&AppendRequest { parts: &parts, conditions: &self.conditions, idempotency })
    }
}
