//! The traps of openraft's storage contract, by the names that `DESIGN.md` has for them.

use futures::FutureExt as _;

use super::*;

#[tokio::test]
async fn g1_entries_are_read_by_every_handle_before_they_are_flushed() {
    let mut store = open(&simulated(&SimulatedDisk::new(), 1));
    let mut early = store.get_log_reader().await;
    let (appended, mut told) = append(&mut store, blanks(1, 0..3)).await;
    appended.unwrap();
    let mut late = store.get_log_reader().await;
    for reader in [&mut early, &mut late, &mut store.clone()] {
        assert_eq!(reader.try_get_log_entries(0..3).await.unwrap(), blanks(1, 0..3));
    }
    assert!(told.try_recv().is_err(), "nothing is durable yet");
}

#[tokio::test]
async fn g2_a_callback_is_called_once_whatever_becomes_of_the_append() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    let (appended, flushed) = append(&mut store, blanks(1, 0..1)).await;
    appended.unwrap();
    store.replica().flush_step();
    assert!(flushed.await.unwrap().is_ok());
    // Refused.
    let (refused, told) = append(&mut store, blanks(1, 5..6)).await;
    assert!(refused.is_err() && told.await.unwrap().is_err());
    // The sync fails.
    let (appended, told) = append(&mut store, blanks(1, 1..2)).await;
    appended.unwrap();
    disk.inject(disk.operation_count(), base::Fault::Error(5));
    store.replica().flush_step();
    assert!(told.await.unwrap().is_err());
    // The log takes nothing any more.
    let (refused, told) = append(&mut store, blanks(1, 2..3)).await;
    assert!(refused.is_err() && told.await.unwrap().is_err());
    // Dropped with its log.
    let mut store = open(&simulated(&SimulatedDisk::new(), 1));
    let (appended, told) = append(&mut store, blanks(1, 0..1)).await;
    appended.unwrap();
    drop(store);
    assert!(told.await.unwrap().is_ok(), "closing makes durable");
}

#[tokio::test]
async fn g3_callbacks_are_a_watermark_in_the_order_of_appends() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    let mut told = Vec::new();
    for index in 0..4 {
        told.push(append(&mut store, blanks(1, index..index + 1)).await.1);
    }
    assert!(told.iter_mut().all(|told| told.try_recv().is_err()));
    store.replica().flush_step();
    for told in told {
        assert!(told.await.unwrap().is_ok());
    }
    // Whoever was told relies on everything before, whatever a crash leaves.
    disk.power_off();
    drop(store);
    disk.restart(&CrashImage::None);
    assert_eq!(ids(&mut open(&simulated(&disk, 2))).await.len(), 4);
}

#[tokio::test]
async fn g4_an_error_is_for_ever_until_the_log_is_opened_again() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    put(&mut store, blanks(1, 0..1)).await;
    disk.inject(disk.operation_count(), base::Fault::Error(5));
    store.replica().flush_step();
    let syncs = disk.operation_count();
    store.replica().flush_step();
    assert_eq!(disk.operation_count(), syncs, "a failed sync is not tried again");
    assert!(append(&mut store, blanks(1, 1..2)).await.0.is_err());
    assert!(store.save_vote(&vote(2)).await.is_err());
    assert!(store.truncate_after(None).await.is_err());
    drop(store);
    let mut store = open(&simulated(&disk, 2));
    let next = ids(&mut store).await.len() as u64;
    put(&mut store, blanks(2, next..next + 1)).await;
}

#[tokio::test]
async fn g5_a_vote_is_durable_only_with_everything_before_it() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    let (appended, mut told) = append(&mut store, blanks(4, 0..6)).await;
    appended.unwrap();
    let mut other = store.clone();
    let new = vote(5);
    let mut saving = Box::pin(other.save_vote(&new));
    assert!(saving.as_mut().now_or_never().is_none(), "entries of the term before are not durable");
    store.replica().flush_step();
    assert!(told.try_recv().unwrap().is_ok());
    saving.await.unwrap();
    disk.power_off();
    drop((store, other));
    disk.restart(&CrashImage::None);
    let mut store = open(&simulated(&disk, 2));
    assert_eq!(store.read_vote().await.unwrap(), Some(vote(5)));
    assert_eq!(ids(&mut store).await.len(), 6);
}

#[tokio::test]
async fn g6_a_truncation_is_durable_when_it_returns() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    put(&mut store, blanks(1, 0..10)).await;
    store.replica().flush_step();
    store.truncate_after(Some(log_id(1, 4))).await.unwrap();
    disk.power_off();
    drop(store);
    disk.restart(&CrashImage::None);
    assert_eq!(ids(&mut open(&simulated(&disk, 2))).await.last(), Some(&log_id(1, 4)));
}

#[tokio::test]
async fn g7_a_crash_within_a_truncation_leaves_no_gap() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    // Several segments.
    put(&mut store, blanks(1, 0..400)).await;
    store.replica().flush_step();
    let snapshots = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&snapshots);
    disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    store.truncate_after(Some(log_id(1, 20))).await.unwrap();
    disk.on_operation(None);
    let snapshots = std::mem::take(&mut *snapshots.lock().unwrap());
    assert!(snapshots.len() > 8, "{} operations", snapshots.len());
    for (seed, snapshot) in (0..).zip(&snapshots) {
        for image in [CrashImage::None, CrashImage::All, CrashImage::Sectors { seed }] {
            let mut store = open(&simulated(&snapshot.image(&image), 3));
            let found = ids(&mut store).await;
            assert!(found.len() == 21 || found.len() == 400, "{}", found.len());
            assert_eq!(found, blanks(1, 0..found.len() as u64).iter().map(|e| e.log_id).collect::<Vec<_>>());
            put(&mut store, blanks(2, found.len() as u64..found.len() as u64 + 3)).await;
        }
    }
}

#[tokio::test]
async fn g8_entries_that_were_cut_off_never_come_back() {
    for image in
        [CrashImage::None, CrashImage::All, CrashImage::LostRemovals, CrashImage::Sectors { seed: 5 }]
    {
        let disk = SimulatedDisk::new();
        let mut store = open(&simulated(&disk, 1));
        put(&mut store, blanks(1, 0..50)).await;
        store.replica().flush_step();
        store.truncate_after(Some(log_id(1, 9))).await.unwrap();
        put(&mut store, blanks(2, 10..12)).await;
        store.replica().flush_step();
        disk.power_off();
        drop(store);
        disk.restart(&image);
        let found = ids(&mut open(&simulated(&disk, 2))).await;
        let wanted: Vec<_> = blanks(1, 0..10).into_iter().chain(blanks(2, 10..12)).collect();
        assert_eq!(found, wanted.iter().map(|entry| entry.log_id).collect::<Vec<_>>(), "{image:?}");
    }
}

#[tokio::test]
async fn g9_what_is_durable_goes_back_with_a_truncation() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    let (_, told) = append(&mut store, blanks(1, 0..10)).await;
    store.truncate_after(Some(log_id(1, 3))).await.unwrap();
    assert!(told.await.unwrap().is_ok(), "they were durable, and then cut off");
    assert_eq!(store.replica().state().durable, Position(4));
    let (_, mut told) = append(&mut store, blanks(2, 4..6)).await;
    assert_eq!(store.replica().state().durable, Position(4), "new entries under the same numbers are not");
    assert!(told.try_recv().is_err());
    store.replica().flush_step();
    assert!(told.await.unwrap().is_ok());
}

#[tokio::test]
async fn g10_the_mark_of_a_purge_comes_before_the_removal_and_a_gap_is_refused() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    put(&mut store, blanks(1, 0..400)).await;
    store.replica().flush_step();
    let removed = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&removed);
    disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    store.purge(log_id(1, 300)).await.unwrap();
    disk.on_operation(None);
    let removed = std::mem::take(&mut *removed.lock().unwrap());
    for snapshot in &removed {
        // Never is anything gone that the mark does not cover: such a log would be refused.
        let mut store = open(&simulated(&snapshot.image(&CrashImage::LostRemovals), 3));
        let state = store.get_log_state().await.unwrap();
        let first = ids(&mut store).await[0].index();
        assert_eq!(first, state.last_purged_log_id.map_or(0, |purged| purged.index() + 1));
    }
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 300)));
    drop(store);
    // Without the mark's segment the log begins behind a gap.
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    put(&mut store, blanks(1, 0..400)).await;
    drop(store);
    let mut files: Vec<_> = disk.files().into_iter().map(|(path, _)| path).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    disk.remove(&files[0]).unwrap();
    let opened = ReplicaLog::open(Path::new(DIR), &identity(), &simulated(&disk, 2), &by_hand()).unwrap();
    assert!(opened.doubt().is_some());
    assert_eq!(opened.state().last, None, "nothing is guessed at");
}

#[tokio::test]
async fn g16_what_is_committed_is_never_beyond_the_log() {
    let disk = SimulatedDisk::new();
    let mut store = open(&simulated(&disk, 1));
    put(&mut store, blanks(1, 0..3)).await;
    // A leader tells of entries that have not come yet.
    store.save_committed(Some(log_id(1, 10))).await.unwrap();
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(1, 2)));
    drop(store);
    let mut store = open(&simulated(&disk, 2));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(1, 2)));
    assert_eq!(store.replica().state().visible, Position(3));
}

#[tokio::test]
async fn g17_a_fold_that_is_ahead_of_the_log_is_folded_again() {
    let mut store = open(&simulated(&SimulatedDisk::new(), 1));
    put(&mut store, blanks(1, 0..3)).await;
    store.replica().flush_step();
    let state = store.replica().state();
    let applied = |index| Some(slot_of(&log_id(1, index)));
    assert_eq!(check_applied(None, &state), Applied::Within);
    assert_eq!(check_applied(applied(2), &state), Applied::Within);
    assert_eq!(check_applied(applied(10), &state), Applied::FoldAgain { durable: Position(3) });
    let empty = open(&simulated(&SimulatedDisk::new(), 1));
    assert_eq!(
        check_applied(applied(0), &empty.replica().state()),
        Applied::FoldAgain { durable: Position(0) }
    );
}
