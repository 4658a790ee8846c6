//! How much room the keys of a keyed log take in its state frames, with what is staged.

use crate::codec::event;
use crate::keyed::record_bytes;
use crate::outcome::Rejection;
use crate::request::AppendRequest;
use crate::state::LogState;

/// Bytes of the newest records of all keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyedRoom {
    /// At most, once what was taken to be written is.
    taken: u64,
    /// What is staged beside.
    staged: u64,
}

impl KeyedRoom {
    pub(super) fn of(state: &LogState) -> Option<Self> {
        state.keyed.as_ref().map(|keyed| Self { taken: keyed.bytes(), staged: 0 })
    }

    /// Notes that everything staged was taken to be written.
    pub(super) fn take(&mut self) {
        self.taken += std::mem::take(&mut self.staged);
    }

    /// Notes what keys hold once everything that was taken is written.
    pub(super) fn note(&mut self, written: &LogState) {
        if let Some(keyed) = &written.keyed {
            self.taken = keyed.bytes();
        }
    }

    /// Refuses a request whose events find no room, or counts them.
    pub(super) fn refuse(&mut self, request: &AppendRequest<'_>, max: u64) -> Option<Rejection> {
        let events =
            request.parts.iter().flat_map(|part| part.events.iter().map(|event| (part.channel, event)));
        let bytes: u64 = events
            .filter(|(_, event)| !event.payload.is_empty())
            .map(|(channel, event)| record_bytes(channel, event::encoded_bytes(event)))
            .sum();
        let whole = self.taken + self.staged + bytes;
        if bytes > 0 && whole > max {
            return Some(Rejection::KeysFull { bytes: whole, max });
        }
        self.staged += bytes;
        None
    }
}
