//! Redactions: what was taken out is on record, and what is on record was taken out.

use std::collections::BTreeMap;
use std::path::Path;

use base::ChannelName;

use super::{Fault, Verifier};
use crate::codec::Cursor;
use crate::codec::block::BlockItem;
use crate::codec::control::RedactionRecord;
use crate::codec::erasable::Salted;
use crate::redaction::{self, Ranges};

/// What was seen of redactions so far.
#[derive(Debug, Default)]
pub(super) struct Redactions {
    /// How many are on record with the one that is under way, which may not be carried out yet.
    under_way: Option<u64>,
    channels: BTreeMap<ChannelName, Seen>,
}

/// What was seen of one erasable channel.
#[derive(Debug)]
struct Seen {
    /// The first event that was read.
    from: u64,
    erased: Ranges,
    recorded: Ranges,
}

impl Verifier<'_> {
    /// Notes what is under way; behind the look at how far a writer lets readers read, so that everything on record
    /// up to there is carried out or known to be under way.
    pub(super) fn begin_redactions(&mut self) {
        let (disk, dir, log) = (self.disk, self.log_dir.clone(), self.report.log);
        let redo = redaction::due(disk, &dir, log).or_else(|| redaction::prepared(disk, &dir, log));
        self.redactions.under_way = redo.map(|redo| redo.number);
        for path in redaction::damaged(disk, &dir, log) {
            self.fault(&path, 0, "a redaction under way", "a file that does not read");
        }
    }

    /// Notes the events of an erasable block.
    pub(super) fn erasable_block(&mut self, item: &BlockItem, block: &[u8]) {
        let seen = self.redactions.channels.entry(item.channel.clone()).or_insert_with(|| Seen {
            from: item.first_seq.0,
            erased: Ranges::default(),
            recorded: Ranges::default(),
        });
        let mut cursor = Cursor::new(block);
        let events = item.first_seq.0..item.first_seq.0 + u64::from(item.events);
        for seq in events {
            // What does not decode has another hash, too.
            let Ok(salted) = Salted::decode(&mut cursor) else { return };
            if salted.redacted {
                seen.erased.add(seq..seq + 1);
                self.report.redacted += 1;
            }
        }
    }

    /// Checks that what a record says was taken out, of the events that are kept. Log state has taken the record.
    pub(super) fn redaction(&mut self, path: &Path, offset: u64, record: &RedactionRecord, number: u64) {
        let Some(seen) = self.redactions.channels.get_mut(&record.channel) else { return };
        record.ranges.iter().for_each(|range| seen.recorded.add(range.clone()));
        if self.redactions.under_way == Some(number) || !self.state.holes.is_empty() {
            return;
        }
        let kept = record.ranges.iter().map(|range| range.start.max(seen.from)..range.end);
        if let Some(seq) = kept.into_iter().find_map(|range| seen.erased.first_missing(range)) {
            let expected = format!("event {seq} of channel {} taken out, as this entry says", record.channel);
            self.fault(path, offset, expected, "its content");
        }
    }

    /// Checks that nothing was taken out without a record.
    pub(super) fn check_redactions(&mut self) {
        if self.stopped || !self.state.holes.is_empty() {
            return;
        }
        let unrecorded = |(name, seen): (&ChannelName, &Seen)| {
            let seq = seen.erased.iter().find_map(|range| seen.recorded.first_missing(range))?;
            Some(Fault {
                file: self.log_dir.clone(),
                offset: 0,
                expected: format!("event {seq} of channel {name}, or a record that it was redacted"),
                found: "neither".to_owned(),
            })
        };
        let faults: Vec<_> = self.redactions.channels.iter().filter_map(unrecorded).collect();
        self.report.faults.extend(faults);
    }
}
