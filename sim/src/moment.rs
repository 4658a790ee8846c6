//! What is seen of all nodes at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Hash, Index, Slot};
use redex::EntryContent;
use replication::Role;

use crate::invariant::{Invariant, all};
use crate::known::{Committed, Events};
use crate::node::{Node, Opened};
use crate::world::World;

/// An entry as it lies in a node's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub slot: Slot,
    /// Of its content.
    pub hash: Hash,
    /// Of it and everything before.
    pub chain: Hash,
}

/// Who votes, as a membership says: one set, or two while it changes.
pub type Voters = Vec<Vec<u64>>;

/// What is seen of one node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Which start of it this is.
    pub boot: u32,
    /// Whether it is up; if not, this is what was seen last.
    pub up: bool,
    /// Whether its disk was made to fail since its start.
    pub harmed: bool,
    /// Whether its log takes nothing more, since it is not known what the disk holds.
    pub poisoned: bool,
    /// What it had of the log when it started.
    pub opened: Arc<Opened>,
    /// Whether it had lost something when it started.
    pub repaired: bool,
    /// Whether its disk may have lost something before that.
    pub damaged: bool,
    /// What it takes itself for.
    pub role: Role,
    /// The leadership that it has, as it sees it: term and node.
    pub leads: Option<(u64, u64)>,
    /// Its vote: term, node, and whether that leads.
    pub vote: Option<(u64, u64, bool)>,
    /// Up to where it knows the log to be committed.
    pub committed: u64,
    /// Up to where readers see it.
    pub visible: u64,
    /// Up to where it survives a power failure.
    pub durable: u64,
    /// The last entry that it gave up.
    pub purged: Option<Slot>,
    /// Up to where readers were told that the log's beginning is given up.
    pub trimmed: u64,
    /// The root of its log, and the last entry that it includes.
    pub root: Option<(Slot, Hash)>,
    /// Its log, from index 0. What it gave up is there as it was seen; what it never had, as it was committed elsewhere.
    pub log: Vec<Record>,
    /// The first index that changed since it was looked at before.
    pub changed_from: usize,
    /// The newest two memberships in the log: their indexes, and who votes.
    pub memberships: Vec<(u64, Voters)>,
    /// How many forks it has found.
    pub forks: u64,
    /// The nodes that count other entries as committed, as far as it has found.
    pub diverges_from: Vec<u64>,
}

impl NodeView {
    /// Begins to look at a node.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            boot: 0,
            up: false,
            harmed: false,
            poisoned: false,
            opened: Arc::default(),
            repaired: false,
            damaged: false,
            role: Role::Idle,
            leads: None,
            vote: None,
            committed: 0,
            visible: 0,
            durable: 0,
            purged: None,
            trimmed: 0,
            root: None,
            log: Vec::new(),
            changed_from: 0,
            memberships: Vec::new(),
            forks: 0,
            diverges_from: Vec::new(),
        }
    }

    /// Returns how many entries at the beginning of its log it gave up.
    pub fn begins(&self) -> u64 {
        self.purged.map_or(0, |slot| slot.index.0 + 1)
    }

    /// Returns the leadership that the node has while it is up.
    pub fn leadership(&self) -> Option<(u64, u64)> {
        self.leads.filter(|_| self.up)
    }
}

/// All nodes at one moment.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// How long the run goes on.
    pub at: Duration,
    /// What is seen of each node.
    pub nodes: BTreeMap<u64, NodeView>,
}

/// Looks at all nodes again and again.
#[derive(Debug)]
pub struct Watcher {
    moment: Moment,
    invariants: Vec<Box<dyn Invariant>>,
    committed: Committed,
    events: Events,
    trimmed: u64,
    looks: u64,
}

impl Watcher {
    /// Begins with all invariants.
    pub fn new() -> Self {
        let (moment, committed, events) = Default::default();
        Self { moment, invariants: all(), committed, events, trimmed: 0, looks: 0 }
    }

    /// Looks at all nodes; returns what does not hold.
    pub fn look(&mut self, world: &World) -> Vec<String> {
        self.looks += 1;
        let mut found = Vec::new();
        self.moment.at = world.elapsed();
        for id in self.in_order(world) {
            let view = self.moment.nodes.entry(id).or_insert_with(|| NodeView::new(id));
            view.changed_from = view.log.len();
            match world.node(id) {
                Some(node) => {
                    let before = (view.role, view.vote);
                    let begun = (view.boot, view.begins(), view.log.len() as u64);
                    found.extend(take(view, &node, world.is_harmed(id), &self.committed).err());
                    if (view.role, view.vote) != before {
                        let NodeView { role, vote, .. } = view;
                        world.trace.note(format_args!("node {id} is {role}, voted {vote:?}"));
                    }
                    note_beginning(view, begun, world);
                    self.trimmed = note_trim(view, self.trimmed, world);
                }
                None => view.up = false,
            }
            self.committed.learn(&self.moment);
        }
        if world.plan.keeps.is_some() {
            for node in world.up() {
                found.extend(self.events.learn(node.group.replica()).err());
            }
        }
        for invariant in &mut self.invariants {
            if let Err(fault) = invariant.see(&self.moment) {
                found.push(format!("{}: {fault}", invariant.name()));
            }
        }
        found
    }

    /// Returns all nodes; those last that begin behind what was seen committed so far, which the others have.
    fn in_order(&self, world: &World) -> Vec<u64> {
        let known = self.committed.0.len() as u64;
        let begins = |node: Arc<Node>| node.group.replica().state().purged.map_or(0, |slot| slot.index.0 + 1);
        let is_behind = |id: &u64| world.node(*id).is_some_and(|node| begins(node) > known);
        let (behind, mut ids): (Vec<_>, Vec<_>) = world.ids().into_iter().partition(is_behind);
        ids.extend(behind);
        ids
    }

    /// Returns the events that were seen committed, in runs that give some of them up.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Returns what was seen last.
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// Returns how often was looked.
    pub fn looks(&self) -> u64 {
        self.looks
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts that a node begins later than before: it gave up what it had, or was given a snapshot for what it lacked.
fn note_beginning(view: &NodeView, (boot, began, ended): (u32, u64, u64), world: &World) {
    let begins = view.begins();
    if begins > began {
        let was_given = begins > ended || (view.repaired && view.boot != boot);
        let what = if was_given { "snapshots" } else { "given-up" };
        world.count(what);
        world.trace.note(format_args!("node {} begins at entry {begins}: {what}", view.id));
    }
}

/// Counts that a log's beginning was given up, up to further than before.
fn note_trim(view: &NodeView, known: u64, world: &World) -> u64 {
    if view.trimmed > known {
        world.count("trims");
        world.trace.note(format_args!("the log begins at entry {}", view.trimmed));
    }
    known.max(view.trimmed)
}

/// Takes what a node shows.
fn take(view: &mut NodeView, node: &Arc<Node>, harmed: bool, known: &Committed) -> Result<(), String> {
    let replica = node.group.replica();
    // Noting what is known already does nothing, but where nothing is taken any more; or readers see at once what they would in
    // a moment, so that this comes before everything that is looked at.
    let noted = replica.save_committed(replica.committed());
    view.poisoned = matches!(noted, Err(redex::ReplicaError::Poisoned { .. }));
    let state = replica.state();
    view.boot = node.boot;
    view.up = true;
    view.harmed = harmed;
    view.opened = Arc::clone(&node.opened);
    view.repaired = node.repaired;
    view.damaged = node.damaged;
    let standing = node.group.standing();
    view.role = standing.role;
    view.leads = match (standing.role, standing.leader) {
        (Role::Leader, Some(leader)) => Some((standing.term.0, leader.0)),
        _ => None,
    };
    view.vote = replica.vote().map(|vote| (vote.term.0, vote.node.0, vote.committed));
    // What was given up was committed, also where a crash left nothing else that says so.
    let committed = replica.committed().max(state.purged);
    view.committed = committed.map_or(0, |slot| slot.index.position_after().0);
    view.visible = state.visible.0;
    view.durable = state.durable.0;
    view.purged = state.purged;
    view.trimmed = node.group.reader().view().begins().0;
    // A log that takes nothing more may have counted what was not written.
    view.root = state.last.filter(|_| !view.poisoned).map(|last| (last, replica.root().1));
    view.memberships = replica
        .consensus()
        .iter()
        .filter_map(|(slot, bytes)| {
            let membership = replication::raft::decode_membership(bytes).ok()?;
            let sets = membership.get_joint_config().iter();
            Some((slot.index.0, sets.map(|set| set.iter().copied().collect()).collect()))
        })
        .collect();
    view.forks = node.group.forks();
    view.diverges_from = node.group.divergences().keys().map(|other| other.0).collect();
    take_beginning(view, known)?;
    take_log(view, node, state.last)
}

fn unread(view: &NodeView, cause: &redex::ReadError) -> String {
    format!("node {} cannot read its entries from {} on: {cause}", view.id, view.log.len())
}

/// Puts what was committed in place of a beginning that a node was never seen to have.
fn take_beginning(view: &mut NodeView, committed: &Committed) -> Result<(), String> {
    let Some(purged) = view.purged else { return Ok(()) };
    let begins = usize::try_from(view.begins()).unwrap_or(usize::MAX);
    // Equal slots mean equal logs up to there.
    if view.log.get(begins - 1).is_some_and(|record| record.slot == purged) {
        return Ok(());
    }
    let Some(given_up) = committed.0.get(..begins) else {
        let known = committed.0.len();
        return Err(format!("node {} begins behind {purged}, and {known} entries were committed", view.id));
    };
    let alike = |(own, given_up): &(&Record, &Record)| own.chain == given_up.chain;
    let kept = view.log.iter().zip(given_up).take_while(alike).count();
    view.changed_from = view.changed_from.min(kept);
    view.log.truncate(kept);
    view.log.extend_from_slice(&given_up[kept..]);
    Ok(())
}

/// Takes what changed of a node's log: what was cut off, and what is new.
fn take_log(view: &mut NodeView, node: &Arc<Node>, last: Option<Slot>) -> Result<(), String> {
    let replica = node.group.replica();
    let end = last.map_or(0, |slot| slot.index.0 + 1);
    let mut kept = view.log.len().min(usize::try_from(end).unwrap_or(usize::MAX));
    let begins = usize::try_from(view.begins()).unwrap_or(usize::MAX);
    // Equal slots mean equal logs up to there, which an invariant looks after. What was given up is compared already.
    while let Some(known) = kept.checked_sub(1).filter(|at| *at >= begins).map(|at| view.log[at].slot) {
        let same = match known.index.0 + 1 == end {
            true => last == Some(known),
            false => {
                let found = replica.entries(known.index..known.index.next(), 1);
                found.is_ok_and(|found| found.first().is_some_and(|entry| entry.slot == known))
            }
        };
        if same {
            break;
        }
        kept -= 1;
    }
    view.changed_from = view.changed_from.min(kept);
    view.log.truncate(kept);
    let from = Index(kept as u64);
    let read = |to: u64| replica.entries(from..Index(to), u64::MAX);
    let found = match read(u64::MAX) {
        Ok(found) => found,
        // A write that failed may leave an entry that cannot be read; not one that was durable.
        Err(_) if view.harmed => read(view.durable.max(from.0)).map_err(|cause| unread(view, &cause))?,
        Err(cause) => return Err(unread(view, &cause)),
    };
    for entry in found {
        let before = view.log.last().map_or(Hash::ZERO, |record| record.chain);
        let hash = match &entry.content {
            EntryContent::Sealed(sealed) => Hash::of(sealed.bytes()),
            EntryContent::Consensus(bytes) => Hash::of(bytes),
        };
        let place = format!("{:?}", entry.slot);
        let chain = Hash::of(&[before.as_bytes(), place.as_bytes(), hash.as_bytes()].concat());
        view.log.push(Record { slot: entry.slot, hash, chain });
    }
    Ok(())
}
