//! Slices of blobs, from somebody who need not be trusted: what comes out is what the name says, or nothing.

use std::ops::Range;

use base::{Doors, Hash};
use blob::{BlobStore, Chunking, read_slice};
use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::blobs::{noise, tiny};
use netdb_fuzz::meter::within_bounds;

/// A blob, a range of it, and the slice.
struct Sample {
    hash: Hash,
    content: Vec<u8>,
    range: Range<u64>,
    slice: Vec<u8>,
}

/// Slices of blobs of one chunk, of a list, and of lists of lists.
fn samples() -> Vec<Sample> {
    let store = BlobStore::open("blobs".as_ref(), &Doors::memory()).expect("memory has room");
    let contents = [
        (Vec::new(), Chunking::Fixed, 0..0),
        (noise(1, 3), Chunking::Fixed, 1..2),
        (noise(2, 70_000), Chunking::Fixed, 20_000..40_000),
        (noise(3, 70_000), Chunking::Fixed, 0..0),
        (noise(4, 5_000), tiny(), 700..2_000),
        (noise(5, 3_500_000), tiny(), 1_000_000..1_000_700),
    ];
    let sample = |(content, chunking, range): (Vec<u8>, Chunking, Range<u64>)| {
        let hash = store.put(&content[..], chunking).expect("memory has room").hash;
        let mut slice = Vec::new();
        store.slice(&hash, range.clone(), &mut slice).expect("it is here");
        Sample { hash, content, range, slice }
    };
    contents.into_iter().map(sample).collect()
}

/// Reads a slice of a range, whatever it is a slice of.
fn read(hash: &Hash, content: &[u8], range: Range<u64>, slice: &[u8]) {
    let mut found = Vec::new();
    // A list of some 300 KiB is read as a whole.
    let read = within_bounds(slice.len().max(4_096), || {
        read_slice(hash, range.clone(), &mut &slice[..], &mut found)
    });
    match read {
        Ok(bytes) => {
            assert!(bytes == content.len() as u64, "a wrong length");
            assert!(found == content[range.start as usize..range.end as usize], "wrong bytes");
        }
        Err(_) if found.is_empty() => {}
        Err(_) => assert!(content[range.start as usize..].starts_with(&found), "wrong bytes"),
    }
}

#[test]
fn bytes() {
    let samples = samples();
    check!().with_type::<(u8, Vec<u8>)>().with_iterations(2000).for_each(|(sample, bytes)| {
        let Sample { hash, content, range, slice } = &samples[usize::from(*sample) % samples.len()];
        read(hash, content, range.clone(), bytes);
        read(hash, content, range.clone(), &[&slice[..24], bytes].concat());
    });
}

#[test]
fn altered() {
    let samples = samples();
    check!().with_type::<Plan>().with_iterations(3000).for_each(|(sample, _, edits, count)| {
        let Sample { hash, content, range, slice } = &samples[usize::from(*sample) % samples.len()];
        let mut bytes = slice.clone();
        alter(&mut bytes, edits, *count);
        read(hash, content, range.clone(), &bytes);
    });
}

/// What was not asked for, of a slice that may be that of another blob.
#[test]
fn ranges() {
    let samples = samples();
    check!().with_type::<(u8, u8, u64, u64)>().with_iterations(3000).for_each(|(of, to, from, end)| {
        let [of, to] = [of, to].map(|nth| &samples[usize::from(*nth) % samples.len()]);
        // Mostly near the beginning.
        let near = |at: u64| if at.is_multiple_of(4) { at } else { at % 100_000 };
        let range = near(*from)..near(*end);
        read(&to.hash, &to.content, range, &of.slice);
    });
}
