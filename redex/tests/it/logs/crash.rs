//! Crashes and faults at every operation of making logs and moving channels: reopened, nothing acknowledged is lost, no
//! number was given out twice, every channel lives in exactly one log, and its whole history is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::{CrashImage, Fault, SimulatedDisk};

use super::*;

/// What was acknowledged: for each channel the payloads by number, and where it lives since a move ended.
#[derive(Debug, Clone, Default)]
struct Acknowledged {
    events: BTreeMap<&'static str, BTreeMap<u64, String>>,
    homes: BTreeMap<&'static str, String>,
    /// Moves that were begun.
    begun: usize,
}

/// Runs the workload as far as it goes.
struct Run {
    store: Store,
    acknowledged: Arc<Mutex<Acknowledged>>,
    attempts: u64,
}

impl Run {
    fn put(&mut self, name: &'static str) {
        self.attempts += 1;
        let payload = format!("{name} {}", self.attempts);
        let event = [EventInput::new("test.happened", payload.as_bytes())];
        let Ok(ticket) = self.store.append(&channel(name), &event) else { return };
        if let Ok(appended) = ticket.wait(Ack::Durable).into_result() {
            let seq = appended.at.first_seq().unwrap().0;
            let mut acknowledged = self.acknowledged.lock().unwrap();
            let before = acknowledged.events.entry(name).or_default().insert(seq, payload);
            assert_eq!(before, None, "number {seq} of {name} was given out twice");
        }
    }

    fn place(&mut self, name: &'static str, placement: &Placement) {
        if self.store.create_channel(&channel(name), &ChannelConfig::default(), placement).is_ok() {
            let mut acknowledged = self.acknowledged.lock().unwrap();
            acknowledged.homes.insert(name, home(&self.store, name));
            acknowledged.events.entry(name).or_default();
        }
    }

    fn go(&mut self, name: &'static str, placement: &Placement) {
        self.acknowledged.lock().unwrap().begun += 1;
        self.acknowledged.lock().unwrap().homes.remove(name);
        if self.store.move_channel(&channel(name), placement).is_ok() {
            self.acknowledged.lock().unwrap().homes.insert(name, home(&self.store, name));
        }
    }

    fn workload(&mut self) {
        self.put("c");
        self.put("c");
        self.place("d", &keeping_events(1_000));
        self.put("d");
        self.go("c", &keeping_bytes(1 << 30));
        self.put("c");
        self.go("c", &keeping_events(2_000));
        self.put("c");
        self.put("c");
        self.go("d", &Placement::Main);
        self.put("d");
        let shared = LogConfig::keeping(Retention::of_bytes(1 << 31));
        let _ = self.store.set_config(&LogName::main(), &shared);
        self.put("c");
    }
}

/// Opens what is there and compares it with what was acknowledged.
fn check_image(disk: SimulatedDisk, acknowledged: &Acknowledged, seed: u64) -> Result<(), String> {
    let world = World::on(disk, seed);
    // As a reader finds it before anybody has put it in order.
    if let Ok(reader) = StoreReader::open(Path::new(DIR), &world.doors, &options()) {
        compare(&reader.view(), acknowledged)?;
    }
    let store = Store::open(Path::new(DIR), &world.doors, &options()).map_err(|error| error.to_string())?;
    compare(&store.reader().view(), acknowledged)?;
    let mut expected = acknowledged.clone();
    for (name, events) in &mut expected.events {
        let living: Vec<_> = store
            .logs()
            .iter()
            .filter_map(|log| log.reader().view().channel(&channel(name)).unwrap())
            .filter(|info| info.moved_to.is_none())
            .collect();
        if living.len() != 1 {
            return Err(format!("{name} lives in {} logs", living.len()));
        }
        if let Some(expected) = acknowledged.homes.get(name)
            && home(&store, name) != *expected
        {
            return Err(format!("{name} lives in {}, not {expected}", home(&store, name)));
        }
        let there = whole(&store, name);
        let next = put(&store, name, "behind");
        if next != there.len() as u64 {
            return Err(format!("{name} goes on with {next} behind {} events", there.len()));
        }
        *events = there.into_iter().chain([(next, "behind".to_owned())]).collect();
    }
    store.close().map_err(|error| error.to_string())?;
    drop(store);
    for report in verify_all(&world.doors) {
        if let Some(fault) = report.faults.first() {
            return Err(format!("log {}: {fault:?}", report.name));
        }
    }
    compare(&world.open().reader().view(), &expected)
}

/// Fails unless all that was acknowledged is there, with dense numbers.
fn compare(view: &StoreView, acknowledged: &Acknowledged) -> Result<(), String> {
    for (name, events) in &acknowledged.events {
        let there = read(view, &Selection::channel(&channel(name)));
        if !there.iter().map(|(seq, _)| *seq).eq(0..there.len() as u64) {
            return Err(format!(
                "{name} has numbers {:?}",
                there.iter().map(|(seq, _)| *seq).collect::<Vec<_>>()
            ));
        }
        let there: BTreeMap<_, _> = there.into_iter().collect();
        for (seq, payload) in events {
            if there.get(seq) != Some(payload) {
                return Err(format!("{name} has {:?} at {seq}, not {payload}", there.get(seq)));
            }
        }
    }
    Ok(())
}

fn run(world: &World, acknowledged: &Arc<Mutex<Acknowledged>>) {
    let Ok(store) = Store::open(Path::new(DIR), &world.doors, &options()) else { return };
    let mut run = Run { store, acknowledged: Arc::clone(acknowledged), attempts: 0 };
    run.workload();
    let _ = run.store.close();
}

#[test]
fn a_crash_at_any_operation_leaves_every_channel_whole_and_in_one_log() {
    let world = World::new();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (taken, known) = (Arc::clone(&moments), Arc::clone(&acknowledged));
    world.disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, known.lock().unwrap().clone()));
    })));
    run(&world, &acknowledged);
    world.disk.on_operation(None);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 150, "{} moments", moments.len());
    assert_eq!(acknowledged.lock().unwrap().begun, 3);
    let (mut images, mut again) = (0, 0);
    for (moment, (snapshot, acknowledged)) in moments.iter().enumerate() {
        let seed = moment as u64;
        for image in [
            CrashImage::None,
            CrashImage::All,
            CrashImage::Sectors { seed },
            CrashImage::Sectors { seed: seed + 1_000 },
            CrashImage::Prefix { operations: 1 + moment % 5 },
            CrashImage::Reordered { seed },
            CrashImage::SizeBeforeData { writes: 1 },
        ] {
            images += 1;
            let checked = check_image(snapshot.image(&image), acknowledged, 7);
            assert_eq!(checked, Ok(()), "moment {moment} {image:?}");
            // A crash within the opening, too, for some.
            if moment % 13 == 3 && matches!(image, CrashImage::None | CrashImage::All) {
                again += crash_again(snapshot.image(&image), acknowledged);
            }
        }
    }
    assert!(again > 100, "{again} images of crashes within an opening");
    println!("{images} images, {again} of crashes within an opening");
}

/// Stops an opening before each of its operations, and opens again; returns how often.
fn crash_again(disk: SimulatedDisk, acknowledged: &Acknowledged) -> usize {
    let world = World::on(disk, 11);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&moments);
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    let store = Store::open(Path::new(DIR), &world.doors, &options()).unwrap();
    world.disk.on_operation(None);
    drop(store);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    for (moment, snapshot) in moments.iter().enumerate() {
        for image in [CrashImage::None, CrashImage::All] {
            let checked = check_image(snapshot.image(&image), acknowledged, 13);
            assert_eq!(checked, Ok(()), "moment {moment} of an opening, {image:?}");
        }
    }
    2 * moments.len()
}

#[test]
fn a_fault_at_any_operation_loses_nothing_and_the_channel_goes_on() {
    let count = {
        let world = World::new();
        run(&world, &Arc::default());
        world.disk.operation_count()
    };
    for ordinal in 0..count {
        for fault in [Fault::Error(5), Fault::Error(28)] {
            let world = World::new();
            world.disk.inject(ordinal, fault);
            let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
            run(&world, &acknowledged);
            let acknowledged = acknowledged.lock().unwrap().clone();
            for image in [CrashImage::All, CrashImage::None] {
                let image = world.disk.snapshot().image(&image);
                assert_eq!(check_image(image, &acknowledged, 3), Ok(()), "operation {ordinal} {fault:?}");
            }
        }
    }
}
