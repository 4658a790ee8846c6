//! Heartbeats of all groups of a node: those that are due together go to another node in one message.
//!
//! All groups of a node beat on one grid: a group with a leader here sends at the multiples of its interval since the node's
//! first beat. A heartbeat that is due then waits until those of all other groups that are due have come, at most the
//! [`window`]; where no other group beats towards that node, it waits for nothing. One that comes between two beats, since
//! somebody reads, waits for no other. The answer has a part for each group, too: one that is missing, stopped or slow is left
//! out, and disturbs no other.
//!
//! ```text
//! message: u16 milliseconds that a group may take to answer, u16 parts (1 to 512), each: [16] log id (larger than the one
//!          before), u16+bytes (at most 256) of the heartbeat as groups tell it each other
//! answer:  u16 parts, each: u16+bytes (at most 256) of the answer, empty where there is none; in the order of the message
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{LogId, NodeId};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::link::{Link, LinkError};
use crate::message::{self, Subject};

/// Heartbeats in one message at most; more are sent in several.
const PARTS_MAX: usize = 512;
/// Bytes of one heartbeat, or of its answer, at most.
pub(crate) const PART_BYTES_MAX: usize = 256;
/// How long at most a heartbeat that is due waits for others that are.
const WINDOW_MAX: Duration = Duration::from_millis(10);
/// How long at most a group may take to answer, once its heartbeat arrived.
const ANSWER_WITHIN_MAX: Duration = Duration::from_millis(250);

/// Returns how long a heartbeat that is due waits at most for others that are.
fn window(every: Duration) -> Duration {
    (every / 16).min(WINDOW_MAX)
}

/// Returns how long a group may take to answer a heartbeat: so long do the others wait for the slowest.
fn answer_within(every: Duration) -> Duration {
    (every / 4).min(ANSWER_WITHIN_MAX)
}

/// What the heartbeats of all groups of a node share. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heartbeats {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When the first beat was asked for: the origin of the grid.
    began: OnceLock<Instant>,
    peers: Mutex<BTreeMap<NodeId, Peer>>,
}

/// What is to go to one node.
#[derive(Debug, Default)]
struct Peer {
    /// How many groups beat towards it, by their interval.
    seats: BTreeMap<Duration, usize>,
    gathered: Parts,
    /// How many messages went before the one that is gathered for.
    sent: u64,
    /// Whether somebody sees to it that what is gathered goes.
    is_awaited: bool,
}

/// Heartbeats for one node, by group.
type Parts = BTreeMap<LogId, Part>;

/// A heartbeat that waits to be sent.
#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    every: Duration,
    within: Duration,
    told: oneshot::Sender<Result<Bytes, LinkError>>,
}

/// What is to be done about what is gathered.
#[derive(Debug)]
enum Then {
    /// Somebody sees to it.
    Nothing,
    /// It is complete, and goes.
    Send(Parts),
    /// It goes at that time, complete or not, if only so many messages went until then.
    SendAt(Instant, u64),
    /// It goes as soon as who is ready to add to it has, if only so many messages went until then.
    SendSoon(u64),
}

impl Peer {
    fn take(&mut self) -> Parts {
        self.sent += 1;
        self.is_awaited = false;
        std::mem::take(&mut self.gathered)
    }
}

/// A group's place among those that beat towards a node, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    heartbeats: Heartbeats,
    to: NodeId,
    log: LogId,
    every: Duration,
}

impl Heartbeats {
    /// Returns the first moment after now at which groups of an interval beat.
    pub(crate) fn next_beat(&self, every: Duration) -> Instant {
        let now = Instant::now();
        now + (every - self.since_beat(now, every))
    }

    /// Returns how long the last beat of an interval is over.
    fn since_beat(&self, now: Instant, every: Duration) -> Duration {
        let began = *self.inner.began.get_or_init(|| now);
        let over = now.saturating_duration_since(began).as_nanos() % every.as_nanos().max(1);
        Duration::from_nanos(u64::try_from(over).unwrap_or(u64::MAX))
    }

    fn is_due(&self, now: Instant, every: Duration) -> bool {
        self.since_beat(now, every) < window(every)
    }

    /// Counts a group among those that beat towards a node.
    pub(crate) fn seat(&self, to: NodeId, log: LogId, every: Duration) -> Seat {
        *self.peers().entry(to).or_default().seats.entry(every).or_default() += 1;
        Seat { heartbeats: self.clone(), to, log, every }
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Peer>> {
        self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a heartbeat to what goes to a node; one of the same group that waits there is given up.
    fn gather(&self, to: NodeId, log: LogId, part: Part) -> Then {
        let (now, every) = (Instant::now(), part.every);
        let mut peers = self.peers();
        let peer = peers.entry(to).or_default();
        peer.gathered.insert(log, part);
        let due = |(interval, count): (&Duration, &usize)| self.is_due(now, *interval).then_some(*count);
        let wanted = match peer.seats.values().sum::<usize>() {
            0 | 1 => Some(1),
            _ if self.is_due(now, every) => Some(peer.seats.iter().filter_map(due).sum()),
            _ => None,
        };
        let is_complete = wanted.is_some_and(|wanted| peer.gathered.len() >= wanted);
        if is_complete || peer.gathered.len() >= PARTS_MAX {
            return Then::Send(peer.take());
        }
        if std::mem::replace(&mut peer.is_awaited, true) {
            return Then::Nothing;
        }
        match wanted {
            Some(_) => Then::SendAt(now + (window(every) - self.since_beat(now, every)), peer.sent),
            None => Then::SendSoon(peer.sent),
        }
    }

    /// Takes what is gathered for a node, if only so many messages went.
    fn take(&self, to: NodeId, sent: u64) -> Parts {
        let mut peers = self.peers();
        peers.get_mut(&to).filter(|peer| peer.sent == sent).map(Peer::take).unwrap_or_default()
    }

    /// Waits for what is to go to a node; nothing, where it went with something else.
    async fn ready(&self, to: NodeId, then: Then) -> Parts {
        match then {
            Then::Nothing => Parts::new(),
            Then::Send(parts) => parts,
            Then::SendAt(at, sent) => {
                tokio::time::sleep_until(at).await;
                self.take(to, sent)
            }
            Then::SendSoon(sent) => {
                tokio::task::yield_now().await;
                self.take(to, sent)
            }
        }
    }

    fn leave(&self, to: NodeId, every: Duration) {
        let mut peers = self.peers();
        let Some(peer) = peers.get_mut(&to) else { return };
        if let Some(count) = peer.seats.get_mut(&every) {
            *count = count.saturating_sub(1);
        }
        peer.seats.retain(|_, count| *count > 0);
        if peer.seats.is_empty() && peer.gathered.is_empty() {
            peers.remove(&to);
        }
    }
}

impl Seat {
    /// Sends a heartbeat with those of other groups, and returns what its group answered there.
    ///
    /// *Cancel safety*: one that was given up may be sent.
    ///
    /// # Errors
    ///
    /// [`LinkError::Lost`] where the group did not answer, too.
    pub(crate) async fn ask(
        &self,
        link: &Arc<dyn Link>,
        bytes: Vec<u8>,
        within: Duration,
    ) -> Result<Bytes, LinkError> {
        let (told, answer) = oneshot::channel();
        let (heartbeats, to) = (self.heartbeats.clone(), self.to);
        let part = Part { bytes, every: self.every, within, told };
        let then = heartbeats.gather(to, self.log, part);
        if !matches!(then, Then::Nothing) {
            let link = Arc::clone(link);
            // Of its own, since whoever waits for one part may give it up.
            tokio::spawn(async move { send(&*link, to, heartbeats.ready(to, then).await).await });
        }
        answer.await.unwrap_or_else(|_| Err(unanswered(to)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.heartbeats.leave(self.to, self.every);
    }
}

/// Sends heartbeats to a node, and tells each what its group answered.
async fn send(link: &dyn Link, to: NodeId, parts: Parts) {
    let Some(within) = parts.values().map(|part| part.within).max() else { return };
    let answered = link.request_urgent(to, encode(&parts).into(), within).await;
    let answers = answered.map(|bytes| decode_answers(&bytes, parts.len()));
    match answers {
        Ok(Ok(answers)) => {
            for (part, answer) in parts.into_values().zip(answers) {
                // Nobody listens who gave it up.
                let _ = part.told.send(answer.ok_or_else(|| unanswered(to)));
            }
        }
        Ok(Err(malformed)) => {
            let cause = format!("an answer with a wrong {malformed}");
            tell_all(parts, &LinkError::Lost { node: to, cause });
        }
        Err(error) => tell_all(parts, &error),
    }
}

fn tell_all(parts: Parts, error: &LinkError) {
    for part in parts.into_values() {
        let _ = part.told.send(Err(error.clone()));
    }
}

fn unanswered(node: NodeId) -> LinkError {
    LinkError::Lost { node, cause: "its group did not answer a heartbeat".to_owned() }
}

fn encode(parts: &Parts) -> Vec<u8> {
    let within = parts.values().map(|part| answer_within(part.every)).min().unwrap_or(ANSWER_WITHIN_MAX);
    let mut out = message::begin(Subject::Heartbeats, message::ALL);
    let bytes: Vec<_> = parts.iter().map(|(log, part)| (*log, part.bytes.as_slice())).collect();
    encode_parts(&mut out, within, &bytes);
    out
}

fn encode_parts(out: &mut Vec<u8>, within: Duration, parts: &[(LogId, &[u8])]) {
    out.put_u16(u16::try_from(within.as_millis()).unwrap_or(u16::MAX));
    put_count(out, parts.len());
    for (log, bytes) in parts {
        out.put(log.as_bytes());
        put_count(out, bytes.len());
        out.put(bytes);
    }
}

/// Puts a number that is within the limits, which are far below what two bytes hold.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
struct Arrived {
    within: Duration,
    parts: Vec<(LogId, Bytes)>,
}

fn decode(bytes: &Bytes) -> Result<Arrived, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let within = Duration::from_millis(cursor.u16("time")?.into());
    let count = usize::from(cursor.u16("parts")?);
    if count == 0 || count > PARTS_MAX {
        return Err(Malformed::new("parts"));
    }
    let mut parts: Vec<(LogId, Bytes)> = Vec::new();
    for _ in 0..count {
        let log = LogId::from_bytes(cursor.array("log id")?);
        if parts.last().is_some_and(|(before, _)| *before >= log) {
            return Err(Malformed::new("order of parts"));
        }
        parts.push((log, take_part(&mut cursor, bytes)?));
    }
    cursor.finish("length")?;
    Ok(Arrived { within, parts })
}

fn take_part(cursor: &mut Cursor<'_>, all: &Bytes) -> Result<Bytes, Malformed> {
    let length = usize::from(cursor.u16("part")?);
    if length > PART_BYTES_MAX {
        return Err(Malformed::new("part"));
    }
    Ok(all.slice_ref(cursor.take(length, "part")?))
}

fn decode_answers(bytes: &Bytes, wanted: usize) -> Result<Vec<Option<Bytes>>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    if usize::from(cursor.u16("parts")?) != wanted {
        return Err(Malformed::new("parts"));
    }
    let mut answers = Vec::new();
    for _ in 0..wanted {
        answers.push(Some(take_part(&mut cursor, bytes)?).filter(|answer| !answer.is_empty()));
    }
    cursor.finish("length")?;
    Ok(answers)
}

/// Hands the heartbeats of a message to their groups, all at once, and returns the answer to all. A group that gives none in time
/// has none.
///
/// # Errors
///
/// [`Malformed`], and no group has heard of it.
pub(crate) async fn answer<A, F>(
    body: &Bytes,
    mut group: impl FnMut(LogId) -> Option<A>,
) -> Result<Bytes, Malformed>
where
    A: FnOnce(Bytes) -> F,
    F: Future<Output = Option<Bytes>>,
{
    let Arrived { within, parts } = decode(body)?;
    let until = Instant::now() + within.min(ANSWER_WITHIN_MAX);
    let answers = parts.into_iter().map(|(log, part)| {
        let handed = group(log).map(|group| group(part));
        async move { tokio::time::timeout_at(until, handed?).await.ok()? }
    });
    let answers = futures::future::join_all(answers).await;
    let mut out = Vec::new();
    put_count(&mut out, answers.len());
    for answer in answers {
        let answer = answer.filter(|answer| answer.len() <= PART_BYTES_MAX).unwrap_or_default();
        put_count(&mut out, answer.len());
        out.put(&answer);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests;
