//! Reading single events by number, in whichever log they are.

use base::Seq;

use super::StoreView;
use crate::error::ReadError;
use crate::{EventRef, HeldEvent, Lookup};

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

    /// Returns an event, borrowed from what holds it; `None` when the channel has none of the number as of the cut.
    ///
    /// # Errors
    ///
    /// As [`Lookup::event`].
    pub fn event(&mut self, seq: Seq) -> Result<Option<EventRef<'_>>, ReadError> {
        self.part_of(seq).map_or(Ok(None), |lookup| lookup.event(seq))
    }

    /// Returns an event together with what holds it; `None` as above.
    ///
    /// # Errors
    ///
    /// As [`Lookup::get`].
    pub fn get(&mut self, seq: Seq) -> Result<Option<HeldEvent>, ReadError> {
        self.part_of(seq).map_or(Ok(None), |lookup| lookup.get(seq))
    }

    fn part_of(&mut self, seq: Seq) -> Option<&mut Lookup> {
        let behind = self.parts.partition_point(|(first, _)| *first <= seq);
        self.parts.get_mut(behind.checked_sub(1)?).map(|(_, lookup)| lookup)
    }
}
