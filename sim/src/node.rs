//! One node: a replica on a simulated disk, its group, what it is reached over, and the fold of its tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{ClusterId, Doors, Identity, Index, LogId, NodeId, PublicKey, SeededRandom, SimulatedDisk, Slot};
use cortex::models::tasks::TasksFold;
use cortex::{ErrorPolicy, Folded, RunMode, Runner, RunnerOptions, Snapshot};
use redex::{FlusherMode, LogOptions, ReplicaIdentity, ReplicaLog, Retention};
use replication::{Group, Groups, Link, Member, RepairError, Timing};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::MachineClock;
use crate::dice::{Dice, mixed, named};
use crate::trace::Trace;
use crate::wires::{Gate, Plug, Wires};

/// The directory of a node on its disk.
pub const DIRECTORY: &str = "/node";
/// The name of the replicated log.
pub const LOG: &str = "main";
/// Small, so that segments are sealed, and truncations and crashes meet their borders.
const SEGMENT_BYTES: u64 = 64 << 10;

/// What groups keep of their log, where they do not keep all of it: the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// How much of it.
    pub bytes: u64,
    /// How large segments are, which go as a whole.
    pub segment_bytes: u64,
}

/// The public keys of all nodes.
pub type Keys = BTreeMap<NodeId, PublicKey>;

/// Who a node is, for one start of it.
#[derive(Debug, Clone)]
pub struct Passport {
    /// The seed of the run.
    pub seed: u64,
    /// Its number.
    pub node: NodeId,
    /// The seed of its randomness, another one at each start.
    pub random: u64,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its key.
    pub identity: Arc<Identity>,
    /// The keys of all nodes.
    pub keys: Arc<Keys>,
    /// What it keeps of the log; everything when not said.
    pub keeps: Option<Keeps>,
}

impl Passport {
    /// Returns who a node is at its start of that number.
    pub fn new(seed: u64, node: u64, boot: u32, keys: &Arc<Keys>, keeps: Option<Keeps>) -> Self {
        Self {
            seed,
            node: NodeId(node),
            random: mixed(seed, &format!("node {node} boot {boot}")),
            cluster: ClusterId::from_bytes(named(seed, "cluster")),
            identity: Arc::new(identity(seed, NodeId(node))),
            keys: Arc::clone(keys),
            keeps,
        }
    }
}

/// Returns the key of a node.
pub fn identity(seed: u64, node: NodeId) -> Identity {
    let (one, two) = (named(seed, &format!("key {node}")), named(seed, &format!("more of key {node}")));
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&one);
    bytes[16..].copy_from_slice(&two);
    Identity::from_seed(&bytes)
}

/// Returns how a node is found.
pub fn member(node: u64) -> (NodeId, Member) {
    (NodeId(node), Member { address: format!("node-{node}") })
}

/// Returns the log that all nodes hold.
pub fn log_identity(seed: u64) -> ReplicaIdentity {
    ReplicaIdentity {
        log: LogId::from_bytes(named(seed, "log")),
        origin: identity(seed, NodeId(1)).origin(),
        name: LOG.to_owned(),
    }
}

/// What a node had of the log when it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The last entry that it had given up.
    pub purged: Option<Slot>,
    /// The slots of the entries behind that.
    pub slots: Vec<Slot>,
}

impl Opened {
    /// Tells whether an entry was there, or had been given up.
    pub fn held(&self, slot: Slot) -> bool {
        let begins = self.purged.map_or(0, |purged| purged.index.0 + 1);
        match slot.index.0.checked_sub(begins) {
            Some(at) => usize::try_from(at).ok().and_then(|at| self.slots.get(at)) == Some(&slot),
            None => slot.index.0 + 1 < begins || self.purged == Some(slot),
        }
    }
}

/// A node that is up.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Which start of it this is, from 1.
    pub boot: u32,
    /// The replicated log.
    pub group: Group,
    /// Folds it, where all of it is kept.
    pub folds: Option<Folds>,
    /// Closed while the node is stopped.
    pub gate: Gate,
    /// How long a sync takes at most, in microseconds.
    pub sync_micros: watch::Sender<u64>,
    /// What it had of the log when it started.
    pub opened: Arc<Opened>,
    /// Whether it had lost something, which the others gave back before it took part.
    pub repaired: bool,
    /// Whether its disk may have lost something since its start before.
    pub damaged: bool,
    /// Told when the power goes.
    pub dead: watch::Sender<bool>,
    groups: Groups,
    plug: Plug,
    flusher: JoinHandle<()>,
}

/// The fold of tasks on one node.
pub struct Folds {
    runner: Runner,
    tasks: Folded<TasksFold>,
}

impl std::fmt::Debug for Folds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folds").field("folded", &self.runner.folded()).finish_non_exhaustive()
    }
}

impl Folds {
    /// Begins to fold a log from where it begins for its readers, with nothing.
    ///
    /// # Errors
    ///
    /// What keeps it from being folded.
    pub fn new(reader: &redex::LogReader, clock: Arc<MachineClock>) -> Result<Self, String> {
        let mut options = RunnerOptions::default();
        options.mode = RunMode::Manual;
        let runner = Runner::new(reader, clock, options);
        // All nodes show the same beginning at the same position, so that their states are to be the same, too.
        let nothing = Snapshot { state: Default::default(), position: reader.view().begins() };
        let tasks = runner.add_from(TasksFold, ErrorPolicy::SkipAndRecord, None, nothing);
        let tasks = tasks.map_err(|error| error.to_string())?;
        runner.start();
        Ok(Self { runner, tasks })
    }

    /// Folds what is visible; returns up to where, and the hash of the state.
    ///
    /// # Errors
    ///
    /// Why the fold stopped.
    pub fn fold(&self) -> Result<(u64, base::Hash), String> {
        let position = self.runner.step();
        let snapshot = self.tasks.snapshot().map_err(|stopped| stopped.to_string())?;
        Ok((position.0, cortex::state_hash(&TasksFold, &snapshot.state)))
    }
}

/// The disk and the clock that a node starts on.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its disk.
    pub disk: SimulatedDisk,
    /// Its clock.
    pub clock: Arc<MachineClock>,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    ///
    /// What its disk did, or what is wrong with its log.
    pub async fn start(
        passport: &Passport,
        boot: u32,
        machine: &Machine,
        wires: &Wires,
        trace: &Trace,
    ) -> Result<Self, String> {
        let doors = Doors {
            clock: Arc::clone(&machine.clock) as _,
            random: Arc::new(SeededRandom::new(passport.random)),
            disk: Arc::new(machine.disk.clone()),
        };
        let mut options = LogOptions::default();
        options.segment_bytes = passport.keeps.map_or(SEGMENT_BYTES, |keeps| keeps.segment_bytes);
        options.cache_bytes = 1 << 20;
        options.flusher = FlusherMode::Manual;
        let identity = log_identity(passport.seed);
        let log = ReplicaLog::open(Path::new(DIRECTORY), &identity, &doors, &options);
        let log = log.map_err(|error| error.to_string())?;
        let (gate, groups) = (Gate::default(), Groups::default());
        let sync_micros = watch::Sender::new(1_500);
        let dice = Dice::new(passport.random, "syncs");
        let flusher = tokio::spawn(flush(log.clone(), gate.clone(), sync_micros.subscribe(), dice));
        let plug = wires.plug(passport, &groups, &gate)?;
        let taken_up = take_up(passport, machine, log, (&groups, Arc::clone(&plug.link)), trace).await;
        let (group, folds, opened, repaired) = match taken_up {
            Ok(taken_up) => taken_up,
            Err(cause) => {
                plug.pull();
                flusher.abort();
                return Err(cause);
            }
        };
        let (id, dead, damaged) = (passport.node.0, watch::Sender::new(false), false);
        let opened = Arc::new(opened);
        Ok(Self {
            id,
            boot,
            group,
            folds,
            gate,
            sync_micros,
            opened,
            repaired,
            damaged,
            dead,
            groups,
            plug,
            flusher,
        })
    }

    /// Ends everything that the node does. With a disk that has no power, that is a crash.
    pub async fn end(&self) {
        self.dead.send_replace(true);
        self.gate.close(false);
        self.plug.pull();
        // What waits for a sync is told that there is none any more.
        let _ = self.group.stop().await;
        self.flusher.abort();
        self.groups.remove(self.group.id());
    }
}

/// Has a node take part with its replica: repairs that first, where it lost something. Returns what it has then, and whether it
/// was repaired, too.
async fn take_up(
    passport: &Passport,
    machine: &Machine,
    log: ReplicaLog,
    (groups, link): (&Groups, Arc<dyn Link>),
    trace: &Trace,
) -> Result<(Group, Option<Folds>, Opened, bool), String> {
    let (node, lost) = (passport.node, log.doubt());
    if let Some(lost) = &lost {
        trace.note(format_args!("node {node} is in doubt: {lost}"));
        let tell = |cause: &RepairError| trace.note(format_args!("node {node} is in doubt still: {cause}"));
        let others = passport.keys.keys().copied().collect();
        let given = replication::repair(&log, node, &link, &others, tell).await;
        trace.note(format_args!("node {node} was given entries: {given:?}"));
        given.map_err(|error| error.to_string())?;
    }
    let entries = log.entries(Index::ZERO..Index(u64::MAX), u64::MAX).map_err(|error| error.to_string())?;
    let slots = entries.iter().map(|entry| entry.slot).collect();
    let opened = Opened { purged: log.state().purged, slots };
    let folds = match passport.keeps {
        None => Some(Folds::new(log.reader(), Arc::clone(&machine.clock))?),
        Some(_) => None,
    };
    let key = Arc::clone(&passport.identity);
    let group = groups.start(log, node, key, link, &Timing::default()).await;
    let group = group.map_err(|error| error.to_string())?;
    if let Some(keeps) = passport.keeps {
        group.keep(&Retention::of_bytes(keeps.bytes));
    }
    Ok((group, folds, opened, lost.is_some()))
}

/// Syncs what was written, again and again, each time after as long as a disk takes.
async fn flush(log: ReplicaLog, gate: Gate, sync_micros: watch::Receiver<u64>, dice: Dice) {
    loop {
        let longest = *sync_micros.borrow();
        let takes = Duration::from_micros(100 + dice.below(longest));
        tokio::time::sleep(takes).await;
        gate.pass().await;
        log.flush_step();
    }
}
