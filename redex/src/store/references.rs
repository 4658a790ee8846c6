//! Visiting everything that the entries of a node's logs refer to.

use std::path::Path;

use base::Hash;

use super::logs::log_names;
use super::reader::{StoreReader, open_beside, read_error};
use crate::LogReader;
use crate::error::ReadError;

impl StoreReader {
    /// Visits what the events of all logs of the node refer to, each hash at least once, as
    /// [`LogReader::blob_references`] does for one log. Replicas count whether they are attached or not; one that was given
    /// up does not.
    ///
    /// # Errors
    ///
    /// As [`LogReader::blob_references`]; nothing may be taken for unused by what was visited until then.
    pub fn blob_references(&self, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        self.visit_references(&mut |log| log.blob_references(visit))
    }

    /// Visits as [`blob_references`](Self::blob_references) does, but passes over the entries that are known to be lost,
    /// whatever they referred to.
    ///
    /// # Errors
    ///
    /// As [`LogReader::blob_references_beside_holes`].
    pub fn blob_references_beside_holes(&self, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        self.visit_references(&mut |log| log.blob_references_beside_holes(visit))
    }

    fn visit_references(
        &self,
        of_log: &mut dyn FnMut(&LogReader) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.refresh()?;
        let known = self.logs();
        for log in &known {
            match of_log(log) {
                // It was given up meanwhile.
                Err(_) if log.is_gone() => {}
                visited => visited?,
            }
        }
        self.unattached(&known)?.iter().try_for_each(of_log)
    }

    /// Opens the logs that the directory holds and nobody has attached, or not yet.
    fn unattached(&self, known: &[LogReader]) -> Result<Vec<LogReader>, ReadError> {
        let segments = &self.main().shared.segments;
        let dir = segments.dir.ancestors().nth(2).unwrap_or(Path::new(""));
        let names = log_names(dir, &*segments.disk).map_err(read_error)?;
        let others = names.iter().filter(|name| known.iter().all(|log| log.name() != name.as_str()));
        others
            .map(|name| open_beside(dir, name.as_str(), &segments.disk, self.clock(), 0))
            .collect::<Result<_, _>>()
            .map_err(read_error)
    }
}
