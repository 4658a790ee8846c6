//! A replica whose files were altered, and what consensus writes into it.

use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::damage::Outcome;
use netdb_fuzz::meter::within_bounds;
use netdb_fuzz::replica::{sound, use_files};
use redex::fuzzing::{Structure, repair_segment};
use replication::raft::{decode_membership, encode_membership};

#[test]
fn a_sound_replica_goes_on() {
    for closed in [false, true] {
        assert_eq!(use_files(&sound(closed)), Outcome::GoesOn);
    }
}

/// Any file, with the checksums put right or not.
#[test]
fn files() {
    let logs = [sound(false), sound(true)];
    check!().with_type::<(bool, Plan)>().with_iterations(1500).for_each(|(closed, plan)| {
        let (file, repair, edits, count) = plan;
        let mut files = logs[usize::from(*closed)].clone();
        let at = usize::from(*file) % files.len();
        let (path, bytes) = &mut files[at];
        alter(bytes, edits, *count);
        if *repair {
            match path.to_string_lossy() {
                name if name.ends_with(".seg") => repair_segment(bytes),
                name if name.ends_with("superblock") => Structure::Superblock.repair(bytes),
                _ => {}
            }
        }
        use_files(&files);
    });
}

fn membership(bytes: &[u8]) {
    let Ok(read) = within_bounds(bytes.len(), || decode_membership(bytes)) else { return };
    assert!(encode_membership(&read) == bytes, "a membership has two encodings");
}

#[test]
fn membership_bytes() {
    check!().with_iterations(4000).for_each(membership);
}

#[test]
fn membership_altered() {
    // Two configurations and their nodes.
    let mut sample = vec![1, 0, 2, 0];
    for voters in [[1_u64, 2, 3], [2, 3, 4]] {
        sample.extend(3_u32.to_le_bytes());
        voters.iter().for_each(|voter| sample.extend(voter.to_le_bytes()));
    }
    sample.extend(4_u32.to_le_bytes());
    for node in 1..=4_u64 {
        sample.extend(node.to_le_bytes());
        sample.extend(6_u16.to_le_bytes());
        sample.extend(b"host:1");
    }
    assert!(decode_membership(&sample).is_ok());
    check!().with_type::<Plan>().with_iterations(20_000).for_each(|(_, _, edits, count)| {
        let mut bytes = sample.clone();
        alter(&mut bytes, edits, *count);
        membership(&bytes);
    });
}
