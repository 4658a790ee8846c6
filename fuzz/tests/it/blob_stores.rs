//! A whole store of blobs whose files were altered: it opens or says why not, and never gives out anything wrong.

use std::ops::Range;

use base::Doors;
use blob::{BlobStore, GetTreeOptions, ObjectKind};
use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::blobs::{Sound, directory, repair, sound, use_files};
use netdb_fuzz::damage::Outcome;
use netdb_fuzz::meter::most_in_use;

/// Alters some of the files, of which the last ones are large, and puts checksums right or not.
fn damage(sound: &Sound, (file, right, edits, count): &Plan, of: Range<usize>) {
    let mut files = sound.files.clone();
    let at = of.start + usize::from(*file) % of.len();
    let (path, bytes) = &mut files[at];
    alter(bytes, edits, *count);
    if *right {
        repair(path, bytes);
    }
    use_files(sound, &files);
}

#[test]
fn a_sound_store_goes_on() {
    for (large, closed) in [(false, false), (false, true), (true, true)] {
        let sound = sound(large, closed);
        let names: Vec<_> = sound.files.iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(names.len(), if large { 5 } else { 4 }, "{names:?}");
        assert_eq!(use_files(&sound, &sound.files), Outcome::GoesOn);
    }
}

/// Any file of a store of small objects.
#[test]
fn files() {
    let stores = [sound(false, false), sound(false, true)];
    check!().with_type::<(bool, Plan)>().with_iterations(500).for_each(|(closed, plan)| {
        let sound = &stores[usize::from(*closed)];
        damage(sound, plan, 0..sound.files.len());
    });
}

/// Any file of a store that has large ones, too.
#[test]
fn large_files() {
    let sound = sound(true, true);
    check!().with_type::<Plan>().with_iterations(60).for_each(|plan| damage(&sound, plan, 3..5));
}

/// A few hundred small directories, below each other, and one with many at the end: each of these has a long path.
#[test]
fn paths_of_a_tree_take_no_memory_before_they_are_written() {
    let store = BlobStore::open("blobs".as_ref(), &Doors::memory()).expect("memory has room");
    let put = |bytes: &[u8]| store.objects().put(ObjectKind::Directory, bytes).expect("memory has room");
    let empty = put(&directory(0, &[]));
    let names: Vec<_> = (0..3_000).map(|nth| format!("{nth:04}").into_bytes()).collect();
    let many: Vec<_> = names.iter().map(|name| (&name[..], empty)).collect();
    let mut top = put(&directory(1, &many));
    for level in 2..300 {
        top = put(&directory(level, &[(&[b'x'; 255], top)]));
    }
    let (visited, most) = most_in_use(|| {
        let mut count = 0;
        store.visit_tree(&top, &mut |_| {
            count += 1;
            Ok(())
        })?;
        Ok::<u64, blob::BlobError>(count)
    });
    assert_eq!(visited.expect("it is here"), 3_298);
    assert!(most < 4 << 20, "{most} bytes to list");
    // It is looked through before it is found that there is no place for it.
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let (got, most) = most_in_use(|| store.get_tree(&top, nowhere, GetTreeOptions::default()));
    assert!(matches!(got, Err(blob::BlobError::File { .. })), "{got:?}");
    assert!(most < 8 << 20, "{most} bytes to look through");
}
