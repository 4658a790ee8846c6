//! Reading single events by number, in whichever log they are.

use base::Seq;

use super::StoreView;
use crate::error::ReadError;
use crate::{HeldEvent, Lookup};

/// Reads single events of one channel by number, as of the cut that it was made of.
#[derive(Debug, Clone)]
pub struct StoreLookup {
    /// What each log has of the channel, by the number that it has first.
    parts: Vec<(Seq, Lookup)>,
}

impl StoreLookup {
    pub(super) fn new(view: &StoreView, channel: &base::ChannelName) -> Result<Self, ReadError> {
        let parts = view.channel(channel)?.map(|history| history.parts).unwrap_or_default();
        let lookup = |id| view.logs().iter().find(|log| log.id() == id).map(|log| log.lookup(channel));
        let parts = parts.iter().filter_map(|part| Some((part.info.first_seq, lookup(part.id)?))).collect();
        Ok(Self { parts })
    }

    /// Returns an event; `None` when the channel has none of the number as of the cut.
    ///
    /// # Errors
    ///
    /// As [`Lookup::get`].
    pub fn get(&mut self, seq: Seq) -> Result<Option<HeldEvent>, ReadError> {
        let behind = self.parts.partition_point(|(first, _)| *first <= seq);
        match behind.checked_sub(1).and_then(|place| self.parts.get_mut(place)) {
            Some((_, lookup)) => lookup.get(seq),
            None => Ok(None),
        }
    }
}
