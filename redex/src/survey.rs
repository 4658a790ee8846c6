//! What the whole frames of a damaged segment tell about the places in between.

use std::collections::{BTreeMap, BTreeSet};

use base::{ChannelName, Position, Seq};

use crate::codec::entry;
use crate::codec::frame::FrameKind;
use crate::frames::{Frame, SegmentBytes, testimony};

/// The whole frames of a segment from some offset on, read once.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Offset of each frame, and the highest position that it or a later one testifies to be synced.
    frames: Vec<(u64, Position)>,
    /// Where each channel is mentioned, by offset.
    mentions: BTreeMap<ChannelName, Vec<(u64, Mention)>>,
}

/// What an entry says first of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mention {
    /// It is created here.
    Created,
    /// Its next event has this number.
    At(Seq),
}

impl Survey {
    /// Reads every whole frame behind `offset`.
    pub(crate) fn behind(segment: SegmentBytes<'_>, offset: u64) -> Self {
        let mut survey = Self { frames: Vec::new(), mentions: BTreeMap::new() };
        let mut next = segment.next_valid(offset);
        while let Some(frame) = next {
            survey.frames.push((frame.offset, testimony(&frame.header)));
            survey.note_mentions(&frame);
            next = segment.frame(frame.end()).ok().or_else(|| segment.next_valid(frame.offset));
        }
        let mut highest = Position::ZERO;
        for (_, testified) in survey.frames.iter_mut().rev() {
            highest = highest.max(*testified);
            *testified = highest;
        }
        survey
    }

    fn note_mentions(&mut self, frame: &Frame<'_>) {
        if frame.header.kind != FrameKind::Entry {
            return;
        }
        let Ok(body) = frame.body() else { return };
        let Ok(parts) = entry::decode(&body) else { return };
        let mut known = BTreeSet::new();
        for control in parts.head.controls {
            if let Some((name, _)) = control.begins()
                && known.insert(name.clone())
            {
                self.mentions.entry(name.clone()).or_default().push((frame.offset, Mention::Created));
            }
        }
        for block in parts.head.blocks {
            if known.insert(block.channel.clone()) {
                let mention = (frame.offset, Mention::At(block.first_seq));
                self.mentions.entry(block.channel).or_default().push(mention);
            }
        }
    }

    /// Returns the highest position that a frame behind `offset` testifies to be synced.
    pub(crate) fn testified_behind(&self, offset: u64) -> Position {
        let first = self.frames.partition_point(|(at, _)| *at <= offset);
        self.frames.get(first).map_or(Position::ZERO, |(_, testified)| *testified)
    }

    /// Returns the channels that entries from `offset` on write to before they create them, each with the number
    /// of its next event there, and `None` for those that they create.
    pub(crate) fn mentioned_from(&self, offset: u64) -> BTreeMap<&ChannelName, Option<Seq>> {
        let first = |mentions: &[(u64, Mention)]| {
            mentions.get(mentions.partition_point(|(at, _)| *at < offset)).map(|(_, mention)| *mention)
        };
        let all = self.mentions.iter();
        all.filter_map(|(name, mentions)| {
            first(mentions).map(|mention| match mention {
                Mention::Created => (name, None),
                Mention::At(seq) => (name, Some(seq)),
            })
        })
        .collect()
    }
}
