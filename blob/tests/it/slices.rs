//! Ranges that are verified from nothing but the name of their blob.

use base::{Hash, SeededRandom, SimulatedDisk};
use blob::{BlobError, BlobForm, BlobStore, Chunking, ContentSizes, read_slice};

use crate::support::{noise, open, small_chunks};

/// Blobs of each form, with their content.
fn blobs(store: &BlobStore) -> Vec<(Hash, Vec<u8>)> {
    let tiny = Chunking::Content(ContentSizes::new(64, 256, 1_024).unwrap());
    let contents = [
        (Vec::new(), Chunking::Fixed),
        (noise(1, 1), Chunking::Fixed),
        (noise(2, 16_384), Chunking::Fixed),
        (noise(3, 100_001), Chunking::Fixed),
        (noise(4, 60_000), small_chunks()),
        (noise(5, 3_500_000), tiny),
    ];
    let put =
        |(content, chunking): (Vec<u8>, Chunking)| (store.put(&content[..], chunking).unwrap().hash, content);
    let blobs: Vec<_> = contents.into_iter().map(put).collect();
    let form = |nth: usize| store.stat(&blobs[nth].0).unwrap().form;
    assert!(matches!(form(4), BlobForm::Manifest { .. }) && matches!(form(5), BlobForm::Tree { .. }));
    blobs
}

fn slice(store: &BlobStore, hash: &Hash, from: u64, to: u64) -> Vec<u8> {
    let mut slice = Vec::new();
    store.slice(hash, from..to, &mut slice).unwrap();
    slice
}

#[test]
fn a_range_of_any_form_is_read_from_its_slice() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let random = SeededRandom::new(3);
    for (hash, content) in blobs(&store) {
        let bytes = content.len() as u64;
        for round in 0..30 {
            let (from, to) = match round {
                0 => (0, bytes),
                1 => (bytes, bytes),
                2 => (0, 0),
                _ => {
                    let from = random.below(bytes + 1);
                    (from, from + random.below((bytes - from).min(40_000) + 1))
                }
            };
            let slice = slice(&store, &hash, from, to);
            let mut read = Vec::new();
            assert_eq!(read_slice(&hash, from..to, &mut &slice[..], &mut read).unwrap(), bytes);
            assert!(read == content[from as usize..to as usize], "{from}..{to} of {bytes}");
        }
        let whole = slice(&store, &hash, 0, bytes).len() as u64;
        assert!(whole < bytes + bytes / 4 + 1_000, "{whole} for {bytes}");
    }
}

#[test]
fn a_slice_that_was_changed_cut_or_made_for_something_else_is_refused() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let random = SeededRandom::new(4);
    let blobs = blobs(&store);
    for (hash, content) in &blobs {
        let bytes = content.len() as u64;
        let (from, to) = (bytes / 3, bytes / 3 + (bytes / 2).min(20_000));
        let good = slice(&store, hash, from, to);
        let refuse = |slice: &[u8], what: &str| {
            let mut read = Vec::new();
            let result = read_slice(hash, from..to, &mut &slice[..], &mut read);
            assert!(result.is_err(), "{what} of {} bytes for {from}..{to} of {bytes}", good.len());
            assert!(content[from as usize..to as usize].starts_with(&read), "what was written is good");
        };
        let all = good.len() * 8 <= 4_000;
        for nth in 0..if all { good.len() * 8 } else { 1_500 } {
            let bit = if all { nth } else { random.below(good.len() as u64 * 8) as usize };
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            refuse(&changed, &format!("bit {bit}"));
        }
        for nth in 0..100 {
            let length = if nth < 40 { nth } else { random.below(good.len() as u64) as usize };
            if length < good.len() {
                refuse(&good[..length], &format!("the first {length}"));
            }
        }
        for (other, _) in blobs.iter().filter(|(other, _)| other != hash) {
            let of_other = read_slice(other, from..to, &mut &good[..], &mut Vec::new());
            assert!(of_other.is_err(), "{other} is not {hash}");
        }
    }
}

#[test]
fn what_does_not_lie_in_the_blob_is_refused_on_both_sides() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    for (hash, content) in blobs(&store) {
        let bytes = content.len() as u64;
        let beyond = store.slice(&hash, 0..bytes + 1, &mut Vec::new()).unwrap_err();
        assert!(matches!(beyond, BlobError::Range { .. }), "{beyond}");
        let whole = slice(&store, &hash, 0, bytes);
        let beyond = read_slice(&hash, 0..bytes + 1, &mut &whole[..], &mut Vec::new()).unwrap_err();
        assert!(matches!(beyond, BlobError::Range { .. }), "{beyond}");
        let mut newer = whole.clone();
        newer[8] = 2;
        let newer = read_slice(&hash, 0..bytes, &mut &newer[..], &mut Vec::new()).unwrap_err();
        assert!(matches!(newer, BlobError::UnsupportedVersion { found: 2, .. }), "{newer}");
    }
    let missing = store.slice(&Hash::of(b"missing"), 0..0, &mut Vec::new()).unwrap_err();
    assert!(matches!(missing, BlobError::NotFound { .. }), "{missing}");
}
