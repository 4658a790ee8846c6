//! Index files: read, and made of chosen entries.

use base::{Index, Seq, Timestamp};

use super::{Accepted, Choices, OWNER};
use crate::index::file::{self, BLOCK_BYTES};
use crate::index::{SegmentIndex, Target};

pub(super) fn read(bytes: &[u8]) -> Option<Accepted> {
    let whole = file::is_whole(bytes, OWNER);
    let _ = file::decode_block(bytes);
    let directory = file::decode_directory(bytes, OWNER, bytes.len() as u64).ok();
    assert!(!whole || directory.is_some(), "a whole index has a directory");
    let directory = directory?;
    assert_eq!(bytes[56..60], [0; 4], "reserved bytes are zero");
    for list in &directory.lists {
        for point in [0, 1, 127, list.points.saturating_sub(1), list.points] {
            let (block, within) = list.place(point);
            let part = list.part(block);
            assert!(within < 127 && part.within.end <= 127);
            assert!(point >= list.points || part.first + within - part.within.start == point);
        }
        for target in [Target::Seq(0), Target::Seq(9), Target::Seq(u64::MAX)] {
            let _ = list.block_of(target);
        }
    }
    // It is made of the segment, never of itself.
    Some(Accepted { used: bytes.len(), again: bytes.to_vec(), canonical: true })
}

pub(super) fn make(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut index = SegmentIndex::default();
    let (entries, grain) = (choices.below(400) as u64, choices.below(40_000) as u64);
    for entry in 0..entries {
        let mut item = choices.block(1);
        item.first_seq = Seq(entry);
        index.add(Index(entry), 1024 + entry * grain, Timestamp::from_nanos(0), &[item]);
    }
    let bytes = file::encode(OWNER, &index);
    assert!(file::is_whole(&bytes, OWNER), "what was encoded is read");
    let directory = file::decode_directory(&bytes, OWNER, bytes.len() as u64).expect("it is whole");
    assert_eq!((directory.entries, directory.events), (index.entries, index.events));
    for list in &directory.lists {
        let points = match &list.channel {
            None => &index.points,
            Some(name) => &index.channels[name].points,
        };
        assert_eq!(list.points, points.len());
        for (at, point) in points.iter().enumerate() {
            let (block, within) = list.place(at);
            let offset = usize::try_from(directory.block_offset(list, block)).expect("it is in memory");
            let block = file::decode_block(&bytes[offset..offset + BLOCK_BYTES]).expect("it is whole");
            assert_eq!(block[within], *point);
        }
    }
    bytes
}
