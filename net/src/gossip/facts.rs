//! What nodes say of themselves. It travels beside the packets of the protocol, in the room that they leave: what was
//! passed on least goes first, so that news are fast and whoever is new hears everything in time.

use std::collections::{BTreeMap, BTreeSet};

use base::PublicKey;
use bytes::Bytes;

use super::packet::FactsRecord;

#[derive(Debug, Default)]
pub(super) struct FactsTable {
    known: BTreeMap<PublicKey, Known>,
    /// Those who say something older of themselves than what is known, and are to be told.
    behind: BTreeSet<PublicKey>,
}

#[derive(Debug)]
struct Known {
    epoch: u64,
    version: u32,
    bytes: Bytes,
    /// How often it was passed on since it is known.
    passed_on: u64,
}

impl FactsTable {
    /// Learns what a node says, as `from` passes it on, unless something newer is known.
    pub fn learn(&mut self, facts: &FactsRecord, from: PublicKey) {
        let known = self.known.get(&facts.key);
        if known.is_none_or(|known| (known.epoch, known.version) < (facts.epoch, facts.version)) {
            let FactsRecord { key, epoch, version, bytes } = facts.clone();
            self.known.insert(key, Known { epoch, version, bytes, passed_on: 0 });
        } else if facts.key == from && self.get(from).as_ref() != Some(facts) {
            self.behind.insert(from);
        }
    }

    /// Says something of this node: behind what was said in this epoch, and `heard`, the newest version that others know.
    pub fn say(&mut self, key: PublicKey, epoch: u64, bytes: &Bytes, heard: Option<u32>) {
        let said = self.known.get(&key).filter(|known| known.epoch == epoch).map(|known| known.version);
        let version = said.max(heard).map_or(0, |version| version.saturating_add(1));
        self.known.insert(key, Known { epoch, version, bytes: bytes.clone(), passed_on: 0 });
    }

    pub fn get(&self, key: PublicKey) -> Option<FactsRecord> {
        self.known.get(&key).map(|known| record(key, known))
    }

    pub fn forget(&mut self, key: PublicKey) {
        self.known.remove(&key);
        self.behind.remove(&key);
    }

    /// Chooses what to pass on to a node in so many bytes, at most 255 records. Of itself it is told only when it is behind,
    /// and then first.
    pub fn choose(&mut self, to: PublicKey, mut room: usize) -> Vec<FactsRecord> {
        let is_behind = self.behind.remove(&to);
        let mut order: Vec<_> = self.known.iter().filter(|(key, _)| **key != to || is_behind).collect();
        order.sort_by_key(|(key, known)| (**key != to, known.passed_on, **key));
        let mut chosen = Vec::new();
        for (key, known) in order {
            let record = record(*key, known);
            if let Some(left) = room.checked_sub(record.encoded_bytes())
                && chosen.len() < usize::from(u8::MAX)
            {
                room = left;
                chosen.push(record);
            }
        }
        for record in &chosen {
            if let Some(known) = self.known.get_mut(&record.key) {
                known.passed_on += 1;
            }
        }
        chosen
    }
}

fn record(key: PublicKey, known: &Known) -> FactsRecord {
    FactsRecord { key, epoch: known.epoch, version: known.version, bytes: known.bytes.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(node: u8) -> PublicKey {
        PublicKey::from_bytes([node; 32])
    }

    fn said(node: u8, epoch: u64, version: u32, bytes: usize) -> FactsRecord {
        FactsRecord { key: key(node), epoch, version, bytes: vec![node; bytes].into() }
    }

    #[test]
    fn only_what_is_newer_is_learned() {
        let mut table = FactsTable::default();
        for (epoch, version, is_newer) in
            [(2, 5, true), (2, 4, false), (1, 9, false), (2, 6, true), (3, 0, true)]
        {
            let facts = FactsRecord {
                bytes: vec![epoch, version].into(),
                ..said(1, epoch.into(), version.into(), 0)
            };
            table.learn(&facts, key(2));
            assert_eq!(table.get(key(1)) == Some(facts), is_newer, "{epoch} {version}");
            // The same again changes nothing, whatever it says.
            table.learn(&said(1, epoch.into(), version.into(), 9), key(2));
            assert_ne!(table.get(key(1)).unwrap().bytes.len(), 9);
        }
    }

    #[test]
    fn each_saying_has_a_version_of_its_own() {
        let mut table = FactsTable::default();
        let mut say = |epoch, heard| {
            table.say(key(1), epoch, &Bytes::new(), heard);
            table.get(key(1)).unwrap().version
        };
        assert_eq!(
            [say(1, None), say(1, None), say(1, Some(7)), say(1, Some(3)), say(2, None)],
            [0, 1, 8, 9, 0]
        );
    }

    #[test]
    fn what_was_passed_on_least_goes_first_and_only_what_fits() {
        let mut table = FactsTable::default();
        (1..=5).for_each(|node| table.learn(&said(node, 1, 0, 52), key(node)));
        let mut seen = [0; 6];
        for _ in 0..10 {
            let chosen = table.choose(key(5), 250);
            assert_eq!(chosen.len(), 2);
            chosen.iter().for_each(|facts| seen[usize::from(facts.key.as_bytes()[0])] += 1);
        }
        assert_eq!(seen, [0, 5, 5, 5, 5, 0]);
        table.learn(&said(3, 1, 1, 52), key(3));
        assert_eq!(table.choose(key(5), 100), [said(3, 1, 1, 52)]);
        assert_eq!(table.choose(key(5), 99), []);
    }

    #[test]
    fn who_is_behind_itself_is_told_once() {
        let mut table = FactsTable::default();
        table.learn(&said(1, 2, 5, 9), key(2));
        table.learn(&said(1, 2, 5, 9), key(1));
        table.learn(&said(1, 2, 4, 9), key(2));
        assert_eq!(table.choose(key(1), 500), []);
        for older in [said(1, 2, 4, 9), said(1, 1, 9, 9), said(1, 2, 5, 8)] {
            table.learn(&older, key(1));
            assert_eq!(table.choose(key(1), 500), [said(1, 2, 5, 9)]);
            assert_eq!(table.choose(key(1), 500), []);
        }
    }
}
