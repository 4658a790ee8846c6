//! What nodes reach each other over: real quinn on simulated datagrams, or messages in memory, which are faster.

mod gate;
mod memory;
mod quic;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use net::{SimulatedNetwork, Weather};
use replication::{Groups, Link};
use tokio::task::JoinHandle;

pub use gate::Gate;

use crate::dice::mixed;
use crate::node::Passport;
use memory::MemoryNetwork;

/// What carries messages between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Messages in memory: delayed, lost, overtaken, cut.
    Memory,
    /// quinn over datagrams in memory: delayed, lost, repeated, overtaken, cut.
    Quic,
}

impl Transport {
    /// Returns the name used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Quic => "quic",
        }
    }
}

/// All ways between all nodes.
#[derive(Debug)]
pub struct Wires {
    kind: Kind,
    /// Ways that swallow everything, and how often each was asked for.
    cut: Mutex<BTreeMap<(u64, u64), u32>>,
}

#[derive(Debug)]
enum Kind {
    Memory(Arc<MemoryNetwork>),
    Quic(SimulatedNetwork),
}

/// What a node holds while it is on the wires.
#[derive(Debug)]
pub struct Plug {
    /// What it reaches the others over.
    pub link: Arc<dyn Link>,
    serving: Option<JoinHandle<()>>,
}

/// What happened to what was sent, by name.
pub type Counts = BTreeMap<&'static str, u64>;

impl Wires {
    /// Makes ways without any node, within a runtime.
    pub fn new(seed: u64, transport: Transport) -> Self {
        let kind = match transport {
            Transport::Memory => Kind::Memory(Arc::new(MemoryNetwork::new(seed, fair()))),
            Transport::Quic => Kind::Quic(SimulatedNetwork::new(mixed(seed, "datagrams"), fair())),
        };
        Self { kind, cut: Mutex::default() }
    }

    /// Puts a node on the wires.
    ///
    /// # Errors
    ///
    /// What keeps an endpoint from being opened.
    pub fn plug(&self, passport: &Passport, groups: &Groups, gate: &Gate) -> Result<Plug, String> {
        match &self.kind {
            Kind::Memory(network) => {
                network.add(passport.node.0, groups.clone(), gate.clone());
                let link = Arc::new(memory::MemoryLink::new(network, passport.node.0, gate.clone()));
                Ok(Plug { link, serving: None })
            }
            Kind::Quic(network) => {
                let (link, serving) = quic::open(network, passport, groups, gate)?;
                Ok(Plug { link, serving: Some(serving) })
            }
        }
    }

    /// Takes a node off the wires at once: nothing that it sends arrives any more, and nothing reaches it.
    pub fn unplug(&self, node: u64) {
        match &self.kind {
            Kind::Memory(network) => network.remove(node),
            Kind::Quic(network) => network.unplug(address(node)),
        }
    }

    /// Changes what happens to what is sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        match &self.kind {
            Kind::Memory(network) => network.set_weather(weather),
            Kind::Quic(network) => network.set_weather(weather),
        }
    }

    /// Cuts ways, from and to. What several have cut is whole again when all have mended it.
    pub fn cut(&self, ways: &BTreeSet<(u64, u64)>) {
        let mut cut = self.cut_ways();
        for way in ways {
            *cut.entry(*way).or_default() += 1;
        }
        self.apply(&cut);
    }

    /// Mends what was cut.
    pub fn mend(&self, ways: &BTreeSet<(u64, u64)>) {
        let mut cut = self.cut_ways();
        for way in ways {
            if let Some(count) = cut.get_mut(way) {
                *count -= 1;
            }
        }
        cut.retain(|_, count| *count > 0);
        self.apply(&cut);
    }

    /// Returns what happened so far.
    pub fn counts(&self) -> Counts {
        match &self.kind {
            Kind::Memory(network) => network.counts(),
            Kind::Quic(network) => {
                let counts = network.counts();
                [
                    ("datagrams", counts.sent),
                    ("lost", counts.lost),
                    ("repeated", counts.repeated),
                    ("overtaken", counts.overtaken),
                    ("swallowed", counts.cut),
                ]
                .into()
            }
        }
    }

    fn apply(&self, cut: &BTreeMap<(u64, u64), u32>) {
        match &self.kind {
            Kind::Memory(network) => network.set_cut(cut.keys().copied().collect()),
            Kind::Quic(network) => {
                network.mend();
                cut.keys().for_each(|(from, to)| network.cut(machine(*from), machine(*to)));
            }
        }
    }

    fn cut_ways(&self) -> MutexGuard<'_, BTreeMap<(u64, u64), u32>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plug {
    /// Ends what answers for the node.
    pub fn pull(&self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// A local network on a good day.
pub fn fair() -> Weather {
    Weather { delay: Duration::from_micros(100)..Duration::from_millis(1), lost: 0, repeated: 0 }
}

/// Returns where a node listens.
pub fn address(node: u64) -> SocketAddr {
    SocketAddr::new(machine(node), 7000)
}

fn machine(node: u64) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node).unwrap_or(u8::MAX)])
}
