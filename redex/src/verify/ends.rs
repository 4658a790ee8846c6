//! Where a log and its segments begin and end.

use std::path::Path;

use base::{Disk, Index, OpenMode, Position};

use super::Verifier;
use crate::codec::local::LocalState;
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, Truncation};

/// What the segments of a log cut off of each other; all that is known of an end without a footer.
pub(super) struct Truncations {
    /// The cuts, and the numbers and first indexes of the segments that made them.
    truncations: Vec<(Truncation, u64, Index)>,
}

impl Truncations {
    pub(super) fn read(disk: &dyn Disk, dir: &Path, segments: &[(u64, Index)]) -> Self {
        let truncation = |(number, first_index): &(u64, Index)| {
            let file = disk.open(&dir.join(segment_header::file_name(*number, *first_index)), OpenMode::Read);
            let bytes = base::read_to_end(&*file.ok()?, SEGMENT_HEADER_BYTES).ok()?;
            let (header, _) = segment_header::decode(&bytes).ok()?;
            header.truncation.map(|truncation| (truncation, *number, *first_index))
        };
        Self { truncations: segments.iter().filter_map(truncation).collect() }
    }

    /// Tells whether a segment was cut off as a whole, and its removal was cut short.
    pub(super) fn is_gone(&self, number: u64, first_index: Index) -> bool {
        self.truncations.iter().any(|(truncation, by, from)| {
            number < *by && (number > truncation.segment || first_index >= *from)
        })
    }

    /// Returns where a segment ends that another one cut off.
    pub(super) fn end_of(&self, number: u64) -> Option<u64> {
        self.truncations
            .iter()
            .find(|(truncation, ..)| truncation.segment == number)
            .map(|(truncation, ..)| truncation.offset)
    }
}

impl Verifier<'_> {
    pub(super) fn note_local(&mut self, local: &LocalState) {
        let purged = local.purged.map_or(Position::ZERO, |slot| slot.index.position_after());
        self.purged = self.purged.max(purged);
    }

    /// A log that does not begin with its first entry says so.
    pub(super) fn check_beginning(&mut self) {
        let (begins, trimmed) = (self.report.begins, self.state.trimmed.max(self.purged));
        if begins > trimmed {
            let dir = self.log_dir.clone();
            self.fault(
                &dir,
                0,
                format!("a segment that begins at entry {trimmed}"),
                format!("none below entry {begins}"),
            );
        }
    }

    /// Whatever was synced was signed before: an end without signature that claims to be synced is no crash's.
    pub(super) fn check_signed_end(&mut self) {
        if let Some(unsigned) = self.unsigned.filter(|unsigned| self.testified.includes(*unsigned)) {
            let dir = self.log_dir.clone();
            let expected = format!("a signature that covers entry {unsigned}");
            self.fault(&dir, 0, expected, "none behind it");
        }
    }
}
