//! Who is there: liveness by probing, and small facts that each node tells of itself.
//!
//! ```text
//! Gossip (handle) --commands--> task --packets--> Links --datagrams--> peers
//!    ^                           |  ^
//!    +------ watch: peers -------+  +-- packets, alarms, reviews of the admission
//! ```
//!
//! The protocol itself ([`swim`]) does no I/O; the task carries its packets and sets its alarms. What is believed, from
//! whom and about whom, is decided in the task before the protocol sees it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Classify, ErrorKind, NodeId, PublicKey, Random};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Connection, Endpoint, Pool, Protocol};

mod facts;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod links;
pub(crate) mod packet;
mod swim;
mod task;

use packet::{FACTS_BYTES_MAX, Member};
use task::{Command, Outside, Task};

/// Commands that wait at most.
const COMMANDS_MAX: usize = 64;
/// Seeds that are remembered at most.
const SEEDS_MAX: usize = 32;

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It did not answer somebody, neither itself nor through others, and may still object.
    Suspect,
    /// It did not object, or has left.
    Down,
}

/// A node as it is known by gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its life: higher after a restart, and after it was taken for down and came back.
    pub epoch: u64,
    /// Whether it is there.
    pub liveness: Liveness,
    /// What it says of itself, at most 256 bytes; empty until something was heard.
    pub facts: Bytes,
}

/// A node that is asked who else is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a node says of itself when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Where others reach it.
    pub address: SocketAddr,
    /// Its life; is to be higher after each restart. One that is not costs a round trip: others say so, and it goes on with
    /// a higher one.
    pub epoch: u64,
    /// What it says of itself, at most 256 bytes; their meaning is the caller's.
    pub facts: Bytes,
}

/// The settings of gossip. A member that stops is down for all after `suspect_for` and a few times `probe_every`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GossipOptions {
    /// How often some member is probed. Default: 1 s.
    pub probe_every: Duration,
    /// How long a probe waits for its answer before others are asked to probe; less than half of `probe_every`. Default:
    /// 300 ms.
    pub answer_within: Duration,
    /// How long a member that does not answer may object before it is taken for down. Default: 4 s.
    pub suspect_for: Duration,
    /// Members that are remembered at most, those that are down included. Default: 1,024.
    pub members_max: usize,
    /// Packets that are read of one connection in a second; further ones are dropped. Default: 200.
    pub packets_per_second_max: u32,
}

impl Default for GossipOptions {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(1),
            answer_within: Duration::from_millis(300),
            suspect_for: Duration::from_secs(4),
            members_max: 1_024,
            packets_per_second_max: 200,
        }
    }
}

impl GossipOptions {
    fn validate(&self) -> Result<(), GossipError> {
        let faults = [
            (self.answer_within.is_zero(), "answer_within is zero"),
            (
                self.answer_within * 2 >= self.probe_every,
                "answer_within is not less than half of probe_every",
            ),
            (self.suspect_for.is_zero(), "suspect_for is zero"),
            (self.members_max == 0, "members_max is zero"),
            (self.packets_per_second_max == 0, "packets_per_second_max is zero"),
        ];
        let found: Vec<_> = faults.iter().filter_map(|(holds, text)| holds.then_some(*text)).collect();
        if found.is_empty() { Ok(()) } else { Err(GossipError::Options { faults: found.join("; ") }) }
    }
}

/// What was counted since gossip began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GossipCounts {
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that were not, since there was no connection.
    pub unsent: u64,
    /// Packets that were read and acted on.
    pub received: u64,
    /// Packets that do not read, or make no sense.
    pub malformed: u64,
    /// Packets whose sender is not who the connection belongs to.
    pub forged: u64,
    /// Packets that were dropped since too many came.
    pub too_many: u64,
    /// What was said about nodes that the admission does not know, and not believed.
    pub unknown: u64,
    /// What was said about nodes for which there is no room.
    pub over_limit: u64,
}

/// Why gossip does not begin, or does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GossipError {
    /// Settings that cannot be.
    #[error("settings of gossip: {faults}")]
    Options {
        /// All that is wrong.
        faults: String,
    },
    /// The facts are too long.
    #[error("facts of {bytes} bytes where {max} fit: keep what is larger elsewhere")]
    FactsTooLarge {
        /// Their bytes.
        bytes: usize,
        /// The most bytes that fit.
        max: usize,
    },
    /// Too many seeds.
    #[error("{count} seeds where {max} are taken: a few suffice")]
    TooManySeeds {
        /// How many.
        count: usize,
        /// The most that are taken.
        max: usize,
    },
    /// The connection is for something else.
    #[error("a connection for {} where one for gossip was expected", protocol.name())]
    Protocol {
        /// What it is for.
        protocol: Protocol,
    },
    /// Gossip has ended.
    #[error("gossip has ended: start it again")]
    Closed,
}

impl Classify for GossipError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::Closed,
            _ => ErrorKind::Invalid,
        }
    }
}

/// Gossip of one node. Clones are the same; it stops when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Gossip {
    commands: mpsc::Sender<Command>,
    facts: Arc<watch::Sender<Bytes>>,
    peers: watch::Receiver<Arc<[Peer]>>,
    counts: Arc<Mutex<GossipCounts>>,
}

impl Gossip {
    /// Begins, within a tokio runtime. Connections come from `pool`, which belongs to `endpoint`; those that others make
    /// are given to [`take`](Self::take). Choices are drawn from `random`.
    ///
    /// # Errors
    ///
    /// [`GossipError::Options`], [`GossipError::FactsTooLarge`].
    pub fn start(
        endpoint: Arc<Endpoint>,
        pool: Pool,
        me: Introduction,
        options: GossipOptions,
        random: Arc<dyn Random>,
    ) -> Result<Self, GossipError> {
        options.validate()?;
        check_facts(&me.facts)?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (facts, told) = (watch::Sender::new(me.facts.clone()), watch::Sender::new(Arc::from([])));
        let (peers, counts) = (told.subscribe(), Arc::default());
        let (node, key) = endpoint.place();
        let member = Member { key, node, epoch: me.epoch, address: me.address };
        let outside = Outside { random, told, counts: Arc::clone(&counts) };
        let task = Task::new(endpoint, pool, (member, facts.subscribe()), options, outside);
        tokio::spawn(task.run(inbox));
        Ok(Self { commands, facts: Arc::new(facts), peers, counts })
    }

    /// Asks nodes who is there, and asks again whenever nobody is. Returns at once, whether or not they answer.
    ///
    /// # Errors
    ///
    /// [`GossipError::TooManySeeds`] for more than 32; [`GossipError::Closed`].
    pub async fn join(&self, seeds: &[Seed]) -> Result<(), GossipError> {
        if seeds.len() > SEEDS_MAX {
            return Err(GossipError::TooManySeeds { count: seeds.len(), max: SEEDS_MAX });
        }
        self.tell(Command::Join(seeds.to_vec())).await
    }

    /// Takes over a connection that another node has made for [`Protocol::Gossip`].
    ///
    /// # Errors
    ///
    /// [`GossipError::Protocol`], [`GossipError::Closed`].
    pub async fn take(&self, connection: Connection) -> Result<(), GossipError> {
        match connection.protocol() {
            Protocol::Gossip => self.tell(Command::Take(connection)).await,
            protocol => Err(GossipError::Protocol { protocol }),
        }
    }

    /// Returns the other nodes, by their numbers.
    pub fn peers(&self) -> Arc<[Peer]> {
        Arc::clone(&self.peers.borrow())
    }

    /// Returns what tells of changes from now on; who is slow sees the newest.
    pub fn watch(&self) -> watch::Receiver<Arc<[Peer]>> {
        let mut changes = self.peers.clone();
        changes.mark_unchanged();
        changes
    }

    /// Says something else of this node; the others hear it within a few times `probe_every`. Of what is said in between,
    /// they may hear the newest only.
    ///
    /// # Errors
    ///
    /// [`GossipError::FactsTooLarge`], [`GossipError::Closed`].
    pub fn update(&self, facts: Bytes) -> Result<(), GossipError> {
        check_facts(&facts)?;
        self.facts.send(facts).map_err(|_| GossipError::Closed)
    }

    /// Says to the others that this node goes, so that they need not find out; from then on it hears and says nothing.
    /// Returns when that was given to the connections: it goes out while the endpoint stays open.
    ///
    /// # Errors
    ///
    /// [`GossipError::Closed`].
    pub async fn leave(&self) -> Result<(), GossipError> {
        let (done, told) = oneshot::channel();
        self.tell(Command::Leave(done)).await?;
        told.await.map_err(|_| GossipError::Closed)
    }

    /// Returns what was counted since it began.
    pub fn counts(&self) -> GossipCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, command: Command) -> Result<(), GossipError> {
        self.commands.send(command).await.map_err(|_| GossipError::Closed)
    }
}

fn check_facts(facts: &Bytes) -> Result<(), GossipError> {
    match facts.len() {
        bytes if bytes > FACTS_BYTES_MAX => Err(GossipError::FactsTooLarge { bytes, max: FACTS_BYTES_MAX }),
        _ => Ok(()),
    }
}
