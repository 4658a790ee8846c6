//! Giving a replica that lost something what it lost: the others are asked what it may have told them, and for the entries.
//!
//! A replica in doubt has cast votes, or said that it has entries, of which it does not know any more. It takes no part in its
//! group until it holds as much again: the newest vote that any of the others knows of, which is no older than one that it
//! cast for somebody of them, and the log of the one that goes furthest, which has everything that was ever committed with its
//! help. So many of the others must have answered that any majority which it was part of has one of them; of three nodes, both.
//!
//! ```text
//! inquiry: nothing. Answer: u8 1 and u64 term, u64 node, u8 whether elected, or u8 0; u8 1 and u64 term, u64 node, u64 index
//!          of the last entry, or u8 0; u32 memberships (at most 2, the newest last), each u32+bytes
//! fetch:   u64 first index, u64 end. Answer: u32 entries, each: u64 term, u64 node, u64 index, u8 0 of consensus, 1 sealed,
//!          u32+bytes
//! ```
//!
//! Source: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{Classify, ErrorKind, Index, LogId, NodeId, Slot, Term};
use bytes::Bytes;
use redex::{Completion, EntryContent, ReplicaEntry, ReplicaError, ReplicaLog, SealedEntry, Vote};

use crate::link::{Link, LinkError};
use crate::message::{self, Subject, put_slot, take_flag, take_slot};
use crate::raft::decode_membership;
use crate::snapshot::{self, Arriving, FetchError};

/// How long another replica may take to say how it stands.
const INQUIRY_WITHIN: Duration = Duration::from_secs(1);
/// How long it may take to send entries.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// About how many bytes of entries it sends at once.
const FETCH_BYTES: u64 = 1 << 20;
/// How long a repair that cannot go on waits until it begins again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Why a replica in doubt is in doubt still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Too few of the others answered.
    #[error(
        "of the log's other voters, {missing:?} must say what they have, too: start them, or wait until they are reached"
    )]
    TooFew {
        /// Who did not answer.
        missing: BTreeSet<NodeId>,
    },
    /// Nobody else votes.
    #[error(
        "no other node holds the log, so that nobody knows what was lost: restore the node from a backup"
    )]
    Alone,
    /// One of the others did not send what it has.
    #[error("entries were not sent: {0}")]
    Fetch(#[from] LinkError),
    /// One of the others sent something else than what it was asked for.
    #[error("node {node} sent what it was not asked for: a wrong {what}")]
    Answer {
        /// The node.
        node: NodeId,
        /// What is wrong.
        what: String,
    },
    /// What was sent cannot be written.
    #[error("what was sent was not written: {0}")]
    Replica(#[from] ReplicaError),
    /// The replica's own log cannot be read.
    #[error("the replica's own log does not read: {0}")]
    Read(String),
}

impl Classify for RepairError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer { .. } | Self::Read(_) => ErrorKind::Corrupt,
            Self::Replica(error) => error.kind(),
            Self::TooFew { .. } | Self::Alone | Self::Fetch(_) => ErrorKind::Unavailable,
        }
    }
}

/// How another replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    vote: Option<Vote>,
    last: Option<Slot>,
    /// The memberships that may be in force, as consensus wrote them, the newest last.
    memberships: Vec<Bytes>,
}

/// Asks the others until a replica in doubt holds again whatever it may have told them, and settles the doubt. Returns how many
/// entries it was given.
///
/// `others` are nodes that hold the log, as far as is known from elsewhere; members that the log tells of are asked, too.
/// `tell` hears each cause that keeps the repair from going on.
///
/// *Durability*: what it was given survives a power failure once this returns.
///
/// # Errors
///
/// [`RepairError::Replica`], where the replica takes nothing any more. Everything else is tried again.
pub async fn repair(
    log: &ReplicaLog,
    me: NodeId,
    link: &Arc<dyn Link>,
    others: &BTreeSet<NodeId>,
    tell: impl FnMut(&RepairError),
) -> Result<u64, RepairError> {
    repair_asking_also(log, me, link, others, &BTreeSet::new(), tell).await
}

/// The same, where `hints` are further nodes that may hold the log, as they do when this one is to get it from them: they are
/// asked, and need not answer.
///
/// # Errors
///
/// As [`repair`].
pub async fn repair_asking_also(
    log: &ReplicaLog,
    me: NodeId,
    link: &Arc<dyn Link>,
    others: &BTreeSet<NodeId>,
    hints: &BTreeSet<NodeId>,
    mut tell: impl FnMut(&RepairError),
) -> Result<u64, RepairError> {
    let (named, hints) = (others.clone(), hints.clone());
    let mut repair = Repair { log, me, link, named, hints, given: 0, arriving: Arriving::default() };
    loop {
        let cause = match repair.once().await {
            Ok(()) => return Ok(repair.given),
            Err(RepairError::Replica(cause @ (ReplicaError::Closed | ReplicaError::Poisoned { .. }))) => {
                return Err(cause.into());
            }
            Err(cause) => cause,
        };
        tell(&cause);
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Tells whether a node is no member of a log's group any more, though it still has a replica: whether one of those that are to
/// hold the log is as far as it is, and knows of a membership, surely decided, without it.
pub async fn has_left(log: &ReplicaLog, me: NodeId, link: &Arc<dyn Link>, others: &BTreeSet<NodeId>) -> bool {
    let (named, hints) = (BTreeSet::new(), BTreeSet::new());
    let repair = Repair { log, me, link, named, hints, given: 0, arriving: Arriving::default() };
    let accounts = futures::future::join_all(others.iter().map(|node| repair.inquire(*node))).await;
    let own = log.state().last.map(rank);
    accounts.into_iter().flatten().any(|account| {
        let is_as_far = account.last.map(rank) >= own;
        // Of two, the older one may come to be in force again.
        let decided = account.memberships.len() == 1;
        let members = members(&account.memberships);
        is_as_far && decided && !members.is_empty() && !members.contains(&me)
    })
}

struct Repair<'a> {
    log: &'a ReplicaLog,
    me: NodeId,
    link: &'a Arc<dyn Link>,
    named: BTreeSet<NodeId>,
    hints: BTreeSet<NodeId>,
    given: u64,
    arriving: Arriving,
}

impl Repair<'_> {
    async fn once(&mut self) -> Result<(), RepairError> {
        let accounts = self.accounts().await?;
        let furthest = accounts.iter().max_by_key(|(_, account)| account.last.map(rank));
        let Some((furthest, Some(last))) = furthest.map(|(node, account)| (*node, account.last)) else {
            // Whoever answers has an empty log: there was nothing to lose.
            return self.adopt(&accounts);
        };
        if self.log.state().last.map(rank) < Some(rank(last)) {
            self.fetch(furthest, last).await?;
        }
        self.adopt(&accounts)
    }

    /// Takes the newest vote over, and settles the doubt.
    fn adopt(&self, accounts: &BTreeMap<NodeId, Account>) -> Result<(), RepairError> {
        let rank = |vote: &Vote| (vote.term, vote.node, vote.committed);
        let newest = accounts.values().filter_map(|account| account.vote).max_by_key(rank);
        if let Some(newest) =
            newest.filter(|newest| self.log.vote().is_none_or(|own| rank(&own) < rank(newest)))
        {
            self.log.save_vote(newest)?;
        }
        Ok(self.log.settle_doubt()?)
    }

    /// Returns how enough of the others stand.
    async fn accounts(&self) -> Result<BTreeMap<NodeId, Account>, RepairError> {
        let own = self.log.consensus().into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
        let mut asked = &self.named | &self.hints;
        asked.extend(voters(&own).into_iter().flatten());
        let mut accounts = BTreeMap::new();
        loop {
            asked.remove(&self.me);
            let missing: Vec<_> = asked.iter().copied().filter(|node| !accounts.contains_key(node)).collect();
            let answers = futures::future::join_all(missing.iter().map(|node| self.inquire(*node))).await;
            accounts
                .extend(missing.into_iter().zip(answers).filter_map(|(node, found)| Some((node, found?))));
            let furthest = accounts.values().max_by_key(|account: &&Account| account.last.map(rank));
            let mut configurations = furthest.map_or(Vec::new(), |furthest| voters(&furthest.memberships));
            if configurations.is_empty() {
                configurations = voters(&own);
            }
            let all: BTreeSet<_> = configurations.iter().flatten().copied().collect();
            if !all.iter().all(|node| *node == self.me || asked.contains(node)) {
                asked.extend(all);
                continue;
            }
            let known = |node: &NodeId| accounts.contains_key(node);
            // Where nobody tells who votes, everybody must have answered that is known from elsewhere. A replica that came back
            // was of a group that has voters.
            let needed = &asked - &(&self.hints - &self.named);
            let enough = match configurations.is_empty() {
                true => !needed.is_empty() && needed.iter().all(known) && !self.log.came_back(),
                false => configurations.iter().all(|voters| {
                    let unknown = voters.iter().filter(|node| !known(node)).count();
                    unknown < voters.len() / 2 + 1
                }),
            };
            let missing: BTreeSet<_> = if configurations.is_empty() { &asked } else { &all }
                .iter()
                .copied()
                .filter(|node| *node != self.me && !known(node))
                .collect();
            return match enough {
                true => Ok(accounts),
                false if missing.is_empty() => Err(RepairError::Alone),
                false => Err(RepairError::TooFew { missing }),
            };
        }
    }

    async fn inquire(&self, node: NodeId) -> Option<Account> {
        let body = message::begin(Subject::Inquiry, self.id());
        let answer = self.link.request(node, body.into(), INQUIRY_WITHIN).await;
        match answer.map_err(|error| error.to_string()).and_then(|bytes| {
            Account::decode(&bytes).map_err(|malformed| format!("a wrong {malformed} in its answer"))
        }) {
            Ok(account) => Some(account),
            Err(cause) => {
                tracing::debug!(%node, %cause, "a replica did not say how it stands");
                None
            }
        }
    }

    /// Gets the entries up to another replica's last one.
    async fn fetch(&mut self, from: NodeId, last: Slot) -> Result<(), RepairError> {
        let state = self.log.state();
        // What this one has behind what is committed may be something else there.
        if let Some(own) = state.last
            && !self.has(from, own).await?
        {
            self.log.truncate_after(self.log.committed().map(|slot| slot.index))?;
        }
        loop {
            let own = self.log.state().last;
            let next = own.map_or(Index::ZERO, |slot| slot.index.next());
            if next > last.index {
                break;
            }
            let entries = self.entries(from, next, last.index.next()).await?;
            if entries.is_empty() {
                self.begin_anew(from, next).await?;
                continue;
            }
            self.log.append(&entries, Completion::ignored())?;
            self.given += entries.len() as u64;
        }
        // Where its log changed meanwhile, the others are asked again.
        match self.log.state().last.map(rank) < Some(rank(last)) {
            true => Err(RepairError::Answer { node: from, what: format!("entry {last}") }),
            false => Ok(()),
        }
    }

    /// Goes on where another replica begins, which has given up the entry that is next here.
    async fn begin_anew(&mut self, from: NodeId, next: Index) -> Result<(), RepairError> {
        let got = |error: FetchError| match error {
            FetchError::Link(error) => RepairError::Fetch(error),
            other => RepairError::Answer { node: from, what: other.to_string() },
        };
        let manifest = snapshot::ask_manifest(self.link, self.id(), from).await.map_err(got)?;
        let Some(manifest) = manifest.filter(|manifest| manifest.slot.index >= next) else {
            return Err(RepairError::Answer { node: from, what: format!("end before entry {next}") });
        };
        let state = self.arriving.fetch(self.link, self.id(), from, &manifest).await.map_err(got)?;
        Ok(self.log.install(manifest.slot, &state)?)
    }

    /// Tells whether another replica has one of this one's entries; another entry at the same slot is a fork, which is noted.
    async fn has(&self, node: NodeId, slot: Slot) -> Result<bool, RepairError> {
        let found = self.entries(node, slot.index, slot.index.next()).await?;
        self.log.compare_given(&found);
        let held = self.log.entries(slot.index..slot.index.next(), u64::MAX);
        let held = held.map_err(|error| RepairError::Read(error.to_string()))?;
        Ok(match held.first() {
            Some(held) => found.first() == Some(held),
            // It was given up here; what stands for it is committed.
            None => found.first().is_some_and(|entry| entry.slot == slot),
        })
    }

    async fn entries(&self, node: NodeId, from: Index, to: Index) -> Result<Vec<ReplicaEntry>, RepairError> {
        let mut body = message::begin(Subject::Fetch, self.id());
        body.put_u64(from.0);
        body.put_u64(to.0);
        let answer = self.link.request(node, body.into(), FETCH_WITHIN).await?;
        decode_entries(&answer).map_err(|malformed| RepairError::Answer { node, what: malformed.to_string() })
    }

    fn id(&self) -> LogId {
        self.log.reader().id()
    }
}

/// Orders slots as elections compare logs.
fn rank(slot: Slot) -> (Term, NodeId, Index) {
    (slot.term, slot.node, slot.index)
}

/// Returns the configurations of memberships, each by its voters.
fn voters(memberships: &[Bytes]) -> Vec<BTreeSet<NodeId>> {
    let memberships = memberships.iter().filter_map(|bytes| decode_membership(bytes).ok());
    let configurations = memberships.flat_map(|membership| membership.get_joint_config().clone());
    configurations.map(|voters| voters.into_iter().map(NodeId).collect()).collect()
}

/// Returns the members of memberships, with a vote or without.
fn members(memberships: &[Bytes]) -> BTreeSet<NodeId> {
    let memberships = memberships.iter().filter_map(|bytes| decode_membership(bytes).ok());
    let nodes = memberships.flat_map(|membership| membership.nodes().map(|(id, _)| *id).collect::<Vec<_>>());
    nodes.map(NodeId).collect()
}

/// Answers what a replica in doubt asks for how this one stands.
pub(crate) fn answer_inquiry(log: &ReplicaLog) -> Bytes {
    let mut written = log.consensus();
    // Until the newest is committed, the one before may come to be it again.
    let committed = log.committed();
    if let [_, newest] = &written[..]
        && committed.is_some_and(|committed| newest.0.index <= committed.index)
    {
        written.remove(0);
    }
    let memberships = written.into_iter().map(|(_, bytes)| bytes).collect();
    // Of one that does not read nobody knows what it stands for: who asks is to wait for it.
    let last = log.last_to_give().unwrap_or_else(|_| log.state().last);
    Account { vote: log.vote(), last, memberships }.encode().into()
}

/// Answers what a replica in doubt asks for entries.
pub(crate) fn answer_fetch(log: &ReplicaLog, body: &Bytes) -> Result<Bytes, String> {
    let mut cursor = Cursor::new(body);
    let wrong = |malformed: Malformed| format!("a message with a wrong {malformed}");
    let from = Index(cursor.u64("index").map_err(wrong)?);
    let to = Index(cursor.u64("index").map_err(wrong)?);
    cursor.finish("length").map_err(wrong)?;
    if from > to || log.state().last.is_none_or(|last| from > last.index) {
        return Ok(encode_entries(&[]).into());
    }
    let entries = log.entries(from..to, FETCH_BYTES).map_err(|error| error.to_string())?;
    // What was purged is not there.
    let entries =
        if entries.first().is_some_and(|entry| entry.slot.index == from) { &entries[..] } else { &[] };
    Ok(encode_entries(entries).into())
}

impl Account {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(u8::from(self.vote.is_some()));
        if let Some(vote) = self.vote {
            out.put_u64(vote.term.0);
            out.put_u64(vote.node.0);
            out.put_u8(u8::from(vote.committed));
        }
        out.put_u8(u8::from(self.last.is_some()));
        if let Some(last) = self.last {
            put_slot(&mut out, last);
        }
        out.put_length(self.memberships.len());
        for membership in &self.memberships {
            out.put_length(membership.len());
            out.put(membership);
        }
        out
    }

    fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let vote = match take_flag(&mut cursor)? {
            false => None,
            true => {
                let (term, node) = (Term(cursor.u64("term")?), NodeId(cursor.u64("node")?));
                Some(Vote { term, node, committed: take_flag(&mut cursor)? })
            }
        };
        let last = match take_flag(&mut cursor)? {
            false => None,
            true => Some(take_slot(&mut cursor)?),
        };
        let count = cursor.u32("memberships")?;
        if count > 2 {
            return Err(Malformed::new("memberships"));
        }
        let mut memberships = Vec::new();
        for _ in 0..count {
            let length = cursor.length("membership")?;
            memberships.push(bytes.slice_ref(cursor.take(length, "membership")?));
        }
        cursor.finish("length")?;
        Ok(Self { vote, last, memberships })
    }
}

fn encode_entries(entries: &[ReplicaEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_length(entries.len());
    for entry in entries {
        put_slot(&mut out, entry.slot);
        let (what, bytes) = match &entry.content {
            EntryContent::Consensus(bytes) => (0, bytes),
            EntryContent::Sealed(sealed) => (1, sealed.bytes()),
        };
        out.put_u8(what);
        out.put_length(bytes.len());
        out.put(bytes);
    }
    out
}

fn decode_entries(all: &Bytes) -> Result<Vec<ReplicaEntry>, Malformed> {
    let mut cursor = Cursor::new(all);
    let mut entries = Vec::new();
    for _ in 0..cursor.u32("entries")? {
        let slot = take_slot(&mut cursor)?;
        let sealed = take_flag(&mut cursor)?;
        let length = cursor.length("entry length")?;
        let bytes = all.slice_ref(cursor.take(length, "entry length")?);
        let content = match sealed {
            true => EntryContent::Sealed(SealedEntry::from_bytes(bytes)),
            false => EntryContent::Consensus(bytes),
        };
        entries.push(ReplicaEntry { slot, content });
    }
    cursor.finish("length")?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: u64) -> Slot {
        Slot { term: Term(3), node: NodeId(2), index: Index(index) }
    }

    fn accounts() -> Vec<Account> {
        let vote = Some(Vote { term: Term(4), node: NodeId(1), committed: true });
        vec![
            Account { vote: None, last: None, memberships: Vec::new() },
            Account { vote, last: Some(slot(9)), memberships: vec!["old".into(), "new".into()] },
        ]
    }

    fn entries() -> Vec<ReplicaEntry> {
        let sealed = EntryContent::Sealed(SealedEntry::from_bytes("sealed".into()));
        vec![
            ReplicaEntry { slot: slot(7), content: EntryContent::Consensus(Bytes::new()) },
            ReplicaEntry { slot: slot(8), content: sealed },
        ]
    }

    #[test]
    fn accounts_and_entries_come_back_as_they_were() {
        for account in accounts() {
            assert_eq!(Account::decode(&account.encode().into()), Ok(account));
        }
        assert_eq!(decode_entries(&encode_entries(&entries()).into()), Ok(entries()));
        assert_eq!(decode_entries(&encode_entries(&[]).into()), Ok(Vec::new()));
    }

    #[test]
    fn cut_and_changed_bytes_are_refused_or_mean_something_else() {
        let check = |bytes: Vec<u8>, again: &dyn Fn(&Bytes) -> Option<Vec<u8>>| {
            for length in 0..bytes.len() {
                assert_eq!(again(&Bytes::copy_from_slice(&bytes[..length])), None, "{length}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Some(again) = again(&flipped.clone().into()) {
                    assert_eq!(again, flipped, "one encoding each: bit {bit}");
                }
            }
        };
        for account in accounts() {
            check(account.encode(), &|bytes| Some(Account::decode(bytes).ok()?.encode()));
        }
        check(encode_entries(&entries()), &|bytes| Some(encode_entries(&decode_entries(bytes).ok()?)));
    }
}
