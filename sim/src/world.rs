//! All machines, and what connects them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{CrashImage, Fault, NodeId, SimulatedDisk};
use tokio::time::Instant;

use crate::clock::MachineClock;
use crate::moment::Watcher;
use crate::node::{Keeps, Keys, Machine, Node, Passport, identity, member};
use crate::trace::Trace;
use crate::wires::{Transport, Wires};

/// Takes the place of a fault that did not come to pass.
const HARMLESS: Fault = Fault::Short { bytes: u64::MAX };

/// What a run is made of, before anything happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed that everything follows from.
    pub seed: u64,
    /// What messages travel over.
    pub transport: Transport,
    /// Nodes that vote at first.
    pub voters: u64,
    /// All nodes; those beyond the voters learn the log.
    pub nodes: u64,
    /// What groups keep of their log; everything when not said.
    pub keeps: Option<Keeps>,
}

impl Plan {
    /// Returns the node that is new to the group when that has given up its beginning, if there is one.
    pub fn late(&self) -> Option<u64> {
        Some(self.nodes).filter(|nodes| self.keeps.is_some() && *nodes > self.voters)
    }
}

/// All machines, and what connects them.
#[derive(Debug)]
pub struct World {
    /// What it is made of.
    pub plan: Plan,
    /// What connects the machines.
    pub wires: Wires,
    /// What happened.
    pub trace: Trace,
    /// What was seen of it.
    pub watcher: Mutex<Watcher>,
    /// Held while a machine's log is damaged.
    pub damaging: tokio::sync::Mutex<()>,
    /// Held while a machine is away for long.
    pub absent: tokio::sync::Mutex<()>,
    begun: Instant,
    keys: Arc<Keys>,
    machines: Mutex<BTreeMap<u64, Place>>,
    faults: Mutex<BTreeMap<String, u64>>,
    violations: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Place {
    disk: SimulatedDisk,
    /// How wrong its wall is at its next start.
    wrong_nanos: i64,
    boots: u32,
    node: Option<Arc<Node>>,
    clock: Option<Arc<MachineClock>>,
    /// Whether the disk was made to fail since it was started.
    harmed: bool,
    /// Operations that were to fail.
    failing: Vec<u64>,
    /// Whether the disk may have lost something since the last start.
    damaged: bool,
    /// Whether somebody starts or ends it now.
    busy: bool,
}

impl Place {
    /// Takes back what was wrong with the disk.
    fn repair(&mut self) {
        self.disk.fill_up(None);
        for at in self.failing.drain(..) {
            self.disk.inject(at, HARMLESS);
        }
    }
}

impl World {
    /// Makes machines that are all off, within a runtime.
    pub fn new(plan: Plan, keeps_lines: bool) -> Self {
        let keys =
            (1..=plan.nodes).map(|node| (NodeId(node), identity(plan.seed, NodeId(node)).public_key()));
        let machine = |node| {
            let place = Place {
                disk: SimulatedDisk::new(),
                wrong_nanos: 0,
                boots: 0,
                node: None,
                clock: None,
                harmed: false,
                failing: Vec::new(),
                damaged: false,
                busy: false,
            };
            (node, place)
        };
        Self {
            wires: Wires::new(plan.seed, plan.transport),
            trace: Trace::new(keeps_lines),
            watcher: Mutex::new(Watcher::new()),
            damaging: tokio::sync::Mutex::default(),
            absent: tokio::sync::Mutex::default(),
            begun: Instant::now(),
            keys: Arc::new(keys.collect()),
            machines: Mutex::new((1..=plan.nodes).map(machine).collect()),
            faults: Mutex::default(),
            violations: Mutex::default(),
            plan,
        }
    }

    /// Returns for how long the run goes on.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Returns the nodes that are up.
    pub fn up(&self) -> Vec<Arc<Node>> {
        self.machines().values().filter_map(|place| place.node.clone()).collect()
    }

    /// Returns a node, if it is up.
    pub fn node(&self, id: u64) -> Option<Arc<Node>> {
        self.machines().get(&id).and_then(|place| place.node.clone())
    }

    /// Returns the nodes that are off, and that nobody starts now.
    pub fn off(&self) -> Vec<u64> {
        let machines = self.machines();
        machines.iter().filter(|(_, place)| place.node.is_none() && !place.busy).map(|(id, _)| *id).collect()
    }

    /// Returns a machine's disk.
    pub fn disk(&self, id: u64) -> Option<SimulatedDisk> {
        self.machines().get(&id).map(|place| place.disk.clone())
    }

    /// Leaves a machine's disk so many bytes; `None` as many as it wants.
    pub fn fill_up(&self, id: u64, free_bytes: Option<u64>) {
        if let Some(place) = self.machines().get_mut(&id) {
            place.harmed = true;
            place.disk.fill_up(free_bytes);
        }
    }

    /// Has the operation of a machine's disk that is so many behind the last one fail.
    pub fn fail(&self, id: u64, behind: u64, fault: Fault) {
        if let Some(place) = self.machines().get_mut(&id) {
            let at = place.disk.operation_count() + behind;
            place.harmed = true;
            place.failing.push(at);
            place.disk.inject(at, fault);
        }
    }

    /// Notes that a machine's disk lost something.
    pub fn damage(&self, id: u64) {
        if let Some(place) = self.machines().get_mut(&id) {
            place.damaged = true;
        }
    }

    /// Tells whether a machine's disk was made to fail since it was started.
    pub fn is_harmed(&self, id: u64) -> bool {
        self.machines().get(&id).is_some_and(|place| place.harmed)
    }

    /// Has the wall of a machine leap.
    pub fn leap(&self, id: u64, by_nanos: i64) {
        if let Some(place) = self.machines().get_mut(&id) {
            place.wrong_nanos += by_nanos;
            if let Some(clock) = &place.clock {
                clock.leap(by_nanos);
            }
        }
    }

    /// Sets the walls of all machines right.
    pub fn set_clocks(&self) {
        for place in self.machines().values_mut() {
            let wrong = std::mem::take(&mut place.wrong_nanos);
            if let Some(clock) = &place.clock {
                clock.leap(-wrong);
            }
        }
    }

    /// Starts a machine that is off. Nothing happens where it is on, or somebody else starts it.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub async fn start(&self, id: u64) -> Result<(), String> {
        let (boot, machine) = {
            let mut machines = self.machines();
            let Some(place) = machines.get_mut(&id).filter(|place| place.node.is_none() && !place.busy)
            else {
                return Ok(());
            };
            place.busy = true;
            place.boots += 1;
            let clock = Arc::new(MachineClock::new(self.elapsed(), place.wrong_nanos));
            place.clock = Some(Arc::clone(&clock));
            (place.boots, Machine { disk: place.disk.clone(), clock })
        };
        let passport = Passport::new(self.plan.seed, id, boot, &self.keys, self.plan.keeps);
        let started = Node::start(&passport, boot, &machine, &self.wires, &self.trace).await;
        let mut machines = self.machines();
        let Some(place) = machines.get_mut(&id) else { return Ok(()) };
        place.busy = false;
        match started {
            Ok(mut node) => {
                node.damaged = std::mem::take(&mut place.damaged);
                if node.repaired {
                    self.count("repaired");
                }
                self.trace.note(format_args!("node {id} starts, the {boot}. time"));
                place.node = Some(Arc::new(node));
                Ok(())
            }
            Err(cause) => {
                self.trace.note(format_args!("node {id} does not start: {cause}"));
                self.wires.unplug(id);
                Err(cause)
            }
        }
    }

    /// Takes the power of a machine that is on; its disk keeps what the image says. Returns whether it was on.
    pub async fn crash(&self, id: u64, image: CrashImage) -> bool {
        self.see();
        let (node, disk) = {
            let mut machines = self.machines();
            let Some(place) = machines.get_mut(&id).filter(|place| !place.busy) else { return false };
            let Some(node) = place.node.take() else { return false };
            place.busy = true;
            (node, place.disk.clone())
        };
        disk.power_off();
        self.wires.unplug(id);
        self.trace.note(format_args!("node {id} crashes: {image:?}"));
        node.end().await;
        drop(node);
        disk.restart(&image);
        if let Some(place) = self.machines().get_mut(&id) {
            place.repair();
            place.busy = false;
            // What a disk did not take while it failed may be missed.
            place.damaged |= std::mem::take(&mut place.harmed);
            place.clock = None;
        }
        true
    }

    /// Stops a machine that is on, cleanly.
    pub async fn stop(&self, id: u64) {
        let node = self.machines().get_mut(&id).and_then(|place| place.node.take());
        if let Some(node) = node {
            node.end().await;
            self.wires.unplug(id);
            self.trace.note(format_args!("node {id} stops"));
        }
    }

    /// Starts all machines but the late one, and begins the group.
    ///
    /// # Errors
    ///
    /// Why it does not begin.
    pub async fn begin(&self) -> Result<(), String> {
        for id in self.ids().into_iter().filter(|id| Some(*id) != self.plan.late()) {
            self.start(id).await?;
        }
        let members = (1..=self.plan.voters).map(member).collect();
        let first = self.node(1).ok_or("node 1 is not there")?;
        first.group.begin(&members).await.map_err(|error| error.to_string())
    }

    /// Returns the node that leads, as it sees it itself; the one of the highest term.
    pub fn leader(&self) -> Option<Arc<Node>> {
        let leads = |node: &Arc<Node>| node.group.standing().role == replication::Role::Leader;
        self.up().into_iter().filter(leads).max_by_key(|node| node.group.standing().term)
    }

    /// Returns all numbers.
    pub fn ids(&self) -> BTreeSet<u64> {
        (1..=self.plan.nodes).collect()
    }

    /// Looks at all nodes, and has every invariant look.
    pub fn see(&self) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in watcher.look(self) {
            self.violate(fault);
        }
    }

    /// Returns what names the events of a channel before a number, as they were seen committed; a violation where some were
    /// not.
    pub fn committed_before(&self, channel: &str, seq: u64) -> Option<Vec<String>> {
        let known = {
            let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
            watcher.events().of(channel).to_vec()
        };
        let given_up = usize::try_from(seq).ok().and_then(|seq| known.get(..seq));
        if given_up.is_none() {
            let count = known.len();
            self.violate(format!("{channel} begins at {seq}, and only {count} events were seen committed"));
        }
        given_up.map(<[String]>::to_vec)
    }

    /// Counts a fault.
    pub fn count(&self, fault: &str) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(fault.to_owned()).or_default() += 1;
    }

    /// Returns how often each fault happened.
    pub fn faults(&self) -> BTreeMap<String, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that something does not hold.
    pub fn violate(&self, what: String) {
        self.trace.note(format_args!("VIOLATION {what}"));
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Returns what did not hold.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<u64, Place>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
