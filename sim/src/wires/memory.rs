//! Messages in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::NodeId;
use bytes::Bytes;
use net::Weather;
use replication::{Answer, Groups, Link, LinkError};

use super::{Counts, Gate};
use crate::dice::Dice;

/// Carries messages between the nodes of one process.
#[derive(Debug)]
pub struct MemoryNetwork {
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    cut: BTreeSet<(u64, u64)>,
    nodes: BTreeMap<u64, Place>,
    boots: u64,
    counts: Counts,
}

#[derive(Debug, Clone)]
struct Place {
    /// Which start of the node this is.
    boot: u64,
    groups: Groups,
    gate: Gate,
}

impl MemoryNetwork {
    pub fn new(seed: u64, weather: Weather) -> Self {
        let state =
            State { weather, cut: BTreeSet::new(), nodes: BTreeMap::new(), boots: 0, counts: Counts::new() };
        Self { dice: Dice::new(seed, "messages"), state: Mutex::new(state) }
    }

    pub fn add(&self, node: u64, groups: Groups, gate: Gate) {
        let mut state = self.state();
        state.boots += 1;
        let boot = state.boots;
        state.nodes.insert(node, Place { boot, groups, gate });
    }

    pub fn remove(&self, node: u64) {
        self.state().nodes.remove(&node);
    }

    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    pub fn set_cut(&self, cut: BTreeSet<(u64, u64)>) {
        self.state().cut = cut;
    }

    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Takes a message to where a node is; never ends where it is lost, and finds nobody where the node is down.
    async fn carry(&self, (from, boot): (u64, u64), to: u64) -> Option<Place> {
        // Whoever has no power any more sends nothing.
        let Some(weather) = self.weather_for((from, boot)) else { return std::future::pending().await };
        tokio::time::sleep(self.dice.time(weather.delay)).await;
        let lost = weather.lost > 0 && self.dice.happens(weather.lost);
        let swallowed = self.state().cut.contains(&(from, to));
        if lost || swallowed {
            let what = if swallowed { "swallowed" } else { "lost" };
            *self.state().counts.entry(what).or_default() += 1;
            return std::future::pending().await;
        }
        self.state().nodes.get(&to).cloned()
    }

    /// Counts a message of a node, and says what may happen to it; nothing where that start of the node is over.
    fn weather_for(&self, (from, boot): (u64, u64)) -> Option<Weather> {
        let mut state = self.state();
        state.nodes.get(&from).filter(|place| place.boot == boot)?;
        *state.counts.entry("messages").or_default() += 1;
        Some(state.weather.clone())
    }

    fn boot(&self, node: u64) -> u64 {
        self.state().nodes.get(&node).map_or(0, |place| place.boot)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one node sends over.
#[derive(Debug)]
pub struct MemoryLink {
    network: Arc<MemoryNetwork>,
    me: u64,
    boot: u64,
    gate: Gate,
}

impl MemoryLink {
    /// Makes the link of a node that was added.
    pub fn new(network: &Arc<MemoryNetwork>, me: u64, gate: Gate) -> Self {
        Self { network: Arc::clone(network), me, boot: network.boot(me), gate }
    }
}

impl Link for MemoryLink {
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        let (network, me, gate) = (Arc::clone(&self.network), (self.me, self.boot), self.gate.clone());
        let lost = move |cause: &str| LinkError::Lost { node: to, cause: cause.to_owned() };
        let exchange = async move {
            gate.pass().await;
            let Some(place) = network.carry(me, to.0).await else {
                return Err(LinkError::Unreachable { node: to, cause: "nobody is there".to_owned() });
            };
            place.gate.pass().await;
            let from = NodeId(me.0);
            let answer =
                place.groups.handle(from, body).await.map_err(|unanswered| lost(&unanswered.cause))?;
            place.gate.pass().await;
            network.carry((to.0, place.boot), me.0).await;
            gate.pass().await;
            Ok(answer)
        };
        Box::pin(async move {
            tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| Err(lost("no answer in time")))
        })
    }
}
