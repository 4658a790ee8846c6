//! What survives.

use super::*;

/// Two sectors of one letter each.
fn two_sectors(first: u8, second: u8) -> Vec<u8> {
    [[first; SECTOR], [second; SECTOR]].concat()
}

#[test]
fn contents_survive_from_their_sync_on() {
    let disk = SimulatedDisk::new();
    let file = open(&disk, "a", OpenMode::Create);
    sync_root(&disk);
    file.write_at(b"one", 0).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), b"");
    file.sync_data().unwrap();
    file.write_at(b"two", 3).unwrap();
    file.set_length(100).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), b"one");
}

#[test]
fn the_sync_of_one_file_leaves_others_pending() {
    let disk = SimulatedDisk::new();
    let (a, b) = (durable(&disk, "a", b""), durable(&disk, "b", b""));
    a.write_at(b"a", 0).unwrap();
    b.write_at(b"b", 0).unwrap();
    b.sync_data().unwrap();
    let left = disk.snapshot().image(&CrashImage::None);
    assert_eq!((left.read("a").unwrap(), left.read("b").unwrap()), (vec![], b"b".to_vec()));
}

#[test]
fn synced_contents_without_a_synced_name_are_out_of_reach() {
    let disk = SimulatedDisk::new();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), []);
    assert_eq!(disk.snapshot().image(&CrashImage::All).read("a").unwrap(), b"abc");
}

#[test]
fn a_synced_name_without_synced_contents_is_an_empty_file() {
    let disk = SimulatedDisk::new();
    open(&disk, "a", OpenMode::Create).write_at(b"abc", 0).unwrap();
    sync_root(&disk);
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), [("a".into(), 0)]);
}

#[test]
fn a_name_survives_only_by_the_sync_of_its_own_directory() {
    let disk = SimulatedDisk::new();
    disk.create_directories(Path::new("d/e")).unwrap();
    open(&disk, "d/a", OpenMode::Create);
    sync_root(&disk);
    disk.sync_directory(Path::new("d/e")).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), []);
    disk.sync_directory(Path::new("./d")).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), [("d/a".into(), 0)]);
}

#[test]
fn directories_survive_once_they_are_made() {
    let disk = SimulatedDisk::new();
    disk.create_directories(Path::new("d/e")).unwrap();
    let left = disk.snapshot().image(&CrashImage::None);
    assert!(left.exists(Path::new("d/e")).unwrap());
    assert_eq!(disk.snapshot().pending_count(), 0);
}

#[test]
fn a_rename_without_sync_leaves_the_old_name_or_the_new_one() {
    let disk = SimulatedDisk::new();
    durable(&disk, "old", b"x");
    rename(&disk, "old", "new");
    for survivors in [sectors, reordered] {
        let snapshot = disk.snapshot();
        let left: BTreeSet<_> = (0..50).map(|seed| names(&snapshot.image(&survivors(seed)))).collect();
        assert_eq!(left, BTreeSet::from([vec!["new".to_owned()], vec!["old".to_owned()]]));
    }
    sync_root(&disk);
    assert_eq!(names(&disk.snapshot().image(&CrashImage::None)), ["new"]);
}

#[test]
fn a_replaced_file_survives_whole_or_is_replaced_whole() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"old");
    let file = open(&disk, "a.tmp", OpenMode::Create);
    file.write_at(b"new!", 0).unwrap();
    file.sync_data().unwrap();
    rename(&disk, "a.tmp", "a");
    let expected = BTreeSet::from([Some(b"old".to_vec()), Some(b"new!".to_vec())]);
    assert_eq!(outcomes(&disk, "a", sectors), expected);
    assert_eq!(outcomes(&disk, "a", reordered), expected);
}

#[test]
fn a_rename_before_the_sync_of_contents_can_leave_an_empty_file() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"old");
    open(&disk, "a.tmp", OpenMode::Create).write_at(b"new!", 0).unwrap();
    rename(&disk, "a.tmp", "a");
    assert!(outcomes(&disk, "a", sectors).contains(&Some(vec![])));
    assert!(outcomes(&disk, "a", reordered).contains(&Some(vec![])));
}

#[test]
fn a_rename_between_directories_survives_from_the_sync_of_the_target_on() {
    let disk = SimulatedDisk::new();
    disk.create_directories(Path::new("from")).unwrap();
    disk.create_directories(Path::new("to")).unwrap();
    durable(&disk, "from/a", b"x");
    rename(&disk, "from/a", "to/a");
    disk.sync_directory(Path::new("from")).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), [("from/a".into(), 1)]);
    disk.sync_directory(Path::new("to")).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), [("to/a".into(), 1)]);
}

#[test]
fn a_synced_name_brings_along_what_it_depends_on() {
    let disk = SimulatedDisk::new();
    disk.create_directories(Path::new("d")).unwrap();
    open(&disk, "a", OpenMode::Create);
    open(&disk, "other", OpenMode::Create);
    rename(&disk, "a", "d/a");
    disk.sync_directory(Path::new("d")).unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).files(), [("d/a".into(), 0)]);
    assert_eq!(disk.snapshot().pending_count(), 1);
}

#[test]
fn a_removed_file_can_come_back_with_its_contents() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"abc");
    disk.remove(Path::new("a")).unwrap();
    assert_eq!(outcomes(&disk, "a", sectors), BTreeSet::from([None, Some(b"abc".to_vec())]));
    sync_root(&disk);
    assert_eq!(outcomes(&disk, "a", sectors), BTreeSet::from([None]));
}

#[test]
fn a_file_made_again_does_not_get_the_contents_of_the_removed_one() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"old");
    disk.remove(Path::new("a")).unwrap();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"new!", 0).unwrap();
    let expected = [None, Some(vec![]), Some(b"old".to_vec()), Some(b"new!".to_vec())];
    assert_eq!(outcomes(&disk, "a", sectors), BTreeSet::from(expected));
}

#[test]
fn an_operation_on_a_name_is_lost_with_the_one_it_depends_on() {
    let disk = SimulatedDisk::new();
    open(&disk, "a", OpenMode::Create);
    rename(&disk, "a", "b");
    rename(&disk, "b", "c");
    open(&disk, "free", OpenMode::Create);
    let chain = ["", "a", "b", "c"];
    for survivors in [sectors, reordered] {
        let snapshot = disk.snapshot();
        let left: BTreeSet<String> =
            (0..300).map(|seed| names(&snapshot.image(&survivors(seed))).join(" ")).collect();
        let expected = chain.iter().flat_map(|name| [name.to_string(), format!("{name} free")]);
        assert_eq!(left, expected.map(|names| names.trim().to_owned()).collect());
    }
}

#[test]
fn a_name_given_away_and_made_again_never_loses_the_first_file() {
    let disk = SimulatedDisk::new();
    durable(&disk, "log", b"old");
    rename(&disk, "log", "log.1");
    open(&disk, "log", OpenMode::Create);
    let snapshot = disk.snapshot();
    for survivors in (0..100).flat_map(|seed| [sectors(seed), reordered(seed)]) {
        let left = snapshot.image(&survivors);
        let old = Some(b"old".to_vec());
        assert!(left.read("log") == old || left.read("log.1") == old, "{survivors:?}: {:?}", left.files());
    }
}

#[test]
fn a_removed_file_stays_reachable_while_its_creation_is_pending() {
    let disk = SimulatedDisk::new();
    disk.create_directories(Path::new("d")).unwrap();
    let file = open(&disk, "d/a", OpenMode::Create);
    file.write_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
    drop(file);
    disk.remove(Path::new("d/a")).unwrap();
    sync_root(&disk);
    let created = CrashImage::Prefix { operations: 1 };
    assert_eq!(disk.snapshot().image(&created).read("d/a").unwrap(), b"abc");
}

#[test]
fn prefixes_keep_the_first_operations() {
    let disk = SimulatedDisk::new();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"abc", 0).unwrap();
    file.set_length(2).unwrap();
    rename(&disk, "a", "b");
    let snapshot = disk.snapshot();
    let left = |operations| {
        let disk = snapshot.image(&CrashImage::Prefix { operations });
        (disk.read("a").or(disk.read("b")), names(&disk))
    };
    assert_eq!(left(0), (None, vec![]));
    assert_eq!(left(1), (Some(vec![]), vec!["a".into()]));
    assert_eq!(left(2), (Some(b"abc".to_vec()), vec!["a".into()]));
    assert_eq!(left(3), (Some(b"ab".to_vec()), vec!["a".into()]));
    assert_eq!(left(4), (Some(b"ab".to_vec()), vec!["b".into()]));
    assert_eq!(left(usize::MAX), left(4));
}

#[test]
fn each_sector_of_an_overwrite_survives_by_itself() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", &two_sectors(b'o', b'o'));
    file.write_at(&two_sectors(b'n', b'n'), 0).unwrap();
    let all = [(b'o', b'o'), (b'o', b'n'), (b'n', b'o'), (b'n', b'n')];
    let expected = all.map(|(first, second)| Some(two_sectors(first, second)));
    assert_eq!(outcomes(&disk, "a", sectors), BTreeSet::from(expected));
}

#[test]
fn lost_sectors_of_an_extension_are_zeros_up_to_the_last_survivor() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    file.write_at(&[b'n'; SECTOR + 100], 0).unwrap();
    let expected = [
        Some(vec![]),
        Some(vec![b'n'; SECTOR]),
        Some([vec![0; SECTOR], vec![b'n'; 100]].concat()),
        Some(vec![b'n'; SECTOR + 100]),
    ];
    assert_eq!(outcomes(&disk, "a", sectors), BTreeSet::from(expected));
}

#[test]
fn a_write_within_one_sector_is_atomic() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", &[b'o'; 2 * SECTOR]);
    file.write_at(&[b'n'; 300], SECTOR as u64 + 100).unwrap();
    let mut new = vec![b'o'; 2 * SECTOR];
    new[SECTOR + 100..SECTOR + 400].fill(b'n');
    let expected = BTreeSet::from([Some(vec![b'o'; 2 * SECTOR]), Some(new)]);
    assert_eq!(outcomes(&disk, "a", sectors), expected);
}

#[test]
fn a_sector_has_the_content_that_it_had_after_one_of_its_writes() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"......");
    file.write_at(b"aa", 0).unwrap();
    file.write_at(b"bb", 1).unwrap();
    file.write_at(b"cc", 4).unwrap();
    let states = ["......", "aa....", "abb...", "abb.cc"];
    let expected: BTreeSet<_> = states.iter().map(|state| Some(state.as_bytes().to_vec())).collect();
    assert_eq!(outcomes(&disk, "a", sectors), expected);
    assert_eq!(outcomes(&disk, "a", reordered), expected);
}

#[test]
fn the_file_ends_with_the_last_surviving_write_or_length() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"durable");
    file.set_length(5000).unwrap();
    file.write_at(b"D", 0).unwrap();
    let lengths: BTreeSet<_> =
        outcomes(&disk, "a", sectors).into_iter().map(|bytes| bytes.unwrap().len()).collect();
    assert_eq!(lengths, BTreeSet::from([7, 5000]), "a write at the front does not bring the length along");
}

#[test]
fn cut_bytes_come_back_only_when_the_cut_is_lost() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", &[b'o'; 1000]);
    file.set_length(10).unwrap();
    file.set_length(1000).unwrap();
    let cut = [vec![b'o'; 10], vec![0; 990]].concat();
    let expected = [vec![b'o'; 1000], vec![b'o'; 10], cut];
    assert_eq!(outcomes(&disk, "a", sectors), expected.map(Some).into());
}

#[test]
fn a_later_write_can_survive_an_earlier_one() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    file.write_at(&[b'1'; SECTOR], 0).unwrap();
    file.write_at(&[b'2'; SECTOR], SECTOR as u64).unwrap();
    let expected =
        [vec![], vec![b'1'; SECTOR], two_sectors(0, b'2'), two_sectors(b'1', b'2')].map(Some).into();
    assert_eq!(outcomes(&disk, "a", reordered), expected);
}

#[test]
fn whole_writes_survive_a_reordering() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    file.write_at(&two_sectors(b'n', b'n'), 0).unwrap();
    let expected = [vec![], two_sectors(b'n', b'n')].map(Some).into();
    assert_eq!(outcomes(&disk, "a", reordered), expected);
}

#[test]
fn equal_seeds_give_equal_images() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    for round in 0..20 {
        file.write_at(&[round; 3000], u64::from(round) * 1000).unwrap();
    }
    let snapshot = disk.snapshot();
    for survivors in [sectors, reordered] {
        assert_eq!(snapshot.digest(&survivors(1)), snapshot.clone().digest(&survivors(1)));
        let distinct: BTreeSet<_> = (0..100).map(|seed| snapshot.digest(&survivors(seed))).collect();
        assert!(distinct.len() > 20, "{} distinct images", distinct.len());
    }
}

fn left(disk: &SimulatedDisk, path: &str, survivors: CrashImage) -> Option<Vec<u8>> {
    disk.snapshot().image(&survivors).read(path)
}

#[test]
fn lengths_can_survive_without_the_data_of_the_last_writes() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(b"one", 3).unwrap();
    file.write_at(b"TWO!", 2).unwrap();
    file.set_length(10).unwrap();
    file.write_at(b"three", 8).unwrap();
    let lost = |writes| left(&disk, "a", CrashImage::SizeBeforeData { writes }).unwrap();
    assert_eq!(lost(0), b"olTWO!\0\0three");
    assert_eq!(lost(1), b"olTWO!\0\0\0\0\0\0\0");
    assert_eq!(lost(2), b"oldone\0\0\0\0\0\0\0");
    assert_eq!(lost(3), b"old\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(lost(usize::MAX), lost(3));
    file.set_length(4).unwrap();
    let all = CrashImage::SizeBeforeData { writes: usize::MAX };
    assert_eq!(left(&disk, "a", all).unwrap(), b"old\0", "a later cut survives");
    file.sync_data().unwrap();
    assert_eq!(left(&disk, "a", all).unwrap(), b"olTW");
}

#[test]
fn data_can_survive_without_the_last_changes_of_length() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(b"NE", 2).unwrap();
    file.set_length(6).unwrap();
    file.write_at(b"Wtail", 4).unwrap();
    file.set_length(1).unwrap();
    let lost = |operations| left(&disk, "a", CrashImage::DataBeforeSize { operations }).unwrap();
    assert_eq!(lost(0), b"o");
    assert_eq!(lost(1), b"olNEWtail", "the cut is lost");
    assert_eq!(lost(2), b"olNEWt");
    assert_eq!(lost(3), b"olNE");
    assert_eq!(lost(4), b"olN");
    assert_eq!(lost(usize::MAX), lost(4));
    let created = open(&disk, "b", OpenMode::Create);
    created.write_at(b"x", 0).unwrap();
    assert_eq!(left(&disk, "b", CrashImage::DataBeforeSize { operations: 9 }).unwrap(), b"");
}

#[test]
fn renames_alone_can_be_lost() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    durable(&disk, "gone", b"");
    rename(&disk, "a", "b");
    file.write_at(b"new", 0).unwrap();
    disk.remove(Path::new("gone")).unwrap();
    open(&disk, "a", OpenMode::Create);
    let image = disk.snapshot().image(&CrashImage::LostRenames);
    assert_eq!((names(&image), image.read("a").unwrap()), (vec!["a".into()], b"new".to_vec()));
    sync_root(&disk);
    assert_eq!(names(&disk.snapshot().image(&CrashImage::LostRenames)), ["a", "b"]);
}

#[test]
fn removals_alone_can_be_lost() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"old");
    durable(&disk, "b", b"");
    disk.remove(Path::new("a")).unwrap();
    open(&disk, "a", OpenMode::Create).write_at(b"new", 0).unwrap();
    rename(&disk, "b", "c");
    let image = disk.snapshot().image(&CrashImage::LostRemovals);
    assert_eq!(names(&image), ["a", "c"]);
    assert_eq!(image.read("a").unwrap(), b"old", "what was made behind the removal is lost with it");
    sync_root(&disk);
    assert_eq!(left(&disk, "a", CrashImage::LostRemovals).unwrap(), b"new");
}

fn lying(syncs: usize) -> impl Fn(u64) -> CrashImage {
    move |seed| CrashImage::LyingSyncs { syncs, seed }
}

#[test]
fn what_lying_syncs_said_to_be_durable_survives_by_the_sector() {
    let disk = SimulatedDisk::new();
    disk.remember_syncs(2);
    let file = durable(&disk, "a", b"");
    for byte in [b'1', b'2', b'3'] {
        file.write_at(&[byte; SECTOR], u64::from(byte - b'1') * SECTOR as u64).unwrap();
        file.sync_data().unwrap();
    }
    let kept = [vec![b'1'; SECTOR], vec![b'2'; SECTOR], vec![b'3'; SECTOR]];
    let all = kept.concat();
    assert_eq!(outcomes(&disk, "a", lying(0)), [Some(all.clone())].into());
    let one = [Some(kept[..2].concat()), Some(all.clone())].into();
    assert_eq!(outcomes(&disk, "a", lying(1)), one);
    let hole = [kept[0].clone(), vec![0; SECTOR], kept[2].clone()].concat();
    let two = [Some(kept[0].clone()), Some(kept[..2].concat()), Some(hole), Some(all)].into();
    assert_eq!(outcomes(&disk, "a", lying(2)), two);
    assert_eq!(outcomes(&disk, "a", lying(9)), two, "more than two are not remembered");
    assert_eq!(disk.snapshot().remembered_syncs(), 2);
}

#[test]
fn the_sync_of_a_directory_can_lie() {
    let disk = SimulatedDisk::new();
    disk.remember_syncs(1);
    durable(&disk, "a", b"x");
    rename(&disk, "a", "b");
    sync_root(&disk);
    disk.create_directories(Path::new("d")).unwrap();
    assert_eq!(outcomes(&disk, "a", lying(1)), [None, Some(b"x".to_vec())].into());
    assert!(disk.snapshot().image(&lying(1)(0)).exists(Path::new("d")).unwrap());
    assert_eq!(outcomes(&disk, "a", sectors), [None].into());
}

#[test]
fn syncs_are_forgotten_when_asked_and_when_they_cannot_be_undone() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"x");
    let sync = || {
        disk.remember_syncs(3);
        open(&disk, "a", OpenMode::Write).sync_data().unwrap();
        assert_eq!(disk.snapshot().remembered_syncs(), 1);
    };
    file.sync_data().unwrap();
    assert_eq!(disk.snapshot().remembered_syncs(), 0, "a new disk remembers nothing");
    let acts: [&dyn Fn(); 5] = [
        &|| disk.remember_syncs(0),
        &|| disk.flip_bit("a", 0),
        &|| disk.write("b", b""),
        &|| disk.restart(&CrashImage::None),
        &|| {
            disk.inject(disk.operation_count(), Fault::Error(5));
            open(&disk, "a", OpenMode::Write).sync_data().unwrap_err();
        },
    ];
    for act in acts {
        sync();
        act();
        assert_eq!(disk.snapshot().remembered_syncs(), 0);
    }
}

/// Runs random operations over three files and their names; returns the disk.
fn scrambled(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let random = SeededRandom::new(seed);
    let name = || ["a", "b", "c"][random.below(3) as usize];
    for _ in 0..60 {
        let file = open(&disk, name(), OpenMode::OpenOrCreate);
        match random.below(8) {
            0 => file.sync_data().unwrap(),
            1 => sync_root(&disk),
            2 => rename(&disk, disk.files()[0].0.to_str().unwrap(), name()),
            3 => disk.remove(&disk.files()[0].0).unwrap(),
            4 => file.set_length(random.below(5000)).unwrap(),
            _ => {
                let mut bytes = vec![0; random.below(2000) as usize];
                crate::Random::fill(&random, &mut bytes);
                write_all_at(&*file, &bytes, random.below(5000)).unwrap();
            }
        }
    }
    disk
}

fn contents(disk: &SimulatedDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    disk.files().into_iter().map(|(path, _)| (path.clone(), disk.read(path))).collect()
}

#[test]
fn everything_pending_on_top_of_the_durable_is_what_programs_see() {
    for seed in 0..50 {
        let disk = scrambled(seed);
        let snapshot = disk.snapshot();
        assert!(contents(&snapshot.image(&CrashImage::All)) == contents(&disk), "seed {seed}");
        assert_eq!(snapshot.digest(&CrashImage::None), disk.digest(), "seed {seed}");
    }
}

#[test]
fn a_disk_that_is_synced_throughout_loses_nothing() {
    for seed in 0..50 {
        let disk = scrambled(seed);
        for (path, _) in disk.files() {
            disk.open(&path, OpenMode::Write).unwrap().sync_data().unwrap();
        }
        sync_root(&disk);
        let snapshot = disk.snapshot();
        assert_eq!(snapshot.pending_count(), 0, "seed {seed}");
        for survivors in [CrashImage::None, CrashImage::All, sectors(seed), reordered(seed)] {
            assert!(contents(&snapshot.image(&survivors)) == contents(&disk), "seed {seed} {survivors:?}");
        }
    }
}

#[test]
fn a_restart_continues_with_the_image() {
    for seed in 0..20 {
        let disk = scrambled(seed);
        let snapshot = disk.snapshot();
        let image = snapshot.image(&sectors(seed));
        disk.restart(&sectors(seed));
        assert!(contents(&disk) == contents(&image), "seed {seed}");
        assert_eq!(disk.digest(), image.digest(), "seed {seed}");
    }
}

/// Every sector of an image must be one that the file had at some moment since its last sync.
#[test]
fn no_image_has_a_sector_that_the_file_never_had() {
    for seed in 0..20 {
        let random = SeededRandom::new(seed);
        let disk = SimulatedDisk::new();
        let file = durable(&disk, "a", &[b'd'; 3000]);
        let mut history = vec![disk.read("a").unwrap()];
        for _ in 0..30 {
            let bytes = vec![random.below(256) as u8; random.below(1500) as usize + 1];
            file.write_at(&bytes, random.below(6000)).unwrap();
            history.push(disk.read("a").unwrap());
        }
        let snapshot = disk.snapshot();
        for survivors in (0..40).flat_map(|image| [sectors(image), reordered(image)]) {
            let left = snapshot.image(&survivors).read("a").unwrap();
            assert!((3000..=history[30].len()).contains(&left.len()));
            for (number, sector) in left.chunks(SECTOR).enumerate() {
                let known = history.iter().any(|state| starts_with_zeros_behind(state, number, sector));
                assert!(known, "seed {seed}, {survivors:?}, sector {number}");
            }
        }
    }
}

/// Tells whether `file`, as if zeros followed it, has `sector` at its place.
fn starts_with_zeros_behind(file: &[u8], number: usize, sector: &[u8]) -> bool {
    let at = |place: usize| file.get(number * SECTOR + place).copied().unwrap_or(0);
    sector.iter().enumerate().all(|(place, byte)| *byte == at(place))
}
