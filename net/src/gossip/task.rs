//! The one task of gossip: carries packets, sets alarms, and decides what is believed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::Random;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::facts::FactsTable;
use super::links::{Incoming, Links, Went};
use super::packet::{Member, PACKET_BYTES_MAX, Packet, UPDATES_MAX, Update};
use super::swim::{Alarm, Swim};
use super::{GossipCounts, GossipOptions, Peer, Seed};
use crate::{Asks, Connection, Endpoint, Pool, Protocol};

/// Nodes that are asked at once when nobody is there.
const ASKED_AT_ONCE: usize = 3;

#[derive(Debug)]
pub(super) enum Command {
    Join(Vec<Seed>),
    Take(Connection),
    Leave(oneshot::Sender<()>),
}

pub(super) struct Task {
    endpoint: Arc<Endpoint>,
    options: GossipOptions,
    swim: Swim,
    facts: FactsTable,
    /// What this node says of itself.
    saying: watch::Receiver<Bytes>,
    links: Links,
    incoming: mpsc::Receiver<Incoming>,
    /// By when they go off, then by the order in which they were set.
    alarms: BTreeMap<(Instant, u64), Alarm>,
    alarms_set: u64,
    seeds: Vec<Seed>,
    /// Counts whom to ask next when nobody is there.
    asked: usize,
    has_left: bool,
    told: watch::Sender<Arc<[Peer]>>,
    counts: Arc<Mutex<GossipCounts>>,
}

/// What comes from outside, and what is told there.
pub(super) struct Outside {
    pub random: Arc<dyn Random>,
    pub told: watch::Sender<Arc<[Peer]>>,
    pub counts: Arc<Mutex<GossipCounts>>,
}

impl Task {
    pub fn new(
        endpoint: Arc<Endpoint>,
        pool: Pool,
        (me, saying): (Member, watch::Receiver<Bytes>),
        options: GossipOptions,
        Outside { random, told, counts }: Outside,
    ) -> Self {
        let (links, incoming) = Links::new(pool, options.packets_per_second_max);
        let swim = Swim::new(me, &options, random);
        let mut facts = FactsTable::default();
        facts.say(me.key, me.epoch, &saying.borrow(), None);
        Self {
            endpoint,
            options,
            swim,
            facts,
            saying,
            links,
            incoming,
            alarms: BTreeMap::new(),
            alarms_set: 0,
            seeds: Vec::new(),
            asked: 0,
            has_left: false,
            told,
            counts,
        }
    }

    /// Runs until nobody has a handle any more.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut reviews = self.endpoint.reviews();
        let mut ticks = tokio::time::interval(self.options.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alarm = self.alarms.first_key_value().map(|((at, _), _)| *at);
            let alarm = async {
                match alarm {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Ok(()) = reviews.changed() => self.review(),
                Ok(()) = self.saying.changed() => {
                    let (me, saying) = (self.swim.me(), self.saying.borrow_and_update().clone());
                    self.facts.say(me.key, me.epoch, &saying, None);
                }
                () = alarm => self.ring(),
                Some(incoming) = self.incoming.recv() => self.hear(incoming),
                _ = ticks.tick() => self.tick(),
            }
            self.act();
            self.tell();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(seeds) => {
                seeds.iter().for_each(|seed| self.announce(*seed));
                self.seeds = seeds;
            }
            Command::Take(connection) => self.links.take(connection),
            Command::Leave(done) => {
                if !self.has_left {
                    self.swim.leave();
                    self.act();
                    self.has_left = true;
                    self.alarms.clear();
                }
                // Whoever waited is gone when this fails.
                let _ = done.send(());
            }
        }
    }

    /// Forgets those who are no members any more.
    fn review(&mut self) {
        let members = self.swim.members().map(|known| known.member);
        let strangers: Vec<Member> = members.filter(|member| !self.is_member(member)).collect();
        for member in strangers {
            self.swim.forget(member);
            self.facts.forget(member.key);
            self.links.forget(member.key);
        }
    }

    /// Asks members who did not change through a review, and whoever might be there when nobody is.
    fn tick(&mut self) {
        self.review();
        if self.has_left || !self.swim.is_alone() {
            return;
        }
        let known = self.swim.members().map(|known| known.member);
        let known = known.map(|Member { key, node, address, .. }| Seed { node, key, address });
        let mut candidates: Vec<Seed> = self.seeds.iter().copied().chain(known).collect();
        candidates.sort_by_key(|seed| (seed.key, seed.address));
        candidates.dedup();
        let count = candidates.len();
        for seed in candidates.iter().cycle().skip(self.asked % count.max(1)).take(count.min(ASKED_AT_ONCE)) {
            self.announce(*seed);
        }
        self.asked = self.asked.wrapping_add(ASKED_AT_ONCE);
    }

    fn announce(&mut self, Seed { node, key, address }: Seed) {
        let to = Member { key, node, epoch: 0, address };
        if key != self.swim.me().key && self.is_member(&to) && !self.has_left {
            self.swim.announce(to);
        }
    }

    /// Acts on the alarms that are due; of one moment, in the order that the protocol wants.
    fn ring(&mut self) {
        let later = self.alarms.split_off(&(Instant::now() + std::time::Duration::from_nanos(1), 0));
        let mut due: Vec<Alarm> = std::mem::replace(&mut self.alarms, later).into_values().collect();
        due.sort();
        due.into_iter().for_each(|alarm| self.swim.alarm(alarm));
    }

    fn hear(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::TooMany => self.count(|counts| counts.too_many += 1),
            Incoming::Dialed(key, dialed) => {
                let went = self.links.dialed(key, dialed);
                self.count_went(went);
            }
            Incoming::Packet { from, bytes } => self.receive(&from, &bytes),
        }
    }

    fn receive(&mut self, from: &Connection, bytes: &[u8]) {
        let Some(mut packet) = Packet::decode(bytes) else {
            return self.count(|counts| counts.malformed += 1);
        };
        if (packet.source.key, packet.source.node) != (from.peer(), from.node()) {
            return self.count(|counts| counts.forged += 1);
        }
        if self.has_left {
            return;
        }
        if !self.believes(&packet.source) || packet.another.is_some_and(|another| !self.is_known(&another)) {
            return;
        }
        self.hear_of_myself(&mut packet);
        let updates = std::mem::take(&mut packet.updates);
        packet.updates = updates.into_iter().filter(|update| self.believes(&update.member)).collect();
        let (facts, source) = (std::mem::take(&mut packet.facts), packet.source.key);
        match self.swim.receive(packet) {
            true => self.count(|counts| counts.received += 1),
            false => self.count(|counts| counts.malformed += 1),
        }
        for facts in &facts {
            if self.swim.member(facts.key).is_some() {
                self.facts.learn(facts, source);
            }
        }
    }

    /// Looks for what others know of an earlier life of this node, and goes on behind it.
    fn hear_of_myself(&mut self, packet: &mut Packet) {
        let me = self.swim.me();
        let epochs = packet.updates.iter().filter(|update| update.member.key == me.key);
        let newest = epochs.map(|update| update.member.epoch).chain([packet.destination.epoch]).max();
        if let Some(epoch) = newest.filter(|epoch| *epoch > me.epoch && packet.destination.key == me.key) {
            self.swim.outlive(epoch);
        }
        let said = self.facts.get(me.key).map(|facts| (facts.epoch, facts.version, facts.bytes));
        let heard = packet.facts.iter().filter(|facts| facts.key == me.key);
        let heard = heard.map(|facts| (facts.epoch, facts.version, facts.bytes.clone())).max();
        if let (Some(said), Some(heard)) = (said, heard)
            && heard.0 == said.0
            && (heard.1 > said.1 || (heard.1 == said.1 && heard.2 != said.2))
        {
            self.facts.say(me.key, me.epoch, &said.2, Some(heard.1));
        }
        packet.facts.retain(|facts| facts.key != me.key);
    }

    /// Tells whether something said of a node is believed: it is this one, or a member for whom there is room.
    fn believes(&mut self, member: &Member) -> bool {
        if !self.is_known(member) {
            return false;
        }
        let has_room = self.swim.members().len() < self.options.members_max
            || member.key == self.swim.me().key
            || self.swim.member(member.key).is_some();
        if !has_room {
            self.count(|counts| counts.over_limit += 1);
        }
        has_room
    }

    /// Tells whether a node is this one or a member, and counts when it is neither.
    fn is_known(&mut self, member: &Member) -> bool {
        let me = self.swim.me();
        let is_known = (member.key, member.node) == (me.key, me.node) || self.is_member(member);
        if !is_known {
            self.count(|counts| counts.unknown += 1);
        }
        is_known
    }

    fn is_member(&self, member: &Member) -> bool {
        let asks = Asks { key: member.key, node: member.node, protocol: Protocol::Gossip };
        self.endpoint.admits(&asks).is_ok()
    }

    /// Does what the protocol wants: sends its packets, with facts in the room that they leave, and sets its alarms.
    fn act(&mut self) {
        let out = self.swim.take();
        let me = self.swim.me();
        if self.facts.get(me.key).is_none_or(|said| said.epoch != me.epoch) {
            let saying = self.saying.borrow().clone();
            self.facts.say(me.key, me.epoch, &saying, None);
        }
        if self.has_left {
            return;
        }
        for (after, alarm) in out.alarms {
            self.alarms.insert((Instant::now() + after, self.alarms_set), alarm);
            self.alarms_set += 1;
        }
        for mut packet in out.packets {
            let to = packet.destination;
            self.add_newer(&mut packet);
            packet.facts = self.facts.choose(to.key, PACKET_BYTES_MAX.saturating_sub(packet.encoded_bytes()));
            let went = self.links.send(to, packet.encode().into());
            self.count_went(went);
        }
    }

    /// Adds what is known of a later life of the node that is meant, which it cannot know itself after it has restarted
    /// with a lower epoch.
    fn add_newer(&self, packet: &mut Packet) {
        let newer = self.swim.member(packet.destination.key);
        let newer = newer
            .filter(|known| known.member.epoch > packet.destination.epoch && packet.destination.epoch > 0);
        if let Some(newer) = newer.filter(|_| packet.updates.len() < UPDATES_MAX) {
            packet.updates.push(newer);
        }
    }

    /// Tells who watches, if something has changed.
    fn tell(&mut self) {
        let mut members: Vec<Update> = self.swim.members().collect();
        members.sort_by_key(|known| (known.member.node, known.member.key));
        let peers: Arc<[Peer]> = members.into_iter().map(|known| self.peer(known)).collect();
        self.told.send_if_modified(|told| {
            let is_new = *told != peers;
            *told = peers;
            is_new
        });
    }

    fn peer(&self, Update { member, liveness, .. }: Update) -> Peer {
        let Member { key, node, epoch, address } = member;
        let facts = self.facts.get(key).map(|facts| facts.bytes).unwrap_or_default();
        Peer { node, key, address, epoch, liveness, facts }
    }

    fn count_went(&self, went: Went) {
        self.count(|counts| {
            counts.sent += went.sent;
            counts.unsent += went.unsent;
        });
    }

    fn count(&self, change: impl FnOnce(&mut GossipCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
