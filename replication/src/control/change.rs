//! Following the control log, and changing what it says.

use std::sync::Arc;
use std::time::Duration;

use base::wire::Put;
use base::{ChannelName, Classify, ErrorKind, Hash, Seq};
use redex::{
    AppendError, AppendRequest, ChannelEvents, Condition, EventInput, Expect, Idempotency, Outcome,
    Rejection, Selection, Tail,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{CONTROL_CHANNEL, ControlEvent, ControlState};
use crate::Group;
use crate::raft::ConsensusError;

/// The control log on one node: what it says, and how to change that. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Control {
    group: Group,
    state: watch::Receiver<Arc<ControlState>>,
}

/// What a change decided: events to append, and what to return once they are.
#[derive(Debug)]
pub struct Change<R> {
    /// What is to be said; nothing, where it is so already.
    pub events: Vec<ControlEvent>,
    /// What the caller gets.
    pub result: R,
}

/// Why the control log was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// What was asked for does not fit to how the cluster is.
    #[error("{reason}")]
    Refused {
        /// What the caller can do about it.
        kind: ErrorKind,
        /// Why.
        reason: String,
    },
    /// No majority could be asked in time.
    #[error("the cluster cannot decide now: {cause}; try again when a majority of its nodes is there")]
    Unavailable {
        /// What was in the way.
        cause: String,
    },
    /// It is not known whether the change was made.
    #[error("it is not known whether the change was made: {cause}; look before trying again")]
    Unknown {
        /// What happened.
        cause: String,
    },
}

impl ChangeError {
    /// Makes a refusal.
    pub fn refused(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self::Refused { kind, reason: reason.into() }
    }
}

impl Classify for ChangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { kind, .. } => *kind,
            Self::Unavailable { .. } | Self::Unknown { .. } => ErrorKind::Unavailable,
        }
    }
}

impl From<ConsensusError> for ChangeError {
    fn from(error: ConsensusError) -> Self {
        Self::Unavailable { cause: error.to_string() }
    }
}

impl From<AppendError> for ChangeError {
    fn from(error: AppendError) -> Self {
        Self::Refused { kind: error.kind(), reason: error.to_string() }
    }
}

fn control_channel() -> ChannelName {
    ChannelName::new(CONTROL_CHANNEL).expect("the name follows the rules")
}

impl Control {
    /// Follows the control log of a group, in a task that ends with the log; what is committed here is folded when this
    /// returns.
    ///
    /// # Errors
    ///
    /// What is wrong with the log's bytes.
    pub fn follow(group: Group) -> Result<Self, redex::ReadError> {
        let mut tail = group.reader().tail(Selection::channel(&control_channel()));
        let mut state = ControlState::default();
        fold(&mut state, &mut tail)?;
        let (sender, receiver) = watch::channel(Arc::new(state));
        tokio::spawn(follow(tail, sender));
        Ok(Self { group, state: receiver })
    }

    /// Returns the group of the control log.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Returns what is folded here; other nodes may know more.
    pub fn state(&self) -> Arc<ControlState> {
        Arc::clone(&self.state.borrow())
    }

    /// Tells each time what the log says changes.
    pub fn watch(&self) -> watch::Receiver<Arc<ControlState>> {
        self.state.clone()
    }

    /// Waits until everything is folded that was committed when this was called, anywhere.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unavailable`].
    pub async fn current(&self, within: Duration) -> Result<Arc<ControlState>, ChangeError> {
        let deadline = Instant::now() + within;
        self.group.read_position(within).await?;
        let view = self.group.reader().view();
        let known = view.channel(&control_channel());
        let next = match known.map_err(|error| ChangeError::Unavailable { cause: error.to_string() })? {
            Some(channel) => channel.next_seq,
            None => Seq(0),
        };
        self.reached(next, deadline).await
    }

    async fn reached(&self, next: Seq, deadline: Instant) -> Result<Arc<ControlState>, ChangeError> {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| state.next >= next);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(state)) => Ok(Arc::clone(&state)),
            _ => {
                Err(ChangeError::Unavailable { cause: "the control log is not followed in time".to_owned() })
            }
        }
    }

    /// Decides on a change, again as often as something else is changed meanwhile, and makes it. Returns once it is
    /// committed and folded here.
    ///
    /// # Errors
    ///
    /// What `decide` says; [`ChangeError::Unavailable`]; [`ChangeError::Unknown`].
    pub async fn change<R>(
        &self,
        within: Duration,
        mut decide: impl FnMut(&ControlState) -> Result<Change<R>, ChangeError>,
    ) -> Result<R, ChangeError> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let state = self.current(left).await?;
            let Change { events, result } = decide(&state)?;
            if events.is_empty() {
                return Ok(result);
            }
            match self.append(&state, &events, left).await? {
                Outcome::Appended { .. } | Outcome::AlreadyAppended { .. } => {
                    self.reached(state.next.plus(events.len() as u64), deadline).await?;
                    return Ok(result);
                }
                Outcome::Rejected { reason: Rejection::ConditionFailed { .. }, .. } => {}
                Outcome::Rejected { reason, .. } => {
                    return Err(ChangeError::Unavailable { cause: reason.to_string() });
                }
                Outcome::Unknown { cause } => return Err(ChangeError::Unknown { cause }),
                _ => return Err(ChangeError::Unknown { cause: "an outcome that is not known".to_owned() }),
            }
        }
    }

    /// Appends events, unless others came since the state.
    async fn append(
        &self,
        state: &ControlState,
        events: &[ControlEvent],
        within: Duration,
    ) -> Result<Outcome, ChangeError> {
        let channel = control_channel();
        let expect = if state.next == Seq(0) { Expect::NoChannel } else { Expect::Exact(state.next) };
        let conditions = [Condition { channel: channel.clone(), expect }];
        let encoded: Vec<_> = events.iter().map(ControlEvent::encode).collect();
        let inputs: Vec<_> = encoded.iter().map(|(kind, payload)| EventInput::new(kind, payload)).collect();
        let parts = [ChannelEvents { channel: &channel, events: &inputs }];
        // The same change, decided here on the same state, is one: so it can be asked for again when an answer is lost.
        let key = format!("{}-{}-{}", self.group.node(), state.next, digest(&encoded));
        let idempotency = Idempotency::Key(&key);
        let request = AppendRequest { parts: &parts, conditions: &conditions, idempotency };
        Ok(self.group.append(&request, within).await?)
    }
}

fn digest(events: &[(String, Vec<u8>)]) -> Hash {
    let mut bytes = Vec::new();
    for (kind, payload) in events {
        bytes.put_length(kind.len());
        bytes.put(kind.as_bytes());
        bytes.put_length(payload.len());
        bytes.put(payload);
    }
    Hash::of(&bytes)
}

/// Folds what is there.
fn fold(state: &mut ControlState, tail: &mut Tail) -> Result<(), redex::ReadError> {
    loop {
        let events = tail.next_batch()?;
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            state.apply(ControlEvent::decode(&event.kind, &event.payload));
        }
    }
}

async fn follow(mut tail: Tail, sender: watch::Sender<Arc<ControlState>>) {
    loop {
        tokio::select! {
            () = tail.changed() => {}
            () = sender.closed() => return,
        }
        let mut state = (**sender.borrow()).clone();
        if let Err(error) = fold(&mut state, &mut tail) {
            tracing::error!(%error, "the control log cannot be read any further");
            return;
        }
        sender.send_replace(Arc::new(state));
        if tail.is_ended() {
            return;
        }
    }
}
