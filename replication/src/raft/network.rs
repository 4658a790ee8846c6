//! How openraft reaches other members: our bytes over a link.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::wire::Malformed;
use base::{LogId, NodeId};
use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;

use super::machine::Offer;
use super::pipeline;
use super::rpc::{Rpc, decode_appended, decode_installed, decode_transferred, decode_voted};
use super::{Member, RaftVote, TypeConfig};
use crate::budget::{Allowance, Taken};
use crate::counts::Counters;
use crate::heartbeats::{Heartbeats, Seat};
use crate::link::{Link, LinkError};
use crate::message::{self, Subject};

/// What consensus is told of a message with entries.
type Appended = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// How long entries may take beside the time that their bytes need: far longer than a vote, since a follower's disk may
/// be slow for a moment, and sending the same entries again would not make it quicker.
const APPEND_WITHIN: Duration = Duration::from_secs(1);
/// How long a follower may take, beside that, to go on with a snapshot. One that takes longer, since its disk is full, is asked
/// again and goes on; one that was cut off meanwhile is not waited for.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(1);
/// Bytes a second below which a follower is taken for lost.
const BYTES_A_SECOND_MIN: u32 = 4 << 20;

/// How the other members of one group are reached.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) group: LogId,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) allowance: Allowance,
    pub(crate) counters: Counters,
    pub(crate) heartbeats: Heartbeats,
}

/// Makes the ways to the other members of one group.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) reach: Reach,
    /// How long a request may take that is none for entries.
    pub(super) request: Duration,
    /// How often a leader tells that it is there.
    pub(super) heartbeat: Duration,
}

/// The way to one member.
#[derive(Debug)]
pub(super) struct Way {
    network: Network,
    target: NodeId,
    /// For a way that heartbeats go: they go with those of other groups.
    seat: Option<Seat>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _: &Member) -> Way {
        Way { network: self.clone(), target: NodeId(target), seat: None }
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &Member) -> Way {
        let target = NodeId(target);
        let seat = self.reach.heartbeats.seat(target, self.reach.group, self.heartbeat);
        Way { network: self.clone(), target, seat: Some(seat) }
    }
}

impl Way {
    /// Returns how long entries may take.
    pub(super) fn append_within(&self, bytes: usize, is_heartbeat: bool) -> Duration {
        match is_heartbeat {
            true => self.network.request,
            false => {
                APPEND_WITHIN + Duration::from_secs(1).mul_f64(bytes as f64 / f64::from(BYTES_A_SECOND_MIN))
            }
        }
    }

    /// Waits until the budget has room for what brings the member up.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        self.network.reach.allowance.take(bytes).await
    }

    pub(super) async fn ask(&self, rpc: &Rpc, within: Duration) -> Result<Bytes, RPCError<TypeConfig>> {
        let Reach { group, link, counters, .. } = &self.network.reach;
        let answer = match &self.seat {
            Some(seat) if rpc.is_heartbeat() => {
                let mut part = Vec::new();
                rpc.encode(&mut part);
                counters.sent(part.len());
                seat.ask(link, part, within).await
            }
            _ => {
                let mut body = message::begin(Subject::Consensus, *group);
                rpc.encode(&mut body);
                counters.sent(body.len());
                link.request(self.target, body.into(), within).await
            }
        };
        answer.map_err(|error| match &error {
            LinkError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
            LinkError::Lost { .. } => RPCError::Network(NetworkError::new(&error)),
        })
    }
}

fn wrong(malformed: Malformed) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&malformed))
}

impl RaftNetworkV2<TypeConfig> for Way {
    type SnapshotData = Offer;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let bytes: usize = rpc.entries.iter().map(super::types::payload_bytes).sum();
        let within = self.append_within(bytes, rpc.entries.is_empty());
        let answer = self.ask(&Rpc::Append(rpc), within).await?;
        decode_appended(&answer).map_err(wrong)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Appended>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let way: &'s Self = self;
        Box::pin(async move { Ok(pipeline::stream(way, input)) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.ask(&Rpc::Vote(rpc), self.network.request).await?;
        decode_voted(&answer).map_err(wrong)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.ask(&Rpc::PreVote(rpc), self.network.request).await?;
        decode_voted(&answer).map_err(wrong)
    }

    /// Names the snapshot to a follower, which gets what it lacks of its state before it answers.
    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: SnapshotOf<TypeConfig, Offer>,
        cancelled: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let manifest = snapshot.snapshot.manifest;
        let within =
            SNAPSHOT_WITHIN + self.append_within(usize::try_from(manifest.bytes).unwrap_or(0), false);
        let rpc = Rpc::Snapshot(vote, manifest);
        let answer = tokio::select! {
            answer = self.ask(&rpc, within) => answer?,
            closed = cancelled => return Err(StreamingError::Closed(closed)),
        };
        Ok(decode_installed(&answer).map_err(wrong)?)
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.ask(&Rpc::Transfer(rpc), self.network.request).await?;
        decode_transferred(&answer).map_err(wrong)
    }
}
