//! A log that this node holds no replica of: its appends are sent on to whoever leads it.
//!
//! Who that is, those that hold the log are asked; the answer of the newest term counts. It holds for a moment, so that a
//! request that cannot be repeated is not sent to somebody who led long ago.
//!
//! ```text
//! who leads: nothing. Answer: u64 term, u8 0, or 1 and u64 node
//! producer:  u32 milliseconds that it may take, u16+id. Answer: u8 0, then u8 0, or 1 and u64 number, [32] digest, u64 index
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{Hash, Index, LogId, NodeId, Position, Term};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redex::exchange::{Request, encode_request};
use redex::{AppendError, AppendRequest, LogSender, Outcome, ProducerState, Promise, Ticket};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::ask::{self, Asker, DECIDED, Pauses, Tried};
use crate::link::Link;
use crate::message::{self, Subject, take_flag};
use crate::raft::{ConsensusError, Standing};

/// How long those that hold the log may take to say who leads.
const QUESTION_WITHIN: Duration = Duration::from_millis(500);
/// How long it holds that a node leads.
const LEADS_FOR: Duration = Duration::from_millis(500);
/// How long an answer is waited for until somebody else is asked whether another node leads.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A log that this node holds no replica of. Cloning shares it.
#[derive(Clone)]
pub struct RemoteLog {
    inner: Arc<Inner>,
}

struct Inner {
    id: LogId,
    link: Arc<dyn Link>,
    known: Mutex<Known>,
}

/// What is known of the log elsewhere.
#[derive(Debug, Default)]
struct Known {
    holders: BTreeSet<NodeId>,
    /// Who leads, and when that was known.
    leader: Option<(NodeId, Instant)>,
}

impl fmt::Debug for RemoteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteLog").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl RemoteLog {
    /// Knows of a log that other nodes hold.
    pub fn new(id: LogId, link: Arc<dyn Link>, holders: BTreeSet<NodeId>) -> Self {
        let known = Mutex::new(Known { holders, leader: None });
        Self { inner: Arc::new(Inner { id, link, known }) }
    }

    /// Returns the log's id.
    pub fn id(&self) -> LogId {
        self.inner.id
    }

    /// Says who holds it from now on; they are the ones that are asked who leads.
    pub fn set_holders(&self, holders: BTreeSet<NodeId>) {
        self.known().holders = holders;
    }

    /// Returns who holds it.
    pub fn holders(&self) -> BTreeSet<NodeId> {
        self.known().holders.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a request decided by whoever leads; see [`Group::append`](crate::Group::append).
    ///
    /// # Errors
    ///
    /// As [`Request::check`].
    pub async fn request(&self, request: &Request<'_>, within: Duration) -> Result<Outcome, AppendError> {
        self.ask_encoded(&encode_request(request)?.into(), Instant::now() + within).await
    }

    async fn ask_encoded(&self, encoded: &Bytes, deadline: Instant) -> Result<Outcome, AppendError> {
        ask::ask_until(&mut Outsider { log: self, pauses: Pauses::default() }, encoded, deadline, None).await
    }

    /// Returns a producer's last append that is committed, as the leader knows it; `None` for an unknown producer.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`] when no leader said so in time.
    pub async fn producer(
        &self,
        id: &str,
        within: Duration,
    ) -> Result<Option<ProducerState>, ConsensusError> {
        let deadline = Instant::now() + within;
        let (mut pauses, mut leader) = (Pauses::default(), None);
        while Instant::now() < deadline {
            leader = self.leader(deadline).await;
            if let Some(leader) = leader
                && let Some(found) = self.ask_producer(leader, id, deadline).await
            {
                return Ok(found);
            }
            self.forget(leader);
            tokio::time::sleep_until(pauses.next(deadline)).await;
        }
        Err(ConsensusError::NotLeading { leader })
    }

    async fn ask_producer(
        &self,
        leader: NodeId,
        id: &str,
        deadline: Instant,
    ) -> Option<Option<ProducerState>> {
        let within = deadline.saturating_duration_since(Instant::now()).min(QUESTION_WITHIN);
        let mut body = message::begin(Subject::Producer, self.inner.id);
        body.put_u32(ask::millis(within));
        body.put_text16(id);
        let answer = self.inner.link.request(leader, body.into(), within).await.ok()?;
        decode_producer(&answer).ok()
    }

    /// Returns who leads; `None` where nobody is known to.
    async fn leader(&self, deadline: Instant) -> Option<NodeId> {
        let known = self.known().leader;
        match known.filter(|(_, at)| at.elapsed() < LEADS_FOR) {
            Some((leader, _)) => Some(leader),
            None => self.ask_who_leads(deadline).await,
        }
    }

    /// Asks all that hold the log who leads it, until most of them have said so.
    async fn ask_who_leads(&self, deadline: Instant) -> Option<NodeId> {
        let holders = self.holders();
        let until = deadline.min(Instant::now() + QUESTION_WITHIN);
        let mut asked: FuturesUnordered<_> =
            holders.iter().map(|node| self.ask_one_who_leads(*node, until)).collect();
        let (mut said, mut newest) = (0, None);
        while let Some(answer) = asked.next().await {
            said += usize::from(answer.is_some());
            newest = newest.max(answer.filter(|(_, leader)| leader.is_some()));
            if said > holders.len() / 2 && newest.is_some() {
                break;
            }
        }
        let leader = newest.and_then(|(_, leader)| leader);
        self.known().leader = leader.map(|leader| (leader, Instant::now()));
        leader
    }

    async fn ask_one_who_leads(&self, node: NodeId, until: Instant) -> Option<(Term, Option<NodeId>)> {
        let within = until.saturating_duration_since(Instant::now());
        let body = message::begin(Subject::Leader, self.inner.id);
        let answer = self.inner.link.request(node, body.into(), within).await.ok()?;
        decode_leader(&answer).ok()
    }

    /// Completes once another node is said to lead.
    async fn until_another_leads(&self, leader: NodeId, deadline: Instant) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            if self.ask_who_leads(deadline).await.is_some_and(|now| now != leader) {
                return;
            }
        }
    }

    /// Forgets that a node leads.
    fn forget(&self, leader: Option<NodeId>) {
        let mut known = self.known();
        known.leader = known.leader.filter(|(now, _)| Some(*now) != leader);
    }

    fn confirm(&self, leader: NodeId) {
        self.known().leader = Some((leader, Instant::now()));
    }
}

/// Asks on a node that is no member of the group.
struct Outsider<'a> {
    log: &'a RemoteLog,
    pauses: Pauses,
}

impl Asker for Outsider<'_> {
    async fn try_once(
        &mut self,
        encoded: &Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> Result<Tried, AppendError> {
        let log = self.log;
        let Some(leader) = log.leader(deadline).await else {
            let cause =
                format!("log {} is held by {:?}, of which none says who leads it", log.id(), log.holders());
            return Ok(Tried::Again(cause));
        };
        let forwarded = ask::forward(&*log.inner.link, log.id(), leader, encoded, deadline);
        let tried = match repeatable {
            false => forwarded.await,
            true => tokio::select! {
                biased;
                tried = forwarded => tried,
                () = log.until_another_leads(leader, deadline) => {
                    return Ok(Tried::Lost(format!("node {leader} leads no more")));
                }
            },
        };
        match &tried {
            Tried::Decided(_) => log.confirm(leader),
            Tried::Again(_) | Tried::Lost(_) => log.forget(Some(leader)),
        }
        Ok(tried)
    }

    async fn wait_for_change(&mut self, deadline: Instant) {
        tokio::time::sleep_until(self.pauses.next(deadline)).await;
    }

    fn position(&self) -> Position {
        Position::ZERO
    }
}

/// Answers who asks who leads.
pub(crate) fn answer_leader(standing: &Standing) -> Bytes {
    let mut out = Vec::new();
    out.put_u64(standing.term.0);
    out.put_u8(u8::from(standing.leader.is_some()));
    if let Some(leader) = standing.leader {
        out.put_u64(leader.0);
    }
    out.into()
}

fn decode_leader(bytes: &[u8]) -> Result<(Term, Option<NodeId>), Malformed> {
    let mut cursor = Cursor::new(bytes);
    let term = Term(cursor.u64("term")?);
    let leader = take_flag(&mut cursor)?.then(|| cursor.u64("node").map(NodeId)).transpose()?;
    cursor.finish("length")?;
    Ok((term, leader))
}

/// Takes the producer that is asked for.
pub(crate) fn take_producer(body: &[u8]) -> Result<&str, Malformed> {
    let mut cursor = Cursor::new(body);
    let id = cursor.text16("producer")?;
    cursor.finish("length")?;
    Ok(id)
}

/// Answers who asks for a producer.
pub(crate) fn answer_producer(state: Option<&ProducerState>) -> Bytes {
    let mut out = vec![DECIDED];
    out.put_u8(u8::from(state.is_some()));
    if let Some(state) = state {
        out.put_u64(state.number);
        out.put(state.digest.as_bytes());
        out.put_u64(state.index.0);
    }
    out.into()
}

fn decode_producer(bytes: &[u8]) -> Result<Option<ProducerState>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u8("answer")? != DECIDED {
        return Err(Malformed::new("answer"));
    }
    let state = match take_flag(&mut cursor)? {
        false => None,
        true => {
            let (number, digest) = (cursor.u64("number")?, Hash::from_bytes(cursor.array("digest")?));
            Some(ProducerState { number, digest, index: Index(cursor.u64("index")?) })
        }
    };
    cursor.finish("length")?;
    Ok(state)
}

/// Sends appends on from threads of any kind. Cloning shares it.
#[derive(Debug, Clone)]
pub struct RemoteWriter {
    log: RemoteLog,
    runtime: Handle,
    within: Duration,
}

impl RemoteWriter {
    /// Sends appends to a log on; requests travel on a runtime, and take at most so long.
    pub fn new(log: RemoteLog, runtime: Handle, within: Duration) -> Self {
        Self { log, runtime, within }
    }
}

impl LogSender for RemoteWriter {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        let encoded = Bytes::from(encode_request(&Request::Append(request))?);
        let (ticket, promise) = Ticket::promised();
        let until = Instant::now() + self.within;
        self.runtime.spawn(keep(self.log.clone(), encoded, until, promise));
        Ok(ticket)
    }

    fn holders(&self) -> BTreeSet<NodeId> {
        self.log.holders()
    }
}

/// Has a request decided, and tells its ticket.
async fn keep(log: RemoteLog, encoded: Bytes, until: Instant, promise: Promise) {
    // It was checked before it was encoded, so that an error is a defect; nothing was asked of anybody.
    let outcome = log.ask_encoded(&encoded, until).await;
    promise.keep(outcome.unwrap_or_else(|error| Outcome::Unknown { cause: error.to_string() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_as_they_were_and_cut_or_changed_ones_are_refused_or_mean_something_else() {
        let check = |bytes: &[u8], again: &dyn Fn(&[u8]) -> Option<Bytes>| {
            assert_eq!(again(bytes).as_deref(), Some(bytes));
            for length in 0..bytes.len() {
                assert_eq!(again(&bytes[..length]), None, "{length}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Some(again) = again(&flipped) {
                    assert_eq!(again, flipped, "one encoding each: bit {bit}");
                }
            }
        };
        let standing = |leader| Standing {
            role: crate::Role::Replica,
            term: Term(7),
            leader,
            voters: BTreeSet::new(),
            members: Default::default(),
        };
        for leader in [None, Some(NodeId(3))] {
            check(&answer_leader(&standing(leader)), &|bytes| {
                let (term, leader) = decode_leader(bytes).ok()?;
                Some(answer_leader(&Standing { term, ..standing(leader) }))
            });
        }
        let state = ProducerState { number: 9, digest: Hash::of(b"x"), index: Index(4) };
        for state in [None, Some(&state)] {
            check(&answer_producer(state), &|bytes| {
                Some(answer_producer(decode_producer(bytes).ok()?.as_ref()))
            });
        }
    }
}
