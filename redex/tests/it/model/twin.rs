//! The naive twin of a log: a list of events, and what a sequencer has to remember, in the plainest form.

use std::collections::BTreeMap;

use base::{Hash, Position, Seq, Timestamp};
use redex::{
    At, BlobReference, ChannelConfig, ChannelInfo, Channels, Condition, Event, EventInput, Expect, Outcome,
    Rejection, Selection,
};

use crate::support::channel;

/// An event as a caller hands it in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    pub kind: String,
    pub key: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub time: Option<i64>,
    pub blobs: Vec<BlobReference>,
    pub payload: Vec<u8>,
}

/// What an append is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Repeat {
    #[default]
    None,
    Key(String),
    Producer {
        id: String,
        number: u64,
        digest: Option<Hash>,
    },
}

/// An append as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    pub parts: Parts,
    pub conditions: Vec<(String, Expect)>,
    pub repeat: Repeat,
}

/// An event as it must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub channel: String,
    pub seq: u64,
    pub index: u64,
    pub ordinal: u32,
    pub recorded_at: i64,
    pub input: Input,
}

/// Channels and what goes into each of them, in order.
pub type Parts = Vec<(String, Vec<Input>)>;

#[derive(Debug, Clone)]
pub struct Channel {
    pub next: u64,
    pub created_index: u64,
    pub created_at: i64,
    pub config: ChannelConfig,
}

/// What the log must make of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Append,
    Already(At),
    Rejected(Rejection),
}

#[derive(Debug, Default)]
pub struct Twin {
    pub events: Vec<Stored>,
    pub channels: BTreeMap<String, Channel>,
    producers: BTreeMap<String, (u64, Digest, At)>,
    keys: BTreeMap<String, (Parts, At)>,
    /// Index and recording time of the newest entry that is known.
    entry: Option<(u64, i64)>,
    events_of_entry: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Digest {
    Given(Hash),
    Content(Parts),
}

impl Request {
    fn digest(&self) -> Digest {
        match &self.repeat {
            Repeat::Producer { digest: Some(digest), .. } => Digest::Given(*digest),
            _ => Digest::Content(self.parts.clone()),
        }
    }

    pub fn events(&self) -> usize {
        self.parts.iter().map(|(_, events)| events.len()).sum()
    }
}

impl Twin {
    pub fn next_seq(&self, name: &str) -> Option<u64> {
        self.channels.get(name).map(|channel| channel.next)
    }

    pub fn producer(&self, id: &str) -> Option<u64> {
        self.producers.get(id).map(|(number, ..)| *number)
    }

    /// Decides on a request as the sequencer must: repetitions first, then conditions.
    pub fn decide(&self, request: &Request) -> Decision {
        match &request.repeat {
            Repeat::None => {}
            Repeat::Key(key) => match self.keys.get(key) {
                Some((parts, at)) if *parts == request.parts => return Decision::Already(at.clone()),
                Some((_, at)) => {
                    let at = Box::new(at.clone());
                    return Decision::Rejected(Rejection::KeyReused { key: key.clone(), at });
                }
                None => {}
            },
            Repeat::Producer { id, number, .. } => match self.producers.get(id) {
                Some((last, digest, at)) if number == last && *digest == request.digest() => {
                    return Decision::Already(at.clone());
                }
                Some((last, ..)) if number <= last => {
                    let (id, number, last) = (id.clone(), *number, *last);
                    return Decision::Rejected(Rejection::StaleProducer { id, number, last });
                }
                _ => {}
            },
        }
        for (name, expect) in &request.conditions {
            let actual = self.next_seq(name);
            let holds = match expect {
                Expect::Any => true,
                Expect::NoChannel => actual.is_none(),
                Expect::Exists => actual.is_some(),
                Expect::Exact(seq) => actual == Some(seq.0),
            };
            if !holds {
                let (channel, actual) = (channel(name), actual.map(Seq));
                return Decision::Rejected(Rejection::ConditionFailed { channel, expected: *expect, actual });
            }
        }
        Decision::Append
    }

    /// Takes an append in that the log put at `at`, and checks the numbers that it gave.
    pub fn append(&mut self, request: &Request, at: &At, now: i64) {
        if request.events() == 0 && request.repeat == Repeat::None {
            assert_eq!(at.ranges(), [], "an append of nothing has no numbers");
            return;
        }
        let recorded_at = self.enter(at.index.0, now);
        let mut ranges: Vec<(String, u64, u64)> = Vec::new();
        for (name, inputs) in &request.parts {
            self.create(name, at.index.0, recorded_at, &ChannelConfig::default());
            for input in inputs {
                let seq = self.store(name, at.index.0, recorded_at, input);
                match ranges.last_mut() {
                    Some((last, first, count)) if last == name && *first + *count == seq => *count += 1,
                    _ => ranges.push((name.clone(), seq, 1)),
                }
            }
        }
        let given: Vec<_> = at
            .ranges()
            .iter()
            .map(|range| (range.channel.as_str().to_owned(), range.first.0, range.count))
            .collect();
        assert_eq!(given, ranges, "numbers of an append");
        match &request.repeat {
            Repeat::None => {}
            Repeat::Key(key) => {
                self.keys.insert(key.clone(), (request.parts.clone(), at.clone()));
            }
            Repeat::Producer { id, number, .. } => {
                self.producers.insert(id.clone(), (*number, request.digest(), at.clone()));
            }
        }
    }

    /// Notes the entry that something was put into; returns its recording time.
    fn enter(&mut self, index: u64, now: i64) -> i64 {
        match self.entry {
            Some((last, recorded_at)) if last == index => recorded_at,
            last => {
                assert!(last.is_none_or(|(last, _)| last < index), "indexes grow");
                self.entry = Some((index, now));
                self.events_of_entry = 0;
                now
            }
        }
    }

    fn store(&mut self, name: &str, index: u64, recorded_at: i64, input: &Input) -> u64 {
        let channel = self.channels.get_mut(name).unwrap();
        let seq = channel.next;
        channel.next += 1;
        let ordinal = self.events_of_entry;
        self.events_of_entry += 1;
        let (channel, input) = (name.to_owned(), input.clone());
        self.events.push(Stored { channel, seq, index, ordinal, recorded_at, input });
        seq
    }

    fn create(&mut self, name: &str, created_index: u64, created_at: i64, config: &ChannelConfig) {
        self.channels.entry(name.to_owned()).or_insert(Channel {
            next: 0,
            created_index,
            created_at,
            config: config.clone(),
        });
    }

    /// Creates a channel by itself, and checks what the log made of it.
    pub fn create_channel(&mut self, name: &str, config: &ChannelConfig, outcome: &Outcome, now: i64) {
        match (self.channels.get(name), outcome) {
            (None, Outcome::Appended { at }) => {
                let created_at = self.enter(at.index.0, now);
                self.create(name, at.index.0, created_at, config);
            }
            (Some(known), Outcome::AlreadyAppended { at }) => {
                assert_eq!((known.created_index, &known.config), (at.index.0, config));
            }
            (Some(known), Outcome::Rejected { reason: Rejection::ConfigMismatch { .. }, .. }) => {
                assert_ne!(known.config, *config);
            }
            (known, outcome) => panic!("creating {name} over {known:?} gave {outcome:?}"),
        }
    }

    /// Returns what a reading must give.
    pub fn select(&self, selection: &Selection, position: Position) -> Vec<&Stored> {
        let mut selected: Vec<_> =
            self.events.iter().filter(|event| wants(selection, position, event)).collect();
        if let Some(last) = selection.last {
            selected.drain(..selected.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX)));
        }
        if selection.reverse {
            selected.reverse();
        }
        selected.truncate(
            selection.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        );
        selected
    }

    /// Returns what the channels must be as of a position.
    pub fn channels_at(&self, position: Position) -> Vec<(String, u64, u64, i64, ChannelConfig)> {
        let known = self.channels.iter().filter(|(_, channel)| channel.created_index < position.0);
        known
            .map(|(name, channel)| {
                let next = self
                    .events
                    .iter()
                    .filter(|event| event.channel == *name && event.index < position.0)
                    .count() as u64;
                (name.clone(), next, channel.created_index, channel.created_at, channel.config.clone())
            })
            .collect()
    }
}

fn wants(selection: &Selection, position: Position, event: &Stored) -> bool {
    let channel_wanted = match &selection.channels {
        Channels::All => !event.channel.starts_with("sys/"),
        Channels::Names(names) => names.iter().any(|name| name.as_str() == event.channel),
    };
    let kind_wanted = selection.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.input.kind));
    let key_wanted = selection
        .keys
        .as_ref()
        .is_none_or(|keys| keys.iter().any(|key| Some(key) == event.input.key.as_ref()));
    event.index < position.0
        && channel_wanted
        && kind_wanted
        && key_wanted
        && selection.seqs.contains(event.seq)
        && selection.indexes.contains(event.index)
        && selection.recorded.contains(Timestamp::from_nanos(event.recorded_at))
}

impl From<&Event> for Stored {
    fn from(event: &Event) -> Self {
        let input = Input {
            kind: event.kind.clone(),
            key: event.key.clone(),
            headers: event.headers.iter().map(|(name, value)| (name.clone(), value.to_vec())).collect(),
            time: event.time.map(Timestamp::as_nanos),
            blobs: event.blobs.clone(),
            payload: event.payload.to_vec(),
        };
        Self {
            channel: event.channel.as_str().to_owned(),
            seq: event.seq.0,
            index: event.index.0,
            ordinal: event.ordinal,
            recorded_at: event.recorded_at.as_nanos(),
            input,
        }
    }
}

/// Returns what a view says of its channels, in the form of [`Twin::channels_at`].
pub fn channels_of(infos: Vec<ChannelInfo>) -> Vec<(String, u64, u64, i64, ChannelConfig)> {
    infos
        .into_iter()
        .map(|info| {
            assert_eq!(info.first_seq, Seq(0));
            let name = info.name.as_str().to_owned();
            (name, info.next_seq.0, info.created_index.0, info.created_at.as_nanos(), info.config)
        })
        .collect()
}

/// Calls `then` with the conditions of a request.
pub fn conditions(request: &Request) -> Vec<Condition> {
    let condition = |(name, expect): &(String, Expect)| Condition { channel: channel(name), expect: *expect };
    request.conditions.iter().map(condition).collect()
}

/// Calls `then` with events that borrow from the inputs.
pub fn with_inputs<R>(inputs: &[Input], then: impl FnOnce(&[EventInput<'_>]) -> R) -> R {
    let headers: Vec<Vec<(&str, &[u8])>> = inputs
        .iter()
        .map(|input| input.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect())
        .collect();
    let events: Vec<_> = inputs
        .iter()
        .zip(&headers)
        .map(|(input, headers)| EventInput {
            kind: &input.kind,
            key: input.key.as_deref(),
            headers,
            time: input.time.map(Timestamp::from_nanos),
            blobs: &input.blobs,
            payload: &input.payload,
        })
        .collect();
    then(&events)
}
