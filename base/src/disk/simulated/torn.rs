//! Builds the image of a crash that tears pending operations apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::image::{Contents, Image, Inode};
use super::pending::Pending;

/// What a device writes as a whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Applies what survives of `pending` to `durable`.
///
/// `survives` is asked, with the operation's place in `pending`, once for each sector of a write and once for
/// each other operation.
pub(super) fn apply(durable: &Image, pending: &[Pending], mut survives: impl FnMut(usize) -> bool) -> Image {
    let mut image = durable.clone();
    let mut torn_files: BTreeMap<Inode, TornFile> = BTreeMap::new();
    let mut lost_paths: BTreeSet<&Path> = BTreeSet::new();
    for (place, change) in pending.iter().enumerate() {
        if let Some(inode) = change.inode() {
            let torn = torn_files.entry(inode).or_insert_with(|| TornFile::new(&image, inode));
            torn.apply(change, || survives(place));
        } else if survives(place) && !change.paths().any(|path| lost_paths.contains(path)) {
            image.apply(change).expect("a change of names changes no length");
        } else {
            lost_paths.extend(change.paths());
        }
    }
    for (inode, torn) in torn_files {
        image.replace(inode, torn.left);
    }
    image
}

/// A file of which the cache holds everything and the device only what survives.
struct TornFile {
    cached: Contents,
    left: Contents,
    /// For each sector, how far into the file the pending writes reach that touch it.
    written_ends: BTreeMap<u64, u64>,
}

impl TornFile {
    fn new(image: &Image, inode: Inode) -> Self {
        let durable = image.contents(inode).cloned().unwrap_or_default();
        Self { cached: durable.clone(), left: durable, written_ends: BTreeMap::new() }
    }

    fn apply(&mut self, change: &Pending, mut survives: impl FnMut() -> bool) {
        match change {
            Pending::Write { bytes, offset, .. } => self.write(bytes, *offset, survives),
            Pending::SetLength { bytes, .. } => self.set_length(*bytes, survives()),
            Pending::Create { .. } | Pending::Rename { .. } | Pending::Remove { .. } => {}
        }
    }

    fn write(&mut self, bytes: &[u8], offset: u64, mut survives: impl FnMut() -> bool) {
        self.cached.write_at(bytes, offset).expect("what programs already see is not too large");
        let end = offset + bytes.len() as u64;
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let written_end = self.written_ends.entry(sector).or_default();
            *written_end = end.max(*written_end);
            let reach = *written_end;
            if survives() {
                self.flush(sector, reach);
            }
        }
    }

    /// Brings a sector from the cache to the device; the file is extended as far as writes reached into it.
    fn flush(&mut self, sector: u64, written_end: u64) {
        let start = sector * SECTOR_BYTES;
        let mut bytes = [0; SECTOR_BYTES as usize];
        self.cached.read_at(&mut bytes, start);
        let length = self.left.length().max(written_end);
        let count = (length - start).min(SECTOR_BYTES) as usize;
        self.left.write_at(&bytes[..count], start).expect("the cached file is not too large");
    }

    fn set_length(&mut self, bytes: u64, survives: bool) {
        self.cached.set_length(bytes).expect("what programs already see is not too large");
        self.written_ends.values_mut().for_each(|end| *end = bytes.min(*end));
        if survives {
            self.left.set_length(bytes).expect("what programs already see is not too large");
        }
    }
}

/// A repeatable source of decisions: the splitmix64 sequence.
pub(super) struct Coin {
    state: u64,
    /// How many of eight tosses are won, on average.
    wins_of_eight: u64,
}

impl Coin {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, wins_of_eight: 4 }
    }

    /// Lets the seed choose how often tosses are won: from one to seven times in eight.
    pub(super) fn biased(seed: u64) -> Self {
        let mut coin = Self::new(seed);
        coin.wins_of_eight = 1 + coin.next() % 7;
        coin
    }

    pub(super) fn toss(&mut self) -> bool {
        self.next() % 8 < self.wins_of_eight
    }

    /// Draws a number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Inode = Inode(0);

    fn write(bytes: &[u8], offset: u64) -> Pending {
        Pending::Write { inode: FILE, offset, bytes: bytes.into() }
    }

    fn cut(bytes: u64) -> Pending {
        Pending::SetLength { inode: FILE, bytes }
    }

    /// Returns what is left of an empty file when only the last operation survives.
    fn left_by_the_last(pending: &[Pending]) -> Vec<u8> {
        let mut durable = Image::default();
        durable.tree.insert("a".into(), FILE);
        let image = apply(&durable, pending, |place| place + 1 == pending.len());
        image.read_all(Path::new("a")).unwrap()
    }

    #[test]
    fn a_sector_brings_along_what_earlier_writes_put_there() {
        assert_eq!(left_by_the_last(&[write(b"aaaa", 0), write(b"b", 1)]), b"abaa");
        let left = left_by_the_last(&[write(&[b'a'; 600], 0), write(b"b", 599)]);
        assert_eq!((left.len(), left[511], left[512], left[599]), (600, 0, b'a', b'b'));
    }

    #[test]
    fn a_sector_does_not_bring_along_what_was_cut_off_before() {
        assert_eq!(left_by_the_last(&[write(b"aaaa", 0), cut(1), write(b"b", 3)]), b"a\0\0b");
        assert_eq!(left_by_the_last(&[write(&[b'a'; 400], 0), cut(2), write(b"b", 0)]), b"ba");
        let left = left_by_the_last(&[write(&[b'a'; 900], 0), cut(2), write(b"b", 520)]);
        assert_eq!((left.len(), left[520]), (521, b'b'));
    }

    #[test]
    fn the_seed_decides_how_much_survives() {
        let wins = |seed| {
            let mut coin = Coin::biased(seed);
            (0..800).filter(|_| coin.toss()).count()
        };
        let wins: Vec<_> = (0..50).map(wins).collect();
        assert!(wins.iter().any(|wins| *wins < 150) && wins.iter().any(|wins| *wins > 650), "{wins:?}");
    }

    #[test]
    fn numbers_below_a_bound_are_all_drawn() {
        let mut coin = Coin::new(1);
        let drawn: BTreeSet<_> = (0..200).map(|_| coin.below(7)).collect();
        assert_eq!(drawn, (0..7).collect());
    }
}
