//! What the control log comes to: a pure function of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base::{ChannelName, LogId, NodeId, OriginId, PublicKey, Seq};
use redex::LogName;

use super::ControlEvent;
use crate::{Placement, ReplicationConfig};

/// A node that is a member, or was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its key.
    pub key: PublicKey,
    /// What it calls itself.
    pub name: String,
    /// Where it listens for other nodes.
    pub address: SocketAddr,
    /// The grant that let it in.
    pub grant: Option<String>,
    /// Whether it is no member any more.
    pub left: bool,
}

/// A replicated log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its id.
    pub id: LogId,
    /// Who began it.
    pub origin: OriginId,
    /// How it is replicated.
    pub config: ReplicationConfig,
    /// Who held it first: the first of them begins the group, and nobody else ever does.
    pub begins_on: BTreeSet<NodeId>,
    /// Who is to hold it.
    pub replicas: BTreeSet<NodeId>,
}

impl LogRecord {
    /// Tells whether every member is to hold the log.
    pub fn is_on_all_members(&self) -> bool {
        self.config.placement == Placement::Members
    }
}

/// The cluster, as of some event of the control log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlState {
    /// The number of the next event.
    pub next: Seq,
    /// All nodes that ever were members.
    pub members: BTreeMap<NodeId, MemberRecord>,
    /// All replicated logs but the control log itself.
    pub logs: BTreeMap<LogName, LogRecord>,
    /// The channels that live in them.
    pub channels: BTreeMap<ChannelName, LogName>,
    /// How many events were left out since they did not follow from what was before.
    pub skipped: u64,
}

impl ControlState {
    /// Applies the next event; one that does not follow from the state, or does not read, is counted and left out, on
    /// every node alike.
    pub fn apply(&mut self, event: Result<ControlEvent, String>) {
        self.next = self.next.next();
        let applied = event.and_then(|event| self.try_apply(event));
        if let Err(reason) = applied {
            tracing::warn!(%reason, seq = self.next.0 - 1, "an event of the control log was left out");
            self.skipped += 1;
        }
    }

    fn try_apply(&mut self, event: ControlEvent) -> Result<(), String> {
        match event {
            ControlEvent::MemberJoined { node, key, name, address, grant } => {
                if node < self.next_node() {
                    return Err(format!("node {node} was a member before"));
                }
                self.members.insert(node, MemberRecord { key, name, address, grant, left: false });
                self.spread();
            }
            ControlEvent::MemberMoved { node, address } => self.active_mut(node)?.address = address,
            ControlEvent::MemberLeft { node } => {
                self.active_mut(node)?.left = true;
                self.spread();
            }
            ControlEvent::LogCreated { log, id, origin, config, replicas } => {
                if self.logs.contains_key(&log) {
                    return Err(format!("log `{log}` exists"));
                }
                let begins_on = replicas.clone();
                let record = LogRecord { id, origin, config, begins_on, replicas };
                // What a log follows was there before: so no chain of them leads back.
                if let Some(named) = record.config.follows().filter(|named| !self.logs.contains_key(named)) {
                    return Err(format!("log `{log}` is to be with log `{named}`, which is not there"));
                }
                self.logs.insert(log, record);
                self.spread();
                self.follow();
            }
            ControlEvent::LogMoved { log, replicas } => {
                let record = self.logs.get_mut(&log).ok_or_else(|| format!("there is no log `{log}`"))?;
                if record.is_on_all_members() {
                    return Err(format!("log `{log}` is held by every member"));
                }
                if let Some(named) = record.config.follows() {
                    return Err(format!("log `{log}` is where log `{named}` is"));
                }
                record.replicas = replicas;
                self.follow();
            }
            ControlEvent::LogConfigured { log, config } => {
                let record = self.logs.get_mut(&log).ok_or_else(|| format!("there is no log `{log}`"))?;
                if !record.config.is_placed_as(&config) {
                    return Err(format!("log `{log}` would be placed otherwise"));
                }
                record.config = config;
            }
            ControlEvent::ChannelPlaced { channel, log } => {
                if !self.logs.contains_key(&log) {
                    return Err(format!("there is no log `{log}`"));
                }
                if let Some(known) = self.channels.get(&channel).filter(|known| **known != log) {
                    return Err(format!("channel `{channel}` lives in log `{known}`"));
                }
                self.channels.insert(channel, log);
            }
        }
        Ok(())
    }

    /// Has each log that is for all members held by those that there are.
    fn spread(&mut self) {
        let active: BTreeSet<_> = self.active().map(|(node, _)| node).collect();
        for record in self.logs.values_mut().filter(|record| record.is_on_all_members()) {
            record.replicas.clone_from(&active);
        }
    }

    /// Has each log that follows another one held by the same nodes.
    fn follow(&mut self) {
        let followers = self.logs.iter().filter(|(_, record)| record.config.follows().is_some());
        let of_root = |name: &LogName| Some(self.logs.get(self.root_of(name))?.replicas.clone());
        let places: Vec<_> = followers.filter_map(|(name, _)| Some((name.clone(), of_root(name)?))).collect();
        for (name, replicas) in places {
            if let Some(record) = self.logs.get_mut(&name) {
                record.replicas = replicas;
            }
        }
    }

    /// Returns the log whose place decides on a log's: the one that it follows, or that which that one follows, and so on;
    /// itself, where it follows none.
    pub fn root_of<'a>(&'a self, log: &'a LogName) -> &'a LogName {
        let mut root = log;
        // No chain is longer than there are logs.
        for _ in 0..self.logs.len() {
            let named = self.logs.get(root).and_then(|record| record.config.follows());
            match named.and_then(|named| self.logs.get_key_value(&named)) {
                Some((named, _)) => root = named,
                None => break,
            }
        }
        root
    }

    /// Returns the replicated log of a name: that log, or the one that a channel of the name lives in.
    pub fn log_named(&self, name: &str) -> Option<&LogName> {
        let log = LogName::new(name).ok().and_then(|name| self.logs.get_key_value(&name));
        log.map(|(log, _)| log).or_else(|| self.channels.get(name))
    }

    fn active_mut(&mut self, node: NodeId) -> Result<&mut MemberRecord, String> {
        let member = self.members.get_mut(&node).filter(|member| !member.left);
        member.ok_or_else(|| format!("node {node} is no member"))
    }

    /// Returns the number that the next member gets; numbers are never given out twice.
    pub fn next_node(&self) -> NodeId {
        self.members.last_key_value().map_or(NodeId(1), |(last, _)| last.next())
    }

    /// Returns the members that have not left.
    pub fn active(&self) -> impl Iterator<Item = (NodeId, &MemberRecord)> {
        self.members.iter().filter(|(_, member)| !member.left).map(|(node, member)| (*node, member))
    }

    /// Returns a member that has not left.
    pub fn member(&self, node: NodeId) -> Option<&MemberRecord> {
        self.members.get(&node).filter(|member| !member.left)
    }

    /// Returns the active member that has a key.
    pub fn by_key(&self, key: &PublicKey) -> Option<(NodeId, &MemberRecord)> {
        self.active().find(|(_, member)| member.key == *key)
    }

    /// Chooses nodes for a log: those that hold it already stay, others are chosen in order of preference.
    pub fn choose(&self, count: usize, keep: &BTreeSet<NodeId>, preference: &Preference) -> BTreeSet<NodeId> {
        let load = |node: NodeId| self.logs.values().filter(|log| log.replicas.contains(&node)).count();
        let mut chosen: BTreeSet<NodeId> =
            keep.iter().copied().filter(|node| self.member(*node).is_some()).collect();
        let mut others: Vec<_> = self
            .active()
            .map(|(node, _)| node)
            .filter(|node| !chosen.contains(node) && !preference.not.contains(node))
            .collect();
        others.sort_by_key(|node| (!preference.near.contains(node), load(*node), *node));
        chosen.extend(others.into_iter().take(count.saturating_sub(chosen.len())));
        chosen
    }

    /// Returns the nodes that go before others for a log of a configuration: those that hold what it prefers to be with.
    pub fn near(&self, config: &ReplicationConfig) -> BTreeSet<NodeId> {
        let named = config.prefers().and_then(|named| self.logs.get(&named));
        named.map_or_else(BTreeSet::new, |named| named.replicas.clone())
    }
}

/// Which nodes go before others; among equal ones those that hold the fewest logs, then those of the lowest numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preference {
    /// These first.
    pub near: BTreeSet<NodeId>,
    /// None of these.
    pub not: BTreeSet<NodeId>,
}
