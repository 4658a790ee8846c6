//! Torn or corrupt: what is judged which, by what evidence.

use base::OperationKind;

use super::stretches::{CLOSE, ENTRY, Frame, entries, flip, frames, open_twice};
use super::*;

/// What stands at the end of a log that was never closed: `count` durable entries, and behind them one in several
/// sectors that was written and not synced.
fn unclosed(count: usize) -> World {
    let world = World::new();
    let store = world.open();
    for number in 0..count {
        append(store.main(), "a", &number.to_string());
    }
    let payload = "x".repeat(1_500);
    let event = [EventInput::new("test.happened", payload.as_bytes())];
    store.main().append(&channel("a"), &event).unwrap().wait(Ack::Written);
    World::on(world.disk.snapshot().image(&CrashImage::All), 9)
}

fn newest(world: &World) -> Frame {
    *entries(world).last().unwrap()
}

/// Zeroes the part of a frame that lies in its n-th sector.
fn lose_sector(world: &World, frame: Frame, nth: u64) {
    let from = if nth == 0 { frame.offset } else { (frame.offset / 512 + nth) * 512 };
    let to = ((frame.offset / 512 + nth + 1) * 512).min(frame.end());
    zero(&world.disk, &segment(&world.disk, 0), from, to);
}

fn sectors(frame: Frame) -> u64 {
    (frame.end() - 1) / 512 - frame.offset / 512 + 1
}

#[test]
fn an_untestified_frame_without_one_of_its_sectors_is_torn() {
    let sectors = sectors(newest(&unclosed(2)));
    assert!(sectors > 3);
    for nth in 0..sectors {
        let world = unclosed(2);
        let frame = newest(&world);
        lose_sector(&world, frame, nth);
        let report = world.verify();
        assert_eq!(report.faults, [], "sector {nth}");
        let torn = report.torn_tail.unwrap();
        assert_eq!(torn.offset, frame.offset);
        let (report, store) = open_twice(&world);
        assert!(report.unclean && report.quarantined.is_empty());
        assert_eq!(report.torn_bytes, torn.bytes);
        assert_eq!(all(store.main(), "a"), ["0", "1"]);
        assert_eq!(append(store.main(), "a", "2").at.first_seq(), Some(Seq(2)));
    }
}

#[test]
fn an_untestified_frame_that_is_whole_but_for_a_bit_is_corrupt() {
    for byte in [2, 20, 70, 700, 1_500] {
        let world = unclosed(2);
        let frame = newest(&world);
        flip(&world, frame, byte);
        assert!(!world.verify().faults.is_empty(), "byte {byte}");
        let (report, store) = open_twice(&world);
        assert_eq!((report.torn_bytes, report.quarantined.len()), (0, 1), "byte {byte}");
        assert!(append(store.main(), "a", "behind").at.first_seq() >= Some(Seq(3)), "byte {byte}");
    }
}

#[test]
fn a_testified_frame_without_one_of_its_sectors_is_corrupt() {
    // By a later entry, and by the record of a clean close.
    for close in [false, true] {
        let world = unclosed(2);
        let store = world.open();
        append(store.main(), "a", "testifies to what recovery has synced");
        if close {
            store.close().unwrap();
        }
        let world = World::on(world.disk.snapshot().image(&CrashImage::All), 10);
        let last = *frames(&world, &segment(&world.disk, 0)).last().unwrap();
        assert_eq!(last.kind, if close { CLOSE } else { ENTRY });
        let place = if close { 3 } else { 2 };
        let frame = entries(&world)[place];
        for nth in 0..sectors(frame) {
            let world = World::on(world.disk.snapshot().image(&CrashImage::All), 11);
            lose_sector(&world, frame, nth);
            let report = world.verify();
            assert!(report.torn_tail.is_none() && !report.faults.is_empty(), "sector {nth}");
            let (report, store) = open_twice(&world);
            assert_eq!((report.torn_bytes, report.quarantined.len()), (0, 1), "sector {nth}");
            assert_eq!(report.quarantined[0].offset, frame.offset);
            drop(store);
        }
    }
}

#[test]
fn a_frame_that_is_not_where_it_says_testifies_to_nothing() {
    // The frame behind the torn one is whole and testifies, but it is moved by eight bytes.
    let world = unclosed(2);
    let store = world.open();
    append(store.main(), "a", "testifies");
    let world = World::on(world.disk.snapshot().image(&CrashImage::All), 10);
    let [.., torn, last] = entries(&world)[..] else { panic!() };
    let path = segment(&world.disk, 0);
    let mut bytes = world.disk.read(&path).unwrap();
    let from = usize::try_from(last.offset).unwrap();
    bytes.copy_within(from..from + usize::try_from(last.bytes).unwrap(), from + 8);
    bytes[from..from + 8].fill(0);
    world.disk.write(&path, &bytes);
    lose_sector(&world, torn, 1);
    assert!(world.verify().torn_tail.is_some());
    let (report, store) = open_twice(&world);
    assert_eq!(report.quarantined, []);
    assert_eq!(all(store.main(), "a"), ["0", "1"]);
}

#[test]
fn zeros_with_something_behind_them_are_no_end() {
    // Something that never was a frame, far behind the end.
    let world = unclosed(3);
    let path = segment(&world.disk, 0);
    let end = newest(&world).end();
    let mut bytes = world.disk.read(&path).unwrap();
    bytes[usize::try_from(end).unwrap() + 5_000] = 1;
    world.disk.write(&path, &bytes);
    let report = world.verify();
    assert_eq!((report.faults.len(), report.torn_tail.unwrap().offset), (0, end));
    let (report, store) = open_twice(&world);
    assert_eq!(report.torn_bytes, 5_001);
    assert_eq!(all(store.main(), "a").len(), 4);

    // A durable entry that reads as zeros, in front of one that testifies to it.
    let world = unclosed(3);
    let lost = entries(&world)[1];
    zero(&world.disk, &segment(&world.disk, 0), lost.offset, lost.end());
    assert!(!world.verify().faults.is_empty());
    let (report, _) = open_twice(&world);
    assert_eq!((report.torn_bytes, report.quarantined[0].offset), (0, lost.offset));
}

#[test]
fn a_torn_end_behind_a_corrupt_entry_is_zeroed_and_the_entry_set_aside() {
    let world = unclosed(3);
    let (corrupt, torn) = (entries(&world)[1], newest(&world));
    flip(&world, corrupt, 100);
    lose_sector(&world, torn, 2);
    let report = world.verify();
    assert_eq!((report.faults.len(), report.torn_tail.unwrap().offset), (1, torn.offset));
    let (report, store) = open_twice(&world);
    assert_eq!((report.quarantined.len(), report.quarantined[0].offset), (1, corrupt.offset));
    assert!(report.torn_bytes > 0);
    assert_eq!(append(store.main(), "a", "3").at.first_seq(), Some(Seq(3)));
}

#[test]
fn a_torn_end_is_zeroed_back_to_front() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "0");
    let payload = "x".repeat(500_000);
    let event = [EventInput::new("test.happened", payload.as_bytes())];
    store.main().append(&channel("a"), &event).unwrap().wait(Ack::Written);
    let world = World::on(world.disk.snapshot().image(&CrashImage::All), 9);
    let torn = newest(&world);
    lose_sector(&world, torn, 0);
    let before = world.disk.operation_count();
    let store = world.open();
    assert!(store.recovery().torn_bytes > 490_000);
    let path = segment(&world.disk, 0);
    let operations = world.disk.operations();
    let zeroing: Vec<(u64, u64)> = operations
        .iter()
        .filter(|operation| operation.ordinal >= before && operation.path == path)
        .filter(|operation| operation.kind == OperationKind::Write && operation.offset >= torn.offset)
        .map(|operation| (operation.offset, operation.offset + operation.bytes))
        .collect();
    assert!(zeroing.len() > 1, "{zeroing:?}");
    assert!(
        zeroing.windows(2).all(|pair| pair[1].1 == pair[0].0),
        "each ends where the last began: {zeroing:?}"
    );
    assert_eq!(zeroing.last().map(|last| last.0), Some(torn.offset));
}
