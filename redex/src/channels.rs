//! The channels that readers see, by name and by slot.
//!
//! Views share them with whoever publishes the next state. What changes with every commit, the channels' next numbers,
//! is kept apart, so that a commit beside a view copies little, however many channels there are.

use std::hash::BuildHasher;
use std::sync::Arc;

use base::{ChannelName, Index, Seq};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::state::{ChannelState, LogState};

/// Channels whose numbers are copied together.
const CHUNK_CHANNELS: usize = 64;
/// Parts of the names, one of which is copied when a channel is added beside a view.
const NAME_PARTS: usize = 64;

/// Channels by slot, their place in the order of creation. Cloning shares everything; what is changed then is copied.
#[derive(Debug, Clone)]
pub(crate) struct VisibleChannels {
    chunks: Arc<Vec<Arc<Chunk>>>,
    /// Slots by name, in parts by the name's hash.
    names: Arc<Vec<Arc<FxHashMap<ChannelName, usize>>>>,
}

#[derive(Debug, Clone)]
struct Chunk {
    next: [Seq; CHUNK_CHANNELS],
    about: Arc<Vec<About>>,
}

/// What is known of a channel beside its next number.
#[derive(Debug, Clone)]
struct About(ChannelState);

impl VisibleChannels {
    pub(crate) fn empty() -> Self {
        Self { chunks: Arc::default(), names: Arc::new(vec![Arc::default(); NAME_PARTS]) }
    }

    pub(crate) fn of<'a>(channels: impl IntoIterator<Item = &'a ChannelState>) -> Self {
        let mut all = Self::empty();
        channels.into_iter().for_each(|channel| all.push(channel.clone()));
        all
    }

    /// Returns how many channels there are, which is the next one's slot.
    pub(crate) fn count(&self) -> usize {
        let before = self.chunks.len().saturating_sub(1) * CHUNK_CHANNELS;
        self.chunks.last().map_or(0, |chunk| before + chunk.about.len())
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<ChannelState> {
        self.names[part_of(name)].get(name).map(|slot| self.at(*slot))
    }

    /// Returns the index of the entry that created a channel.
    pub(crate) fn created_index(&self, name: &ChannelName) -> Option<Index> {
        let slot = *self.names[part_of(name)].get(name)?;
        let About(channel) = &self.chunks[slot / CHUNK_CHANNELS].about[slot % CHUNK_CHANNELS];
        Some(channel.created_index)
    }

    /// Returns all channels, sorted by name.
    pub(crate) fn by_name(&self) -> Vec<ChannelState> {
        let mut channels: Vec<_> = (0..self.count()).map(|slot| self.at(slot)).collect();
        channels.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        channels
    }

    fn at(&self, slot: usize) -> ChannelState {
        let chunk = &self.chunks[slot / CHUNK_CHANNELS];
        let (place, About(channel)) = (slot % CHUNK_CHANNELS, &chunk.about[slot % CHUNK_CHANNELS]);
        ChannelState { next: chunk.next[place], ..channel.clone() }
    }

    /// Adds a channel.
    pub(crate) fn push(&mut self, channel: ChannelState) {
        let slot = self.count();
        let names = &mut Arc::make_mut(&mut self.names)[part_of(&channel.name)];
        Arc::make_mut(names).insert(channel.name.clone(), slot);
        if slot.is_multiple_of(CHUNK_CHANNELS) {
            let chunk = Chunk { next: [Seq::ZERO; CHUNK_CHANNELS], about: Arc::default() };
            Arc::make_mut(&mut self.chunks).push(Arc::new(chunk));
        }
        let chunk = self.chunk(slot);
        chunk.next[slot % CHUNK_CHANNELS] = channel.next;
        Arc::make_mut(&mut chunk.about).push(About(channel));
    }

    /// Takes over from log state that a channel came to `next`. It may be new, and others before it, of which more
    /// is to be told.
    pub(crate) fn tell(&mut self, state: &LogState, slot: usize, next: Seq) {
        for slot in self.count()..=slot {
            let channel = state.channel(slot);
            self.push(ChannelState { next: channel.base, ..channel.clone() });
        }
        self.chunk(slot).next[slot % CHUNK_CHANNELS] = next;
        if let Some(moved) = &state.channel(slot).moved {
            self.change(slot, |channel| channel.moved = Some(moved.clone()));
        }
    }

    /// Changes a channel in anything but its name.
    pub(crate) fn change(&mut self, slot: usize, change: impl FnOnce(&mut ChannelState)) {
        let mut channel = self.at(slot);
        change(&mut channel);
        let (chunk, place) = (self.chunk(slot), slot % CHUNK_CHANNELS);
        chunk.next[place] = channel.next;
        Arc::make_mut(&mut chunk.about)[place] = About(channel);
    }

    fn chunk(&mut self, slot: usize) -> &mut Chunk {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[slot / CHUNK_CHANNELS])
    }
}

fn part_of(name: &ChannelName) -> usize {
    // The low bits of this hash tell little.
    (FxBuildHasher.hash_one(name) >> 32) as usize % NAME_PARTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::Timestamp;

    use super::*;
    use crate::ChannelConfig;

    fn channel(number: usize) -> ChannelState {
        ChannelState {
            name: ChannelName::new(&format!("orders/{number}")).unwrap(),
            base: Seq(number as u64 % 3),
            next: Seq(number as u64 % 3),
            created_at: Timestamp::from_nanos(0),
            created_index: Index(number as u64),
            config: ChannelConfig::default(),
            moved: None,
            arrived: None,
        }
    }

    #[test]
    fn clones_stay_as_they_were_and_all_agree_with_a_map() {
        let (mut state, mut all) = (LogState::default(), VisibleChannels::empty());
        let mut twin: BTreeMap<ChannelName, ChannelState> = BTreeMap::new();
        let mut kept = Vec::new();
        for step in 0..600_usize {
            // Every third step makes a channel; readers are told of some channel, which may be newer than others that are new.
            if step % 3 == 0 {
                state.insert_channel(channel(step / 3));
            }
            let slot = (step * 7919) % state.channels().len();
            let next = state.take_seqs(slot, 5).plus(5);
            all.tell(&state, slot, next);
            for known in &state.channels()[..=slot] {
                let fresh = ChannelState { next: known.base, ..known.clone() };
                twin.entry(known.name.clone()).or_insert(fresh);
            }
            twin.get_mut(&state.channel(slot).name).unwrap().next = next;
            if step % 50 == 0 {
                kept.push((all.clone(), twin.clone()));
            }
        }
        let last = all.count() - 1;
        all.change(last, |channel| channel.base = Seq(2));
        twin.get_mut(&state.channel(last).name).unwrap().base = Seq(2);
        kept.push((all, twin));
        for (all, twin) in kept {
            assert_eq!(all.by_name(), twin.values().cloned().collect::<Vec<_>>());
            assert!(twin.iter().all(|(name, channel)| all.get(name).as_ref() == Some(channel)));
            assert_eq!(all.get(&channel(999).name), None);
            assert_eq!(all.created_index(&channel(999).name), None);
            let created =
                |(name, channel): (&_, &ChannelState)| all.created_index(name) == Some(channel.created_index);
            assert!(twin.iter().all(created));
        }
    }
}
