//! Folds: pure functions from events to state.

use base::{ChannelName, Seq};
use redex::EventRef;

/// A pure function of state and event.
///
/// # Contract
///
/// The same events in the same order give the same state, on every machine and at any time: a fold reads no
/// clock, no randomness, no network and no other state. It never fails because of what a correct writer of any
/// version wrote: kinds and fields that it does not know are [`Applied::Ignored`].
pub trait Fold: Send + Sync + 'static {
    /// What is folded. Cloning it gives a snapshot, and takes constant time.
    type State: Clone + Default + Send + Sync + 'static;
    /// What an event changed, for those who watch.
    type Change: Clone + Send + Sync + 'static;

    /// Returns the model's name, such as `tasks`.
    fn name(&self) -> &str;

    /// Returns the version of this function; another one gives another state for the same events.
    fn version(&self) -> u32;

    /// Returns the channels that are folded, in no particular order.
    fn channels(&self) -> Vec<ChannelName>;

    /// Applies one event. One that was redacted does not come here: a state that is folded anew is without it, and one
    /// that has it already keeps what it took from it. Whoever folds a channel that is erasable folds it anew then.
    ///
    /// # Errors
    ///
    /// [`FoldError`] for an event that is not what its kind promises; the state must then be as it was.
    fn apply(
        &self,
        state: &mut Self::State,
        event: &EventRef<'_>,
        changes: &mut Changes<'_, Self::Change>,
    ) -> Result<Applied, FoldError>;
}

/// Where a fold notes what it changes. What nobody watches is not noted.
#[derive(Debug)]
pub struct Changes<'a, C>(Option<&'a mut Vec<C>>);

impl<'a, C> Changes<'a, C> {
    /// Notes into `sink`; `None` notes nothing.
    pub fn into(sink: Option<&'a mut Vec<C>>) -> Self {
        Self(sink)
    }

    /// Notes a change, which is only made if somebody watches.
    pub fn note(&mut self, change: impl FnOnce() -> C) {
        if let Some(sink) = &mut self.0 {
            sink.push(change());
        }
    }
}

/// What an event did to the state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Applied {
    /// It did what it says.
    #[default]
    Changed,
    /// The state was so already.
    Unchanged,
    /// It is about a record that is not there.
    NotFound,
    /// It was to be the first of a record that is there already.
    Exists {
        /// The record's version.
        version: Seq,
    },
    /// It was to follow another version of its record.
    Conflict {
        /// The version that it expected.
        expected: Seq,
        /// The version that is there.
        actual: Seq,
    },
    /// The model's rules do not allow it.
    Refused {
        /// Which rule.
        reason: String,
    },
    /// Its kind is not known to this version of the fold.
    Ignored,
}

impl Applied {
    /// Tells whether the event had the effect that its author meant.
    pub fn is_effective(&self) -> bool {
        matches!(self, Self::Changed | Self::Unchanged)
    }
}

/// Why an event could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FoldError {
    /// What is wrong with it.
    pub reason: String,
}

impl FoldError {
    /// Makes an error from what is wrong with the event.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// What to do with an event that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorPolicy {
    /// Stop the fold: its state stays what it was before the event, and waits for it fail.
    #[default]
    Stop,
    /// Leave the event out, record that, and go on.
    SkipAndRecord,
}
