//! The leader's part of a replicated log: deciding on requests, and sealing what consensus is to put in order.

use std::sync::Arc;

use base::{Doors, Identity, IncarnationId, NodeId, Position, Slot, Term};
use bytes::Bytes;

use super::{EntryContent, ReplicaEntry, SealedEntry, Trim};
use crate::appender::Appender;
use crate::chain::Chain;
use crate::codec::control::{Control, IncarnationRecord};
use crate::error::AppendError;
use crate::held_blobs::Holder;
use crate::log::{Admission, Contents, Stage};
use crate::segments::Segments;
use crate::{AppendRequest, ChannelConfig, Outcome};

/// Sequences for one leadership: it decides on requests behind everything proposed so far, and seals them into entries
/// with slots. One that consensus puts elsewhere is refused by every replica, since it is linked to the one before.
#[derive(Debug)]
pub struct Proposer {
    doors: Doors,
    segments: Arc<Segments>,
    identity: Arc<Identity>,
    stage: Stage,
    chain: Chain,
    term: Term,
    node: NodeId,
    /// The record of this leadership's incarnation, until it was sealed.
    begins: Option<IncarnationRecord>,
    incarnation: IncarnationId,
}

impl Proposer {
    pub(super) fn new(
        end: &Appender,
        term: Term,
        node: NodeId,
        identity: Arc<Identity>,
        holder: Arc<Holder>,
    ) -> Self {
        let incarnation = IncarnationId::random(&*end.doors.random);
        let record = IncarnationRecord {
            id: incarnation,
            public_key: identity.public_key(),
            parent: end.state.incarnation(),
            last_signed: end.chain.last_signed,
            last_signed_hash: end.chain.last_signed_hash,
        };
        Self {
            doors: end.doors.clone(),
            segments: Arc::clone(&end.segments),
            identity,
            stage: Stage::new(end.state.clone(), Admission::Any, holder, Arc::clone(&end.doors.random)),
            chain: end.chain.clone(),
            term,
            node,
            begins: Some(record),
            incarnation,
        }
    }

    /// Decides on a request. The outcome holds once what [`seal`](Self::seal) gives is committed up to the position that is
    /// returned with it.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] and [`AppendError::Empty`].
    pub fn submit(&mut self, request: &AppendRequest<'_>) -> Result<(Outcome, Position), AppendError> {
        let size = request.check()?;
        let now = self.doors.clock.now();
        let staged = self.stage.submit(request, size, || Ok(now));
        Ok((staged.outcome, staged.relies_on))
    }

    /// Decides on the creation of a channel, as [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`AppendError::Config`].
    pub fn create_channel(
        &mut self,
        channel: &base::ChannelName,
        config: &ChannelConfig,
    ) -> Result<(Outcome, Position), AppendError> {
        if let Some(fault) = config.fault() {
            return Err(AppendError::Config { channel: channel.clone(), fault });
        }
        let now = self.doors.clock.now();
        let staged = self.stage.create_channel(channel, config, |_| None, || Ok(now));
        Ok((staged.outcome, staged.relies_on))
    }

    /// Stages that the log gives up its beginning; `false` where that is staged already, or there is no room for it now.
    pub fn trim(&mut self, trim: &Trim) -> bool {
        if trim.0.first.0 <= self.stage.trimmed().0 {
            return false;
        }
        let now = self.doors.clock.now();
        self.stage.trim(trim.0.clone(), || Ok(now)).is_ok()
    }

    /// Seals what was submitted since the last time: hashed, linked and signed, each entry.
    pub fn seal(&mut self) -> Vec<ReplicaEntry> {
        let mut sealed = Vec::new();
        for open in self.stage.take() {
            let hasher = &self.segments.hasher;
            let slot = Slot { term: self.term, node: self.node, index: open.index };
            let first = self.begins.take().map(Control::Incarnation).into_iter().collect();
            let contents = Contents::new(hasher, &open, first);
            let fields = contents.fields(hasher, slot, self.incarnation, &self.chain, true);
            let mut body = Vec::with_capacity(contents.body_bytes);
            let hash = contents.encode(&mut body, hasher, &self.identity, &fields);
            self.chain.push(hasher, slot, hash, true);
            let content = EntryContent::Sealed(SealedEntry { bytes: Bytes::from(body), known: true });
            sealed.push(ReplicaEntry { slot, content });
        }
        sealed
    }
}
