//! Events of several lines, packed into few allocations, on their way to one atomic append.

use std::ops::Range;

use base::{ChannelName, Hash, Timestamp};
use redex::{BlobReference, ChannelEvents, EventInput};

use super::record::Record;

/// What becomes one append: the events of consecutive lines.
#[derive(Debug)]
pub struct Batch {
    /// The events, in the order of their lines.
    pub events: Events,
    /// The number of the last line, counted from 1 from the beginning of the input.
    pub last_line: u64,
    /// The BLAKE3 of all lines up to it, each ended by one `\n`.
    pub digest: Hash,
}

/// Events whose texts and bytes lie one behind the other in two buffers.
#[derive(Debug, Default)]
pub struct Events {
    text: String,
    bytes: Vec<u8>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    blobs: Vec<BlobReference>,
    events: Vec<Packed>,
    /// Consecutive events of one channel, by the number of events up to its end.
    runs: Vec<(ChannelName, usize)>,
}

#[derive(Debug)]
struct Packed {
    kind: Range<usize>,
    key: Option<Range<usize>>,
    time: Option<Timestamp>,
    headers: Range<usize>,
    blobs: Range<usize>,
    payload: Range<usize>,
}

impl Events {
    /// Returns how many events there are.
    #[allow(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the channel of the first event.
    pub fn channel(&self) -> Option<&ChannelName> {
        self.runs.first().map(|(channel, _)| channel)
    }

    /// Returns the channel of the last event.
    pub fn last_channel(&self) -> Option<&ChannelName> {
        self.runs.last().map(|(channel, _)| channel)
    }

    pub(crate) fn push(&mut self, channel: &ChannelName, record: &Record<'_>) {
        let first_header = self.headers.len();
        for (name, value) in &record.headers {
            let header = (push_text(&mut self.text, name), push_bytes(&mut self.bytes, value));
            self.headers.push(header);
        }
        let first_blob = self.blobs.len();
        self.blobs.extend_from_slice(&record.blobs);
        self.events.push(Packed {
            kind: push_text(&mut self.text, &record.kind),
            key: record.key.as_ref().map(|key| push_text(&mut self.text, key)),
            time: record.time,
            headers: first_header..self.headers.len(),
            blobs: first_blob..self.blobs.len(),
            payload: push_bytes(&mut self.bytes, &record.payload),
        });
        match self.runs.last_mut() {
            Some((last, end)) if last == channel => *end += 1,
            _ => self.runs.push((channel.clone(), self.events.len())),
        }
    }

    /// Lends the events, in their order, to `append`.
    pub fn with_parts<T>(&self, append: impl FnOnce(&[ChannelEvents<'_>]) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.bytes[value.clone()]))
            .collect();
        let inputs: Vec<_> = self.events.iter().map(|packed| self.input(packed, &headers)).collect();
        let mut start = 0;
        let parts: Vec<_> = self
            .runs
            .iter()
            .map(|(channel, end)| {
                let events = &inputs[start..*end];
                start = *end;
                ChannelEvents { channel, events }
            })
            .collect();
        append(&parts)
    }

    fn input<'a>(&'a self, packed: &Packed, headers: &'a [(&'a str, &'a [u8])]) -> EventInput<'a> {
        let mut input = EventInput::new(&self.text[packed.kind.clone()], &self.bytes[packed.payload.clone()]);
        input.key = packed.key.clone().map(|key| &self.text[key]);
        input.time = packed.time;
        input.headers = &headers[packed.headers.clone()];
        input.blobs = &self.blobs[packed.blobs.clone()];
        input
    }
}

fn push_text(buffer: &mut String, text: &str) -> Range<usize> {
    let start = buffer.len();
    buffer.push_str(text);
    start..buffer.len()
}

fn push_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = buffer.len();
    buffer.extend_from_slice(bytes);
    start..buffer.len()
}

#[cfg(test)]
mod tests {
    use super::super::mapping::Mapping;
    use super::*;

    #[test]
    fn events_are_lent_as_they_were_pushed() {
        let mut events = Events::default();
        let lines = [
            (r#"{"type":"a","subject":"k","data":{"n":1},"h":"x","i":"2"}"#, "one"),
            (r#"{"type":"b","subject":"","time":"1970-01-01T00:00:01Z"}"#, "one"),
            (r#"{"type":"c","data_base64":"/w=="}"#, "two"),
            (r#"{"type":"d"}"#, "one"),
        ];
        for (line, channel) in lines {
            let record = Record::parse(line.as_bytes(), &Mapping::default()).unwrap();
            events.push(&ChannelName::new(channel).unwrap(), &record);
        }
        assert_eq!(events.len(), 4);
        events.with_parts(|parts| {
            let runs: Vec<_> = parts.iter().map(|part| (part.channel.as_str(), part.events.len())).collect();
            assert_eq!(runs, [("one", 2), ("two", 1), ("one", 1)]);
            let [first, second] = parts[0].events else { panic!("two events") };
            assert_eq!((first.kind, first.key, first.payload), ("a", Some("k"), &b"{\"n\":1}"[..]));
            assert_eq!(first.headers, [("h", &b"x"[..]), ("i", b"2")]);
            assert_eq!((second.key, second.time), (Some(""), Some(Timestamp::from_nanos(1_000_000_000))));
            assert_eq!(parts[1].events[0].payload, b"\xff");
            assert!(parts[2].events[0].headers.is_empty());
        });
    }
}
