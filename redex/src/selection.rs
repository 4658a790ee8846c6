//! Which events a reader wants.

use base::{ChannelName, Timestamp};

/// Which channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Channels {
    /// All but those of the database itself (`sys/...`).
    #[default]
    All,
    /// These, in no particular order.
    Names(Vec<ChannelName>),
}

/// A half-open range; a missing end is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The first value inside.
    pub from: Option<T>,
    /// The first value beyond.
    pub to: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { from: None, to: None }
    }
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Makes the range of all values from `from` on.
    pub fn from(from: T) -> Self {
        Self { from: Some(from), to: None }
    }

    /// Makes the range from `from` to below `to`.
    pub fn between(from: T, to: T) -> Self {
        Self { from: Some(from), to: Some(to) }
    }

    /// Tells whether `value` lies inside.
    pub fn contains(&self, value: T) -> bool {
        self.from.is_none_or(|from| value >= from) && self.to.is_none_or(|to| value < to)
    }

    /// Tells whether no value can lie inside.
    pub fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from >= to)
    }
}

/// Which events a reader wants, and in which order; every part narrows.
///
/// # Examples
///
/// ```
/// let flights = base::ChannelName::new("flights")?;
/// let newest = redex::Selection { last: Some(10), ..redex::Selection::channel(&flights) };
/// # Ok::<(), base::ChannelNameError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Which channels.
    pub channels: Channels,
    /// Which numbers in the channel; for several channels, in each of them.
    pub seqs: Bounds<u64>,
    /// Which entries, by index.
    pub indexes: Bounds<u64>,
    /// When the sequencer put them in order.
    pub recorded: Bounds<Timestamp>,
    /// Which kinds; `None` is any.
    pub kinds: Option<Vec<String>>,
    /// Which keys; `None` is any, and none at all.
    pub keys: Option<Vec<String>>,
    /// Newest first.
    pub reverse: bool,
    /// At most so many.
    pub limit: Option<u64>,
    /// Only the newest so many of what is selected otherwise, in ascending order (or newest first, with
    /// `reverse`).
    pub last: Option<u64>,
    /// Whether to read on over entries that were lost to corruption, instead of failing there.
    pub skip_holes: bool,
}

impl Selection {
    /// Selects all events of one channel.
    pub fn channel(name: &ChannelName) -> Self {
        Self { channels: Channels::Names(vec![name.clone()]), ..Self::default() }
    }

    /// Tells whether a channel is wanted.
    pub(crate) fn wants(&self, channel: &ChannelName) -> bool {
        match &self.channels {
            Channels::All => !channel.is_system(),
            Channels::Names(names) => names.contains(channel),
        }
    }

    /// Returns the channel if exactly one is wanted.
    pub(crate) fn only_channel(&self) -> Option<&ChannelName> {
        match &self.channels {
            Channels::Names(names) if names.len() == 1 => names.first(),
            _ => None,
        }
    }
}
