//! What was asked of a log and what it answered, and whether a log that was opened again agrees.

use std::collections::{BTreeMap, BTreeSet};

use base::{Position, Seq};
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, Event, EventInput, Idempotency, Log, LogView, Outcome,
    Selection, Ticket,
};

use crate::support::channel;

/// The kind of every event that the ledger writes.
const KIND: &str = "test.happened";

/// What fills the payload of an event behind the text that makes it unique.
#[derive(Debug, Clone, Copy)]
pub enum Fill {
    /// So many bytes that are not zero.
    Text(usize),
    /// So many zeros.
    Zeros(usize),
}

impl Fill {
    fn payload(self, submission: usize, event: usize) -> Vec<u8> {
        let mut payload = format!("{submission}.{event}:").into_bytes();
        match self {
            Self::Zeros(bytes) => payload.extend(std::iter::repeat_n(0, bytes)),
            Self::Text(bytes) => {
                // Never zero, and different from event to event.
                let byte = |at: usize| u8::try_from(1 + (at * 7 + submission * 31 + event) % 255).unwrap();
                payload.extend((0..bytes).map(byte));
            }
        }
        payload
    }
}

/// So many events for one channel.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub channel: &'static str,
    pub events: usize,
    pub fill: Fill,
}

/// What an append may be repeated by.
#[derive(Debug, Clone, Copy)]
pub enum Repeat {
    Never,
    Key(&'static str),
    Producer(&'static str, u64),
}

impl Repeat {
    fn idempotency(self) -> Idempotency<'static> {
        match self {
            Self::Never => Idempotency::None,
            Self::Key(key) => Idempotency::Key(key),
            Self::Producer(id, number) => Idempotency::Producer { id, number, digest: None },
        }
    }
}

/// Something that a log was asked to do. Moments are counted in operations of the disk.
#[derive(Debug, Clone)]
struct Submission {
    /// Channel and payload of each event, in order.
    events: Vec<(&'static str, Vec<u8>)>,
    /// The channel that was created, instead of events.
    creates: Option<(&'static str, ChannelConfig)>,
    repeat: Repeat,
    /// The position that includes it.
    position: Position,
    submitted: u64,
    /// When it was acknowledged as durable, at the latest.
    durable: Option<u64>,
    /// When it was known not to be in the log.
    gone: Option<u64>,
    /// Whether the log rejected it: then it went at any moment since it was submitted, and was heard of later.
    rejected: bool,
    /// When its bytes were damaged: it is not readable from then on, and what it took stays taken.
    damaged: Option<u64>,
}

impl Submission {
    fn at(position: Position, submitted: u64) -> Self {
        let (events, repeat) = (Vec::new(), Repeat::Never);
        Self {
            events,
            creates: None,
            repeat,
            position,
            submitted,
            durable: None,
            gone: None,
            rejected: false,
            damaged: None,
        }
    }
}

/// Names a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// Everything that a log accepted, in order.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    submissions: Vec<Submission>,
    /// Numbers given out, also to appends that the log did not accept.
    numbers: usize,
}

/// The moments at which a crash left the same bytes, counted in operations before it.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub first: u64,
    pub last: u64,
}

impl Moments {
    pub fn at(moment: u64) -> Self {
        Self { first: moment, last: moment }
    }
}

impl Ledger {
    /// Submits an append; notes it if the log accepts it.
    pub fn submit(
        &mut self,
        log: &Log,
        parts: &[Part],
        repeat: Repeat,
        conditions: &[redex::Condition],
        now: u64,
    ) -> Result<(Option<Place>, Ticket), redex::AppendError> {
        let number = self.numbers;
        self.numbers += 1;
        let mut events = Vec::new();
        for part in parts {
            for _ in 0..part.events {
                events.push((part.channel, part.fill.payload(number, events.len())));
            }
        }
        let ticket = request(log, &events, repeat, conditions)?;
        let submission =
            |position| Submission { events, creates: None, repeat, ..Submission::at(position, now) };
        Ok((self.note(&ticket, submission), ticket))
    }

    /// Creates a channel; notes it if it did not exist.
    pub fn create(
        &mut self,
        log: &Log,
        name: &'static str,
        config: ChannelConfig,
        now: u64,
    ) -> Result<(Option<Place>, Ticket), redex::AppendError> {
        let ticket = log.create_channel(&channel(name), &config)?;
        let submission =
            |position| Submission { creates: Some((name, config)), ..Submission::at(position, now) };
        Ok((self.note(&ticket, submission), ticket))
    }

    /// Notes a submission that the log accepts.
    fn note(&mut self, ticket: &Ticket, submission: impl FnOnce(Position) -> Submission) -> Option<Place> {
        let Outcome::Appended { at } = ticket.wait(Ack::Staged) else { return None };
        self.submissions.push(submission(at.position()));
        Some(Place(self.submissions.len() - 1))
    }

    /// Notes that everything below `visible` is durable.
    pub fn note_durable(&mut self, visible: Position, now: u64) {
        for submission in &mut self.submissions {
            if submission.gone.is_none() && submission.position <= visible {
                submission.durable.get_or_insert(now);
            }
        }
    }

    /// Notes what is left of a log that was opened again: it is durable now, and everything else is gone.
    pub fn note_reopened(&mut self, log: &Log, now: u64) {
        let found = self.find(&log.reader().view(), Moments::at(now)).unwrap();
        let left = self.submissions.iter_mut().filter(|submission| submission.gone.is_none());
        for (candidate, submission) in left.enumerate() {
            match candidate < found {
                true => {
                    submission.durable.get_or_insert(now);
                }
                false => submission.gone = Some(now),
            }
        }
    }

    /// Notes that a submission was rejected after all; tells whether that is new.
    pub fn note_rejected(&mut self, Place(place): Place, now: u64) -> bool {
        let submission = &mut self.submissions[place];
        assert_eq!(submission.durable, None, "{place} was durable, and is rejected");
        let new = submission.gone.is_none();
        submission.rejected = true;
        submission.gone.get_or_insert(now);
        new
    }

    /// Returns the submissions that a crash at these moments may have left, in order.
    fn candidates(&self, moments: Moments) -> impl Iterator<Item = &Submission> {
        self.submissions.iter().filter(move |submission| {
            submission.submitted <= moments.first && submission.gone.is_none_or(|gone| gone > moments.last)
        })
    }

    /// Compares a log with what it may hold; returns how many of the candidates it holds. These must be the
    /// first ones, each of them whole, and nothing else.
    pub fn find(&self, view: &LogView, moments: Moments) -> Result<usize, String> {
        let events = read(view, &self.all(moments))?;
        let mut rest = events.as_slice();
        let mut next: BTreeMap<&str, u64> = BTreeMap::new();
        let mut found = 0;
        let mut missing = None;
        for (place, submission) in self.candidates(moments).enumerate() {
            if submission.damaged.is_some_and(|damaged| damaged <= moments.first) {
                for (name, _) in &submission.events {
                    *next.entry(name).or_default() += 1;
                }
                found += usize::from(missing.is_none());
                continue;
            }
            let present = match &submission.creates {
                Some((name, config)) => view
                    .channel(&channel(name))
                    .map_err(|error| error.to_string())?
                    .is_some_and(|info| info.config == *config),
                None if rest.is_empty() => false,
                None if submission.rejected && !begins(rest, submission) => false,
                None => {
                    rest = take(rest, submission, &mut next)?;
                    true
                }
            };
            match (present, missing) {
                (true, None) => found += 1,
                (true, Some(missing)) => return Err(format!("{place} is there without {missing}")),
                (false, None) if submission.rejected => found += 1,
                (false, None) => missing = Some(place),
                (false, Some(_)) => {}
            }
        }
        if let Some(event) = rest.first() {
            return Err(format!(
                "{} events too many, the first is {} {}",
                rest.len(),
                event.channel,
                event.seq
            ));
        }
        for (name, next) in next {
            check_channel(view, name, next, &events, &self.all(moments))?;
        }
        Ok(found)
    }

    /// Checks that a log that was opened behind a crash holds what it must and nothing that it must not;
    /// returns how many submissions it holds.
    pub fn check(&self, view: &LogView, moments: Moments) -> Result<usize, String> {
        let found = self.find(view, moments)?;
        for (place, submission) in self.candidates(moments).enumerate().skip(found) {
            if submission.durable.is_some_and(|durable| durable <= moments.last) {
                return Err(format!("{place} was acknowledged as durable and is lost; {found} are there"));
            }
        }
        Ok(found)
    }

    /// Repeats every repeatable append: those among the first `found` are known to the log, the others are
    /// appended once. Returns how many appends that made.
    pub fn check_repeats(&self, log: &Log, moments: Moments, found: usize) -> Result<usize, String> {
        let mut appended = 0;
        let all: Vec<_> = self.candidates(moments).collect();
        let mut newest = BTreeSet::new();
        for (place, submission) in all.iter().enumerate().rev() {
            if submission.rejected {
                continue;
            }
            // A producer's earlier numbers are stale; its newest that is there is known.
            if let Repeat::Producer(id, _) = submission.repeat
                && place < found
                && !newest.insert(id)
            {
                continue;
            }
            if place >= found || matches!(submission.repeat, Repeat::Never) {
                continue;
            }
            let outcome = repeat(log, submission)?;
            let Outcome::AlreadyAppended { at } = outcome else {
                return Err(format!("{place} is in the log, but repeating it gives {outcome:?}"));
            };
            if at.position() > log.reader().visible() {
                return Err(format!("{place} is said to be at {}, which is not visible", at.index));
            }
        }
        for (place, submission) in all.iter().enumerate().skip(found) {
            if submission.rejected || matches!(submission.repeat, Repeat::Never) {
                continue;
            }
            let outcome = repeat(log, submission)?;
            if !matches!(outcome, Outcome::Appended { .. }) {
                return Err(format!("{place} is not in the log, but repeating it gives {outcome:?}"));
            }
            let outcome = repeat(log, submission)?;
            if !matches!(outcome, Outcome::AlreadyAppended { .. }) {
                return Err(format!("{place} was repeated twice, which gives {outcome:?}"));
            }
            appended += 1;
        }
        Ok(appended)
    }

    /// Notes that a submission's bytes are damaged from now on; returns bytes that stand nowhere else.
    pub fn damage(&mut self, place: usize, now: u64) -> Vec<u8> {
        let submission = &mut self.submissions[place];
        submission.damaged = Some(now);
        submission.events[0].1.clone()
    }

    /// Tells whether anything was damaged before a crash at these moments.
    pub fn is_damaged(&self, moments: Moments) -> bool {
        let mut damaged = self.submissions.iter().filter_map(|submission| submission.damaged);
        damaged.any(|damaged| damaged <= moments.first)
    }

    /// Selects everything that can be read.
    pub fn all(&self, moments: Moments) -> Selection {
        Selection { skip_holes: self.is_damaged(moments), ..Selection::default() }
    }

    /// Checks a log on a disk that broke its promises: what is read was submitted, each append whole and in
    /// order; and it is a prefix of what was submitted, or reading says that something is missing.
    pub fn check_broken(&self, view: &LogView, now: u64) -> Result<(), String> {
        let submitted: Vec<_> =
            self.submissions.iter().filter(|submission| submission.submitted <= now).collect();
        if let Ok(events) = read(view, &Selection::default()) {
            let whole = submitted.iter().all(|submission| submission.gone.is_none());
            return in_order(&events, &submitted, whole);
        }
        match read(view, &Selection { skip_holes: true, ..Selection::default() }) {
            Ok(events) => in_order(&events, &submitted, false),
            Err(_) => Ok(()),
        }
    }

    /// Tells whether the newest submission was acknowledged as durable.
    pub fn newest_is_durable(&self) -> bool {
        self.submissions.last().is_some_and(|submission| submission.durable.is_some())
    }

    /// Returns the channels that may be in the log.
    pub fn channels(&self) -> BTreeSet<&'static str> {
        let written = self.submissions.iter().flat_map(|submission| &submission.events);
        written.map(|(name, _)| *name).collect()
    }
}

fn request(
    log: &Log,
    events: &[(&'static str, Vec<u8>)],
    repeat: Repeat,
    conditions: &[redex::Condition],
) -> Result<Ticket, redex::AppendError> {
    let names: Vec<_> = events.iter().map(|(name, _)| channel(name)).collect();
    let inputs: Vec<_> = events.iter().map(|(_, payload)| [EventInput::new(KIND, payload)]).collect();
    let parts: Vec<_> =
        names.iter().zip(&inputs).map(|(channel, events)| ChannelEvents { channel, events }).collect();
    log.submit(&AppendRequest { parts: &parts, conditions, idempotency: repeat.idempotency() })
}

fn repeat(log: &Log, submission: &Submission) -> Result<Outcome, String> {
    let ticket =
        request(log, &submission.events, submission.repeat, &[]).map_err(|error| error.to_string())?;
    Ok(ticket.wait(Ack::Durable))
}

/// Reads selected events.
pub fn read(view: &LogView, selection: &Selection) -> Result<Vec<Event>, String> {
    let events = view.read(selection).map_err(|error| error.to_string())?;
    events.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Checks that events are those of some submissions, each whole, in order; of the first ones, if asked.
fn in_order(events: &[Event], submitted: &[&Submission], first_ones: bool) -> Result<(), String> {
    let mut rest = events;
    let mut missing = None;
    for (place, submission) in submitted.iter().enumerate().filter(|(_, known)| !known.events.is_empty()) {
        let same = |event: &Event, (name, payload): &(&str, Vec<u8>)| {
            event.channel.as_str() == *name && event.kind == KIND && event.payload == payload.as_slice()
        };
        match (rest.first().is_some_and(|event| same(event, &submission.events[0])), missing) {
            (false, _) => missing = missing.or(Some(place)),
            (true, Some(missing)) if first_ones => {
                return Err(format!("{place} is there without {missing}, and reading does not say so"));
            }
            (true, _) => {
                let count = submission.events.len();
                let whole = rest.len() >= count
                    && rest[..count].iter().zip(&submission.events).all(|(event, known)| same(event, known));
                if !whole {
                    return Err(format!("{place} is there in part"));
                }
                rest = &rest[count..];
            }
        }
    }
    match rest.first() {
        None => Ok(()),
        Some(event) => Err(format!("{} {} was never submitted there", event.channel, event.seq)),
    }
}

/// Tells whether what was read begins with a submission.
fn begins(rest: &[Event], submission: &Submission) -> bool {
    rest.first().is_some_and(|event| event.payload == submission.events[0].1.as_slice())
}

/// Takes a submission's events off the front of what was read.
fn take<'a>(
    rest: &'a [Event],
    submission: &Submission,
    next: &mut BTreeMap<&'static str, u64>,
) -> Result<&'a [Event], String> {
    let count = submission.events.len();
    if rest.len() < count {
        return Err(format!("only {} of an append's {count} events are there", rest.len()));
    }
    let (events, rest) = rest.split_at(count);
    for (event, (name, payload)) in events.iter().zip(&submission.events) {
        let seq = next.entry(name).or_default();
        if event.channel.as_str() != *name || event.seq != Seq(*seq) {
            return Err(format!("expected {name} {seq}, found {} {}", event.channel, event.seq));
        }
        if event.kind != KIND || event.payload != payload.as_slice() {
            return Err(format!("wrong bytes in {name} {seq}"));
        }
        *seq += 1;
    }
    Ok(rest)
}

/// Checks that reading one channel alone, which uses its index, gives the same events.
fn check_channel(
    view: &LogView,
    name: &str,
    next: u64,
    all: &[Event],
    selection: &Selection,
) -> Result<(), String> {
    let name = channel(name);
    let info = view.channel(&name).map_err(|error| error.to_string())?;
    let goes_on = info.is_some_and(|info| {
        info.next_seq == Seq(next) || (selection.skip_holes && info.next_seq > Seq(next))
    });
    if !goes_on {
        return Err(format!("channel {name} does not go on at {next}"));
    }
    let channels = Selection::channel(&name).channels;
    let alone = read(view, &Selection { channels, ..selection.clone() })?;
    if !alone.iter().eq(all.iter().filter(|event| event.channel == name)) {
        return Err(format!("reading {name} alone gives other events"));
    }
    Ok(())
}
