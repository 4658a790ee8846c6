//! Payloads of typed channels, and snapshots of models.

use std::collections::BTreeMap;

use base::{ChannelName, Doors};
use bolero::check;
use netdb::Snapshot;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::corpus;
use netdb_fuzz::meter::within_bounds;
use redex::{Ack, Encoding, EventInput, FlusherMode, LogOptions, Store, TypedChannel};
use serde::{Deserialize, Serialize};

/// A value with lengths in it.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    text: String,
    numbers: Vec<u64>,
    map: BTreeMap<String, Option<f64>>,
}

fn typed(encoding: Encoding, payload: &[u8]) {
    let mut options = LogOptions::default();
    options.flusher = FlusherMode::Manual;
    let store = Store::create("/node".as_ref(), &Doors::memory(), &options).expect("memory has room");
    let name = ChannelName::new("values").expect("the name is allowed");
    let ticket = store.main().append(&name, &[EventInput::new("value", payload)]).expect("it is small");
    ticket.wait(Ack::Durable).into_result().expect("memory has room");
    let channel = TypedChannel::<Value>::new(store.main(), &name, encoding);
    let values: Vec<_> = channel.read().expect("the log is sound").collect();
    assert_eq!(values.len(), 1);
    for (_, value) in values.into_iter().flatten() {
        let ticket = channel.append("value", &value).expect("what was decoded is encoded");
        ticket.wait(Ack::Durable).into_result().expect("memory has room");
    }
}

#[test]
fn typed_json() {
    check!().with_iterations(300).for_each(|payload| typed(Encoding::Json, payload));
}

#[test]
fn typed_postcard() {
    check!().with_iterations(300).for_each(|payload| typed(Encoding::Postcard, payload));
}

/// Reads a snapshot; what it gives, written down and read again, is the same.
fn snapshot(bytes: &[u8]) -> bool {
    let Ok(read) = within_bounds(bytes.len(), || Snapshot::decode(bytes)) else { return false };
    let written = read.encode();
    let again = Snapshot::decode(&written).expect("what was written is read");
    assert_eq!((read.log, read.position), (again.log, again.position));
    assert!(again.encode() == written, "a snapshot changes when it is read");
    true
}

#[test]
fn snapshot_corpus() {
    for (name, bytes) in corpus::files(&corpus::folder("snapshot")) {
        assert_eq!(snapshot(&bytes), name.starts_with("valid"), "{name}");
    }
}

#[test]
fn snapshot_bytes() {
    check!().with_iterations(4000).for_each(|bytes| {
        snapshot(bytes);
    });
}

#[test]
fn snapshot_altered() {
    let samples = corpus::valid(&corpus::folder("snapshot"));
    check!().with_type::<Plan>().with_iterations(40_000).for_each(|(sample, _, edits, count)| {
        let mut bytes = samples[usize::from(*sample) % samples.len()].clone();
        alter(&mut bytes, edits, *count);
        snapshot(&bytes);
    });
}
