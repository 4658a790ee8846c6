//! Group commits: several threads append and wait at once, so that one sync acknowledges many.

use std::sync::Mutex;

use base::{CrashImage, SimulatedDisk};
use redex::Ack;

use super::check::check;
use super::workload::record;
use crate::ledger::{Fill, Ledger, Moments, Part, Repeat};
use crate::support::{World, options};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const APPENDS: usize = 10;

#[test]
fn a_sync_acknowledges_only_what_it_covers() {
    let disk = SimulatedDisk::new();
    let world = World::on(disk.clone(), 21);
    let store = world.open();
    let moments = record(&disk);
    let ledger = Mutex::new(Ledger::default());
    std::thread::scope(|scope| {
        for name in NAMES {
            let (store, ledger, disk) = (&store, &ledger, &disk);
            scope.spawn(move || {
                for number in 0..APPENDS {
                    let parts = [Part { channel: name, events: 1, fill: Fill::Text(100 + number * 90) }];
                    let mut held = ledger.lock().unwrap();
                    let now = disk.operation_count();
                    let (_, ticket) = held.submit(store.main(), &parts, Repeat::Never, &[], now).unwrap();
                    drop(held);
                    ticket.wait(if number % 4 == 3 { Ack::Written } else { Ack::Durable });
                    let visible = store.main().reader().visible();
                    ledger.lock().unwrap().note_durable(visible, disk.operation_count());
                }
            });
        }
    });
    disk.on_operation(None);
    disk.power_off();
    drop(store);
    let ledger = ledger.into_inner().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for moment in moments.lock().unwrap().iter() {
        let torn = (0..3).map(|seed| CrashImage::Sectors { seed });
        for survivors in torn.chain([CrashImage::None, CrashImage::All]) {
            if !seen.insert((moment.snapshot.digest(&survivors), moment.ordinal)) {
                continue;
            }
            let image = moment.snapshot.image(&survivors);
            if let Err(fault) = check(&image, &options(), &ledger, Moments::at(moment.ordinal)) {
                panic!("before {:?}, {survivors:?}: {fault}", moment.next);
            }
        }
    }
    println!("{} images", seen.len());
}
