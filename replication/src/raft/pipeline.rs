//! Entries on their way to one follower: one message at a time, as long as they are small, so that what comes meanwhile goes
//! along; several at a time, where a follower has much to catch up with. Where it is far behind, what is large waits for the
//! node's budget, and everything behind it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{FutureExt as _, Stream, StreamExt as _};
use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};

use super::network::Way;
use super::rpc::{Rpc, decode_appended};
use super::{LogId, TypeConfig};
use crate::budget::Taken;

/// Messages that are on their way at the same time, when they are large.
const ON_THE_WAY_MAX: usize = 4;
/// What a message has at least that is large.
const LARGE_BYTES: usize = 256 << 10;

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// A message that was sent, and its answer.
struct Sent {
    prev: Option<LogId>,
    last: Option<LogId>,
    answer: Result<Bytes, RPCError<TypeConfig>>,
}

/// A message that waits for the budget.
struct Due<'a> {
    request: AppendEntriesRequest<TypeConfig>,
    taken: BoxFuture<'a, Taken>,
}

struct Pipeline<'a, S> {
    way: &'a Way,
    requests: S,
    on_the_way: FuturesOrdered<BoxFuture<'a, Sent>>,
    /// Whether what is on its way is large.
    large: bool,
    /// A small message that waits until nothing is on its way, lest it overtakes.
    held: Option<AppendEntriesRequest<TypeConfig>>,
    due: Option<Due<'a>>,
    ended: bool,
}

/// Sends requests in their order, and gives out the answers in that order; ends behind the first that is not a success.
pub(super) fn stream<'a, S>(way: &'a Way, requests: S) -> BoxStream<'a, Answer>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let on_the_way = FuturesOrdered::new();
    let pipeline = Pipeline { way, requests, on_the_way, large: true, held: None, due: None, ended: false };
    futures::stream::unfold(Some(pipeline), |pipeline| async move {
        let mut pipeline = pipeline?;
        let sent = pipeline.next().await?;
        let (answer, goes_on) = sent.told();
        Some((answer, goes_on.then_some(pipeline)))
    })
    .fuse()
    .boxed()
}

impl<S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin> Pipeline<'_, S> {
    /// Waits for the oldest answer, and sends what may be sent meanwhile; `None` once there is nothing more.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if self.on_the_way.is_empty()
                && let Some(held) = self.held.take()
            {
                self.send(held, None);
            }
            let waits = self.held.is_some() || self.due.is_some();
            let has_room = !waits
                && (self.on_the_way.is_empty() || (self.large && self.on_the_way.len() < ON_THE_WAY_MAX));
            tokio::select! {
                biased;
                Some(sent) = self.on_the_way.next(), if !self.on_the_way.is_empty() => return Some(sent),
                taken = taken(&mut self.due), if self.due.is_some() => {
                    if let Some(Due { request, .. }) = self.due.take() {
                        self.send(request, Some(taken));
                    }
                }
                request = self.requests.next(), if has_room && !self.ended => match request {
                    Some(request) if is_large(&request) && is_far_behind(&request) => {
                        let taken = self.way.take(bytes_of(&request)).boxed();
                        self.due = Some(Due { request, taken });
                    }
                    Some(request) if is_large(&request) || self.on_the_way.is_empty() => self.send(request, None),
                    Some(request) => self.held = Some(request),
                    None => self.ended = true,
                },
                else => return None,
            }
        }
    }

    fn send(&mut self, request: AppendEntriesRequest<TypeConfig>, taken: Option<Taken>) {
        let bytes = bytes_of(&request);
        self.large = is_large(&request);
        let prev = request.prev_log_id;
        let last = request.entries.last().map(openraft::entry::RaftEntry::log_id).or(prev);
        let (way, within) = (self.way, self.way.append_within(bytes, request.entries.is_empty()));
        self.on_the_way.push_back(send(way, request, (prev, last), within, taken).boxed());
    }
}

fn bytes_of(request: &AppendEntriesRequest<TypeConfig>) -> usize {
    request.entries.iter().map(super::types::payload_bytes).sum()
}

fn is_large(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    bytes_of(request) >= LARGE_BYTES
}

/// Tells whether a message brings a follower up that is far behind: a majority has all of it already, and at least as many
/// entries beyond. What a majority still needs, and what is new, never waits for the budget.
fn is_far_behind(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    let last = request.entries.last().map(openraft::entry::RaftEntry::log_id);
    let (Some(last), Some(committed)) = (last, &request.leader_commit) else { return false };
    committed.index() >= last.index().saturating_add(request.entries.len() as u64)
}

async fn send(
    way: &Way,
    request: AppendEntriesRequest<TypeConfig>,
    (prev, last): (Option<LogId>, Option<LogId>),
    within: Duration,
    taken: Option<Taken>,
) -> Sent {
    let answer = way.ask(&Rpc::Append(request), within).await;
    match (taken, &answer) {
        (Some(taken), Ok(_)) => taken.arrived(),
        (Some(taken), Err(RPCError::Unreachable(_))) => taken.not_sent(),
        // It may have gone.
        (_, _) => {}
    }
    Sent { prev, last, answer }
}

/// Waits until the budget has room for a message that waits for it.
async fn taken(due: &mut Option<Due<'_>>) -> Taken {
    match due {
        Some(due) => (&mut due.taken).await,
        None => std::future::pending().await,
    }
}

impl Sent {
    /// Returns what consensus is told, and whether the messages behind this one count.
    fn told(self) -> (Answer, bool) {
        let Self { prev, last, answer } = self;
        let answer = answer.and_then(|bytes| {
            decode_appended(&bytes).map_err(|malformed| RPCError::Network(NetworkError::new(&malformed)))
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return (Err(error), false),
        };
        if matches!(answer, AppendEntriesResponse::Conflict) && prev.is_none() {
            // Nothing is before the first entry that could be another one.
            let cause = std::io::Error::other("a conflict before the first entry");
            return (Err(RPCError::Network(NetworkError::new(&cause))), false);
        }
        let goes_on = match &answer {
            AppendEntriesResponse::Success => true,
            AppendEntriesResponse::PartialSuccess(upto) => *upto == last,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => false,
        };
        (Ok(answer.into_stream_result(prev, last)), goes_on)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU64;
    use std::sync::{Arc, Mutex};

    use base::{LogId as GroupId, NodeId};
    use openraft::entry::EntryPayload;
    use openraft::network::RaftNetworkFactory as _;

    use super::super::network::{Network, Reach};
    use super::super::{Entry, LeaderId, Member, Proposal, RaftVote};
    use super::*;
    use crate::budget::{Allowance, Budget, Peak};
    use crate::config::ReplicationConfig;
    use crate::counts::Counters;
    use crate::heartbeats::Heartbeats;
    use crate::link::Link;

    /// Answers each message when it is told to, by the message's place.
    #[derive(Debug, Default)]
    struct ByHand {
        waiting: Mutex<BTreeMap<usize, tokio::sync::oneshot::Sender<Vec<u8>>>>,
        count: Mutex<usize>,
    }

    impl Link for ByHand {
        fn request(&self, _: NodeId, _: Bytes, _: Duration) -> crate::Answer {
            let (sender, answer) = tokio::sync::oneshot::channel();
            let mut count = self.count.lock().unwrap();
            self.waiting.lock().unwrap().insert(*count, sender);
            *count += 1;
            Box::pin(async move { Ok(answer.await.unwrap().into()) })
        }
    }

    impl ByHand {
        /// Returns which messages are on their way.
        fn on_the_way(&self) -> Vec<usize> {
            self.waiting.lock().unwrap().keys().copied().collect()
        }

        fn answer(&self, message: usize, answer: &AppendEntriesResponse<TypeConfig>) {
            let sender = self.waiting.lock().unwrap().remove(&message).unwrap();
            sender.send(super::super::rpc::encode_appended(answer)).unwrap();
        }
    }

    fn log_id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 1, node_id: 1 }, index)
    }

    /// A message with one entry of so many bytes behind `index`.
    fn message(index: u64, bytes: usize) -> AppendEntriesRequest<TypeConfig> {
        let proposal = Proposal::from_bytes(vec![0; bytes].into());
        let entry: Entry = openraft::entry::RaftEntry::new(log_id(index + 1), EntryPayload::Normal(proposal));
        AppendEntriesRequest {
            vote: RaftVote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: true },
            prev_log_id: Some(log_id(index)),
            entries: vec![entry],
            leader_commit: None,
        }
    }

    async fn way(link: &Arc<ByHand>) -> Way {
        way_within(link, Allowance::default()).await
    }

    async fn way_within(link: &Arc<ByHand>, allowance: Allowance) -> Way {
        let link: Arc<dyn Link> = Arc::clone(link) as _;
        let (group, request) = (GroupId::from_bytes([1; 16]), Duration::from_secs(1));
        let (counters, heartbeats) = (Counters::default(), Heartbeats::default());
        let reach = Reach { group, link, allowance, counters, heartbeats };
        let mut network = Network { reach, request, heartbeat: request };
        network.new_client(2, &Member::default()).await
    }

    /// Lets the stream go on as far as it can; returns what it gives out.
    async fn given(answers: &mut BoxStream<'_, Answer>) -> Vec<Option<u64>> {
        let mut given = Vec::new();
        while let Some(Some(answer)) = answers.next().now_or_never() {
            given.push(answer.unwrap().ok().flatten().map(|log_id| log_id.index()));
        }
        given
    }

    #[tokio::test]
    async fn large_messages_travel_together_and_their_answers_keep_their_order() {
        let link = Arc::new(ByHand::default());
        let way = way(&link).await;
        let large = (0..6).map(|index| message(index, LARGE_BYTES));
        let mut answers = stream(&way, futures::stream::iter(large));
        assert_eq!(given(&mut answers).await, []);
        assert_eq!(link.on_the_way(), [0, 1, 2, 3]);
        link.answer(1, &AppendEntriesResponse::Success);
        link.answer(3, &AppendEntriesResponse::Success);
        assert_eq!(given(&mut answers).await, []);
        link.answer(0, &AppendEntriesResponse::Success);
        assert_eq!(given(&mut answers).await, [Some(1), Some(2)]);
        assert_eq!(link.on_the_way(), [2, 4, 5]);
        link.answer(2, &AppendEntriesResponse::PartialSuccess(Some(log_id(3))));
        link.answer(4, &AppendEntriesResponse::Success);
        assert_eq!(given(&mut answers).await, [Some(3), Some(4), Some(5)]);
        link.answer(5, &AppendEntriesResponse::Success);
        assert_eq!(given(&mut answers).await, [Some(6)]);
        assert!(answers.next().await.is_none());
    }

    #[tokio::test]
    async fn a_small_message_travels_alone() {
        let link = Arc::new(ByHand::default());
        let way = way(&link).await;
        let sizes = [LARGE_BYTES, LARGE_BYTES, 10, 10, LARGE_BYTES];
        let messages = sizes.into_iter().enumerate().map(|(index, bytes)| message(index as u64, bytes));
        let mut answers = stream(&way, futures::stream::iter(messages.collect::<Vec<_>>()));
        for on_the_way in [vec![0, 1], vec![1], vec![2], vec![3], vec![4], vec![]] {
            given(&mut answers).await;
            assert_eq!(link.on_the_way(), on_the_way);
            if let Some(first) = on_the_way.first() {
                link.answer(*first, &AppendEntriesResponse::Success);
            }
        }
        assert!(answers.next().await.is_none());
    }

    /// A budget of half a megabyte a second, of which a second is there.
    async fn tight(link: &Arc<ByHand>) -> Way {
        let budget = Budget::new(Peak::Given(NonZeroU64::new(1 << 20).unwrap()));
        let allowance = Allowance::default();
        allowance.set(&budget, &ReplicationConfig::default());
        way_within(link, allowance).await
    }

    /// A message for a follower that lacks this and as much again, of what is committed.
    fn behind(index: u64, bytes: usize) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest { leader_commit: Some(log_id(index + 2)), ..message(index, bytes) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_brings_a_follower_up_waits_for_the_budget_in_its_order() {
        let link = Arc::new(ByHand::default());
        let way = tight(&link).await;
        let messages = [
            behind(0, LARGE_BYTES),
            behind(1, LARGE_BYTES),
            behind(2, LARGE_BYTES),
            // None of these waits for the budget, but for what goes before.
            message(3, LARGE_BYTES),
            behind(4, 10),
        ];
        let mut answers = stream(&way, futures::stream::iter(messages));
        assert_eq!(given(&mut answers).await, []);
        assert_eq!(link.on_the_way(), [0, 1], "a second of the budget is there");
        link.answer(0, &AppendEntriesResponse::Success);
        let begun = tokio::time::Instant::now();
        let first = answers.next().await.unwrap().unwrap();
        assert_eq!(first.ok().flatten().map(|log_id| log_id.index()), Some(1));
        assert_eq!(given(&mut answers).await, []);
        assert_eq!(link.on_the_way(), [1]);
        while link.on_the_way().len() < 3 {
            assert!(tokio::time::timeout(Duration::from_millis(1), answers.next()).await.is_err());
        }
        assert_eq!(begun.elapsed().as_millis(), 500);
        assert_eq!(link.on_the_way(), [1, 2, 3]);
        for message in 1..4 {
            link.answer(message, &AppendEntriesResponse::Success);
        }
        assert_eq!(given(&mut answers).await, [Some(2), Some(3), Some(4)]);
        assert_eq!(link.on_the_way(), [4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_majority_needs_and_what_is_small_never_waits_for_the_budget() {
        let link = Arc::new(ByHand::default());
        let way = tight(&link).await;
        let begun = tokio::time::Instant::now();
        let near = |index| AppendEntriesRequest {
            leader_commit: Some(log_id(index + 1)),
            ..message(index, 4 << 20)
        };
        let messages: Vec<_> = (0..20)
            .map(|index| match index % 3 {
                0 => message(index, 4 << 20),
                1 => near(index),
                _ => behind(index, LARGE_BYTES - 1),
            })
            .collect();
        let mut answers = stream(&way, futures::stream::iter(messages));
        let mut count = 0;
        while count < 20 {
            given(&mut answers).await;
            for message in link.on_the_way() {
                link.answer(message, &AppendEntriesResponse::Success);
                count += 1;
            }
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn nothing_counts_behind_what_was_not_taken_whole() {
        for answer in [
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::PartialSuccess(Some(log_id(0))),
            AppendEntriesResponse::HigherVote(RaftVote {
                leader_id: LeaderId { term: 2, node_id: 2 },
                committed: false,
            }),
        ] {
            let link = Arc::new(ByHand::default());
            let way = way(&link).await;
            let large = (0..3).map(|index| message(index, LARGE_BYTES));
            let mut answers = stream(&way, futures::stream::iter(large));
            given(&mut answers).await;
            link.answer(1, &AppendEntriesResponse::Success);
            link.answer(0, &answer);
            assert_eq!(given(&mut answers).await.len(), 1, "{answer:?}");
            assert!(answers.next().await.is_none());
        }
        // What cannot be is a failed message, not a panic.
        let link = Arc::new(ByHand::default());
        let way = way(&link).await;
        let first = AppendEntriesRequest { prev_log_id: None, ..message(0, 10) };
        let mut answers = stream(&way, futures::stream::iter([first]));
        assert!(answers.next().now_or_never().is_none());
        link.answer(0, &AppendEntriesResponse::Conflict);
        assert!(answers.next().await.unwrap().is_err());
    }
}
