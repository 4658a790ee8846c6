//! What was ever seen committed: logs may give up their beginning, and what was acknowledged is compared with this.

use std::collections::BTreeMap;

use base::{Index, Position};
use redex::{EntryContent, ReplicaLog};

use crate::moment::{Moment, Record};

/// The committed log, as far as some node has shown it to its readers.
#[derive(Debug, Default)]
pub struct Committed(pub(crate) Vec<Record>);

impl Committed {
    /// Learns what is visible on some node; returns the first new index.
    pub(crate) fn learn(&mut self, moment: &Moment) -> usize {
        let known = self.0.len();
        for node in moment.nodes.values().filter(|node| node.up) {
            let visible = usize::try_from(node.visible).unwrap_or(usize::MAX).min(node.log.len());
            if visible > self.0.len() {
                self.0.extend_from_slice(&node.log[self.0.len()..visible]);
            }
        }
        known
    }
}

/// The events of the committed log: of each channel, what names them, by their numbers from 0 on.
#[derive(Debug, Default)]
pub struct Events {
    position: Position,
    names: BTreeMap<String, Vec<String>>,
}

impl Events {
    /// Returns what names each event of a channel so far.
    pub fn of(&self, channel: &str) -> &[String] {
        self.names.get(channel).map_or(&[], Vec::as_slice)
    }

    /// Returns up to where the log's events are known.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Learns the events of what a node counts as committed, and that are not known yet. Does nothing where it does not hold some of
    /// these any more: another node does, or did. What readers see is not asked, since the log may give up what was committed a moment
    /// ago.
    ///
    /// # Errors
    ///
    /// An event whose number does not follow on those before.
    pub fn learn(&mut self, replica: &ReplicaLog) -> Result<(), String> {
        let visible = replica.reader().view().position();
        if visible <= self.position {
            return Ok(());
        }
        let Ok(entries) = replica.entries(Index(self.position.0)..Index(visible.0), u64::MAX) else {
            return Ok(());
        };
        if entries.len() as u64 != visible.0 - self.position.0 {
            return Ok(());
        }
        for entry in entries {
            let EntryContent::Sealed(sealed) = &entry.content else { continue };
            let events = sealed
                .events()
                .map_err(|malformed| format!("entry {} with a wrong {malformed}", entry.slot))?;
            for event in events.events() {
                let names = self.names.entry(event.channel.to_string()).or_default();
                if event.seq.0 != names.len() as u64 {
                    let (channel, seq, known) = (event.channel, event.seq.0, names.len());
                    return Err(format!("{channel} has event {seq} behind {known} that were committed"));
                }
                names.push(event.key.unwrap_or_default().to_owned());
            }
        }
        self.position = visible;
        Ok(())
    }
}
