//! Heads: the nodes of a group ask each other what they hold, so that two histories of one log do not stay unnoticed.
//!
//! The hash of an entry covers everything before it. So two nodes compare their whole logs by one hash, that of the last entry
//! that both have, and where it differs they find the first entry that does by halves. Two entries that one incarnation signed
//! for one index are a fork, which is kept as a proof. Others that both count as committed are a divergence, which is told.
//! What is not committed may differ.
//!
//! A fork is found where two nodes meet that hold the two entries: what no node holds any more is not seen.
//!
//! ```text
//! question: u64 index. Answer, of the entry there, or of the last one where the log ends before:
//!           u64 position that readers see, u8 0 where there is none, else u8 1, then u64 term, u64 node, u64 index,
//!           [16] incarnation, [32] hash, u8 whether signed, then [64] signature
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{Hash, IncarnationId, Index, NodeId, Position, Signature};
use bytes::Bytes;
use redex::{EntryMark, ReplicaLog};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::link::Link;
use crate::message::{self, Subject, put_slot, take_flag, take_slot};

/// How often a log is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is compared, whether anything was appended or not.
const COMPARE_EVERY: Duration = Duration::from_secs(30);
/// Other nodes that it is compared with at once; of more, others the next time.
const NODES_MAX: usize = 4;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// That two nodes count different entries as committed, which no fork explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// The first index, as far as is known, at which they differ.
    pub index: Index,
    /// What this node has there.
    pub held: EntryMark,
    /// What the other one has.
    pub other: EntryMark,
}

/// Compares a replica with those of other nodes until it is stopped, or dropped.
#[derive(Debug)]
pub(crate) struct Heads {
    found: Arc<Mutex<BTreeMap<NodeId, Divergence>>>,
    task: Mutex<Option<(watch::Sender<()>, JoinHandle<()>)>>,
}

impl Heads {
    /// Begins to compare; `members` tells who is in the group.
    pub(crate) fn start(
        log: ReplicaLog,
        me: NodeId,
        link: Arc<dyn Link>,
        members: impl Fn() -> BTreeSet<NodeId> + Send + Sync + 'static,
    ) -> Self {
        let found: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let (running, stopped) = watch::channel(());
        let comparing = Comparing { log, me, link, found: Arc::clone(&found) };
        let task = tokio::spawn(comparing.run(members, stopped));
        Self { found, task: Mutex::new(Some((running, task))) }
    }

    /// Returns the nodes that hold something else, each with what.
    pub(crate) fn divergences(&self) -> BTreeMap<NodeId, Divergence> {
        lock(&self.found).clone()
    }

    /// Ends the comparing, and waits for that.
    pub(crate) async fn stop(&self) {
        let task = lock(&self.task).take();
        if let Some((running, task)) = task {
            drop(running);
            let _ = task.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Comparing {
    log: ReplicaLog,
    me: NodeId,
    link: Arc<dyn Link>,
    found: Arc<Mutex<BTreeMap<NodeId, Divergence>>>,
}

impl Comparing {
    async fn run(self, members: impl Fn() -> BTreeSet<NodeId>, mut stopped: watch::Receiver<()>) {
        let (mut seen, mut compared, mut round) = (None, None, 0);
        let mut due = Instant::now() + COMPARE_EVERY;
        for look in 0.. {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY + self.jitter(look, LOOK_EVERY / 4)) => {}
                _ = stopped.changed() => return,
            }
            let last = self.log.state().last;
            let is_quiet = last == seen && last != compared;
            seen = last;
            let Some(last) = last.filter(|_| is_quiet || Instant::now() >= due) else { continue };
            let members = members();
            tokio::select! {
                () = self.compare_with_some(&members, round, last.index) => {}
                _ = stopped.changed() => return,
            }
            compared = seen;
            round += 1;
            due = Instant::now() + COMPARE_EVERY + self.jitter(look, COMPARE_EVERY / 8);
        }
    }

    /// Returns a part of a time, another one on each node, so that not all ask at once.
    fn jitter(&self, number: u64, most: Duration) -> Duration {
        let log = self.log.reader().id();
        let parts = [&log.as_bytes()[..], &self.me.0.to_le_bytes(), &number.to_le_bytes()];
        let part = Hash::of(&parts.concat()).as_bytes()[0];
        most * u32::from(part) / 256
    }

    async fn compare_with_some(&self, members: &BTreeSet<NodeId>, round: usize, upto: Index) {
        let others: Vec<_> = members.iter().copied().filter(|node| *node != self.me).collect();
        let from = if others.len() > NODES_MAX { round * NODES_MAX % others.len() } else { 0 };
        for node in others.iter().cycle().skip(from).take(NODES_MAX.min(others.len())) {
            if let Err(cause) = self.compare_with(*node, upto).await {
                tracing::debug!(%node, %cause, "a log was not compared");
            }
        }
    }

    async fn compare_with(&self, node: NodeId, upto: Index) -> Result<(), String> {
        let Some(mut difference) = self.difference(node, upto).await? else { return Ok(()) };
        let mut same_below = 0;
        while same_below < difference.held.slot.index.0 {
            let middle = Index(same_below + (difference.held.slot.index.0 - same_below) / 2);
            match self.difference(node, middle).await?.filter(|found| found.held.slot.index == middle) {
                Some(earlier) => difference = earlier,
                // The same, or not there any more.
                None => same_below = middle.0 + 1,
            }
        }
        self.judge(node, &difference);
        Ok(())
    }

    /// Compares one entry; returns what differs.
    async fn difference(&self, node: NodeId, at: Index) -> Result<Option<Difference>, String> {
        let mut question = message::begin(Subject::Heads, self.log.reader().id());
        question.put_u64(at.0);
        let answer = self.link.request(node, question.into(), ANSWER_WITHIN).await;
        let answer = Answer::decode(&answer.map_err(|error| error.to_string())?);
        let answer = answer.map_err(|malformed| format!("an answer with a wrong {malformed}"))?;
        let Some(other) = answer.mark.filter(|other| other.slot.index <= at) else { return Ok(None) };
        let held = self.log.mark(other.slot.index).map_err(|error| error.to_string())?;
        let committed = self.log.reader().visible().min(answer.visible);
        let difference = |held: EntryMark| Difference { held, other, committed };
        Ok(held.filter(|held| (held.slot, held.hash) != (other.slot, other.hash)).map(difference))
    }

    fn judge(&self, node: NodeId, difference: &Difference) {
        let Difference { held, other, committed } = difference;
        let index = held.slot.index;
        if self.log.compare(held, other).is_some() || !committed.includes(index) {
            return;
        }
        let divergence = Divergence { index, held: *held, other: *other };
        if lock(&self.found).insert(node, divergence) == Some(divergence) {
            return;
        }
        let log = self.log.reader().name();
        tracing::error!(
            log, %node, %index, held = %held.hash, other = %other.hash, held_slot = %held.slot, other_slot = %other.slot,
            "two nodes count different entries as committed: stop appending to the log, keep copies of both directories, and compare \
             both nodes with a third one; the one that differs from the others is to be replaced"
        );
    }
}

struct Difference {
    held: EntryMark,
    other: EntryMark,
    /// Up to where both count the log as committed.
    committed: Position,
}

/// Answers what another node asks to compare.
pub(crate) fn answer(log: &ReplicaLog, body: &Bytes) -> Result<Bytes, String> {
    let mut cursor = Cursor::new(body);
    let wrong = |malformed: Malformed| format!("a message with a wrong {malformed}");
    let at = Index(cursor.u64("index").map_err(wrong)?);
    cursor.finish("length").map_err(wrong)?;
    let mark = match log.state().last {
        Some(last) => log.mark(at.min(last.index)).map_err(|error| error.to_string())?,
        None => None,
    };
    Ok(Answer { visible: log.reader().visible(), mark }.encode().into())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    visible: Position,
    mark: Option<EntryMark>,
}

impl Answer {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        out.put_u64(self.visible.0);
        out.put_u8(u8::from(self.mark.is_some()));
        if let Some(mark) = &self.mark {
            put_slot(&mut out, mark.slot);
            out.put(mark.incarnation.as_bytes());
            out.put(mark.hash.as_bytes());
            out.put_u8(u8::from(mark.signature.is_some()));
            if let Some(signature) = &mark.signature {
                out.put(signature.as_bytes());
            }
        }
        out
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let visible = Position(cursor.u64("position")?);
        let mark = match take_flag(&mut cursor)? {
            false => None,
            true => {
                let slot = take_slot(&mut cursor)?;
                let incarnation = IncarnationId::from_bytes(cursor.array("incarnation")?);
                let hash = Hash::from_bytes(cursor.array("hash")?);
                let signature = match take_flag(&mut cursor)? {
                    false => None,
                    true => Some(Signature::from_bytes(cursor.array("signature")?)),
                };
                Some(EntryMark { slot, incarnation, hash, signature })
            }
        };
        cursor.finish("length")?;
        Ok(Self { visible, mark })
    }
}

#[cfg(test)]
mod tests {
    use base::{Slot, Term};

    use super::*;

    fn answers() -> [Answer; 3] {
        let slot = Slot { term: Term(3), node: NodeId(2), index: Index(9) };
        let (incarnation, hash) = (IncarnationId::from_bytes([4; 16]), Hash::of(b"entry"));
        let mark = |signature| Some(EntryMark { slot, incarnation, hash, signature });
        let visible = Position(10);
        [
            Answer { visible, mark: None },
            Answer { visible, mark: mark(None) },
            Answer { visible, mark: mark(Some(Signature::from_bytes([5; 64]))) },
        ]
    }

    #[test]
    fn answers_have_one_encoding_each() {
        for answer in answers() {
            let bytes = answer.encode();
            assert_eq!(Answer::decode(&bytes.clone().into()), Ok(answer));
            for length in 0..bytes.len() {
                assert!(Answer::decode(&Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(again) = Answer::decode(&flipped.clone().into()) {
                    assert_eq!(again.encode(), flipped, "bit {bit}");
                }
            }
        }
    }
}
