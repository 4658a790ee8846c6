//! Several logs of a node: where channels live, how they move, and what readers see of it.

mod attached;
mod crash;
mod given_up;
mod model;
mod placing;
mod reading;
mod retention;
mod verify;

use std::path::Path;

use base::Doors;
use redex::{
    Ack, Appended, ChannelConfig, EventInput, LogConfig, LogName, Placement, Retention, Selection, Store,
    StoreReader, StoreView, VerifyOptions, VerifyReport,
};

use crate::support::{DIR, World, channel, options};

fn log_name(name: &str) -> LogName {
    LogName::new(name).unwrap()
}

fn keeping_bytes(bytes: u64) -> Placement {
    Placement::With(LogConfig::keeping(Retention::of_bytes(bytes)))
}

fn keeping_events(events: u64) -> Placement {
    Placement::With(LogConfig::keeping(Retention::of_events(events)))
}

fn place(store: &Store, name: &str, placement: &Placement) -> Appended {
    store.create_channel(&channel(name), &ChannelConfig::default(), placement).unwrap()
}

/// Appends one event durably; returns its number.
fn put(store: &Store, name: &str, payload: &str) -> u64 {
    let event = EventInput::new("test.happened", payload.as_bytes());
    let ticket = store.append(&channel(name), &[event]).unwrap();
    ticket.wait(Ack::Durable).into_result().unwrap().at.first_seq().unwrap().0
}

fn home(store: &Store, name: &str) -> String {
    store.log_of(&channel(name)).reader().name().to_owned()
}

/// Reads a channel: numbers and payloads.
fn read(view: &StoreView, selection: &Selection) -> Vec<(u64, String)> {
    let events = view.read(selection).unwrap().map(|event| event.unwrap());
    events.map(|event| (event.seq.0, String::from_utf8(event.payload.to_vec()).unwrap())).collect()
}

fn whole(store: &Store, name: &str) -> Vec<(u64, String)> {
    read(&store.reader().view(), &Selection::channel(&channel(name)))
}

fn reader(world: &World) -> StoreReader {
    StoreReader::open(Path::new(DIR), &world.doors, &options()).unwrap()
}

fn verify_all(doors: &Doors) -> Vec<VerifyReport> {
    redex::verify_all(Path::new(DIR), doors, &VerifyOptions::default()).unwrap()
}

/// Fails unless every log is as it should be.
fn check(doors: &Doors) {
    for report in verify_all(doors) {
        assert_eq!(report.faults, [], "log {}", report.name);
    }
}
