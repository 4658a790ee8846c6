//! Several models at one position.

use std::sync::Arc;

use base::{ChannelName, Position};

use crate::host::Host;
use crate::{FoldStopped, ModelMetrics, SkippedEvent};

/// All models of a runner while no fold moves; see [`Runner::with_cut`](crate::Runner::with_cut).
pub struct RunnerCut<'a> {
    position: Position,
    hosts: &'a [Arc<dyn Host>],
}

/// How a model stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// The version of its fold.
    pub version: u32,
    /// The channels that it folds.
    pub channels: Vec<ChannelName>,
    /// Everything below was looked at.
    pub folded_through: Position,
    /// Behind the newest event that was applied.
    pub applied_through: Position,
    /// Its counters.
    pub metrics: ModelMetrics,
    /// Why it does not go on; `None` while it does.
    pub stopped: Option<FoldStopped>,
}

impl<'a> RunnerCut<'a> {
    pub(crate) fn new(position: Position, hosts: &'a [Arc<dyn Host>]) -> Self {
        Self { position, hosts }
    }

    /// Returns the position of the cut. It is where every model stands that was not stopped earlier.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns how each model stands, in the order in which they were added.
    pub fn models(&self) -> Vec<ModelStatus> {
        self.hosts.iter().map(|host| host.status()).collect()
    }

    /// Returns the newest skipped events of each model, with its name.
    pub fn skipped(&self) -> Vec<(String, SkippedEvent)> {
        let named = |host: &Arc<dyn Host>| {
            let name = host.name().to_owned();
            host.skipped().into_iter().map(move |skipped| (name.clone(), skipped))
        };
        self.hosts.iter().flat_map(named).collect()
    }
}

impl std::fmt::Debug for RunnerCut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerCut").field("position", &self.position).finish_non_exhaustive()
    }
}
