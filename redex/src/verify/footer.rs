//! Footers: what they say of a segment is what it holds.

use std::path::Path;

use base::Hash;

use super::Verifier;
use crate::codec::Malformed;
use crate::codec::footer::Footer;
use crate::frames::Frame;

impl Verifier<'_> {
    /// Checks that a footer says what the segment holds.
    pub(super) fn footer(&mut self, path: &Path, frame: &Frame<'_>, found: Result<Footer, Malformed>) {
        let own = std::mem::take(&mut self.index);
        let damaged = self.segment_faults != self.report.faults.len();
        if let Ok(footer) = &found
            && !damaged
        {
            if own.footer(footer.standing, self.first_index, footer.references.clone()) != *footer {
                let expected = format!("a footer of {} entries and {} events", own.entries, own.events);
                let found = format!("one of {} entries and {} events", footer.entries, footer.events);
                self.fault(path, frame.offset, expected, found);
            }
            if let Some(listed) = &footer.references {
                self.listed(path, frame, listed);
            }
        }
        self.standing(path, frame, found.map(|footer| footer.standing));
    }

    /// Checks that a footer lists what the segment's events refer to.
    fn listed(&mut self, path: &Path, frame: &Frame<'_>, listed: &[Hash]) {
        let own = self.references.list();
        if own.as_deref() == Some(listed) {
            return;
        }
        let own = own.unwrap_or_default();
        let (expected, found) = match own.iter().find(|hash| listed.binary_search(hash).is_err()) {
            Some(missing) => (format!("a footer that lists blob {missing}"), "one without it".to_owned()),
            None => {
                let other = listed.iter().find(|hash| own.binary_search(hash).is_err());
                let other = other.map_or_else(|| "none".to_owned(), ToString::to_string);
                (format!("a footer that lists {} blobs", own.len()), format!("one with blob {other}, too"))
            }
        };
        self.fault(path, frame.offset, expected, found);
    }
}
