//! All logs of a node as of one cut.

use std::collections::VecDeque;

use base::{ChannelName, LogId, Position, Seq};

use super::{StoreLookup, StoreScan};
use crate::error::ReadError;
use crate::{ChannelInfo, Channels, Event, LogName, LogView, Selection};

/// The logs of a node, each at one position. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct StoreView {
    views: Vec<LogView>,
}

/// A channel as of a cut: the logs that have parts of it, the oldest part first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelHistory {
    /// The parts; the channel lives where the last one is.
    pub parts: Vec<ChannelPart>,
}

/// What one log has of a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelPart {
    /// The log's name.
    pub log: String,
    /// The log's id.
    pub id: LogId,
    /// The channel there.
    pub info: ChannelInfo,
}

impl StoreView {
    /// Makes one cut of views of a node's logs. Where one shows that a channel came from another log, and the view of
    /// that log does not show all that the channel had there, it is taken back to before.
    pub fn of(mut views: Vec<LogView>) -> Self {
        align(&mut views);
        Self { views }
    }

    /// Returns the views of all logs.
    pub fn logs(&self) -> &[LogView] {
        &self.views
    }

    /// Returns the view of a log by its name; `None` when there is none.
    pub fn log(&self, name: &LogName) -> Option<&LogView> {
        self.views.iter().find(|view| view.name() == name.as_str())
    }

    /// Returns the cut: the position of each log.
    pub fn cut(&self) -> Vec<(LogId, Position)> {
        self.views.iter().map(|view| (view.id(), view.position())).collect()
    }

    /// Returns a channel, wherever parts of it are; `None` when there is none of the name.
    ///
    /// # Errors
    ///
    /// As [`LogView::channel`].
    pub fn channel(&self, name: &ChannelName) -> Result<Option<ChannelHistory>, ReadError> {
        let mut parts = Vec::new();
        for view in &self.views {
            parts.extend(view.channel(name)?.map(|info| ChannelPart::of(view, info)));
        }
        Ok(ChannelHistory::of(parts))
    }

    /// Returns all channels, sorted by name.
    ///
    /// # Errors
    ///
    /// As [`LogView::channels`].
    pub fn channels(&self) -> Result<Vec<ChannelHistory>, ReadError> {
        let mut parts = Vec::new();
        for view in &self.views {
            parts.extend(view.channels()?.into_iter().map(|info| ChannelPart::of(view, info)));
        }
        parts.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let same = |a: &ChannelPart, b: &ChannelPart| a.info.name == b.info.name;
        Ok(parts.chunk_by(same).filter_map(|parts| ChannelHistory::of(parts.to_vec())).collect())
    }

    /// Returns a reader of single events of a channel by number; for a channel that is not there it finds none.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn lookup(&self, channel: &ChannelName) -> Result<StoreLookup, ReadError> {
        StoreLookup::new(self, channel)
    }

    /// Starts reading selected events: those of one log in its order, those of several in the order of recording, in
    /// which the events of each channel are in their order. `indexes` of the selection applies to each log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when an index cannot be read.
    pub fn scan(&self, selection: &Selection) -> Result<StoreScan, ReadError> {
        let wanted = |view: &&LogView| match &selection.channels {
            Channels::All => view.position() > Position::ZERO,
            Channels::Names(names) => names.iter().any(|name| view.has(name)),
        };
        let mut views: Vec<&LogView> = self.views.iter().filter(wanted).collect();
        if let Some(name) = selection.only_channel().filter(|_| views.len() > 1) {
            let ordered =
                views.into_iter().map(|view| Ok((view.channel(name)?.map(|info| info.part_order()), view)));
            let mut ordered = ordered.collect::<Result<Vec<_>, ReadError>>()?;
            ordered.sort_by(|(a, _), (b, _)| a.cmp(b));
            views = ordered.into_iter().map(|(_, view)| view).collect();
        }
        StoreScan::new(&views, selection)
    }

    /// Reads selected events as owned values, in the order of [`scan`](Self::scan).
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan); the items as [`Scan::next_chunk`](crate::Scan::next_chunk).
    pub fn read(
        &self,
        selection: &Selection,
    ) -> Result<impl Iterator<Item = Result<Event, ReadError>> + use<>, ReadError> {
        let mut scan = self.scan(selection)?;
        let masks: Vec<_> = self.views.iter().map(LogView::masks).collect();
        let mut ready: VecDeque<Event> = VecDeque::new();
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            while ready.is_empty() && !failed {
                match scan.next_chunk() {
                    Ok(Some(chunk)) => ready.extend(chunk.events().map(|event| event.to_event())),
                    Ok(None) => return None,
                    Err(error) => {
                        failed = true;
                        return Some(Err(error));
                    }
                }
            }
            let event = ready.pop_front()?;
            // It may have been redacted since its chunk was read.
            let redacted = masks.iter().any(|masks| masks.has(&event.channel, event.seq));
            Some(Ok(if redacted { event.into_redacted() } else { event }))
        }))
    }
}

/// Takes views back until each shows only channels that came from logs of which enough is shown. Positions only go
/// down, so this ends.
fn align(views: &mut [LogView]) {
    loop {
        let shown = |id: LogId| views.iter().find(|view| view.id() == id).map(LogView::position);
        let too_early = views.iter().enumerate().find_map(|(place, view)| {
            let mut arrivals = view.arrivals();
            let early = arrivals.find(|(_, arrived, _)| {
                shown(arrived.from.id).is_some_and(|position| position < arrived.position)
            });
            early.map(|(_, _, index)| (place, Position(index.0)))
        });
        let Some((place, position)) = too_early else { return };
        views[place] = views[place].at(position);
    }
}

impl ChannelPart {
    fn of(view: &LogView, info: ChannelInfo) -> Self {
        Self { log: view.name().to_owned(), id: view.id(), info }
    }
}

impl ChannelHistory {
    fn of(mut parts: Vec<ChannelPart>) -> Option<Self> {
        parts.sort_by_key(|part| part.info.part_order());
        (!parts.is_empty()).then_some(Self { parts })
    }

    /// Returns the part that takes events.
    pub fn living(&self) -> &ChannelPart {
        self.parts.last().expect("a channel has a part")
    }

    /// Returns the channel's name.
    pub fn name(&self) -> &ChannelName {
        &self.living().info.name
    }

    /// Returns the number of the channel's first event that is kept.
    pub fn first_seq(&self) -> Seq {
        let kept = self.parts.iter().find(|part| part.info.first_seq < part.info.next_seq);
        kept.unwrap_or(self.living()).info.first_seq
    }

    /// Returns the number that the channel's next event gets.
    pub fn next_seq(&self) -> Seq {
        self.living().info.next_seq
    }
}
