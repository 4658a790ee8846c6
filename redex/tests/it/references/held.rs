//! Appends whose blobs nobody holds.

use std::sync::{Arc, Mutex};

use base::{Classify, ErrorKind, LogId, NodeId, OriginId, Position, Seq, Term};
use redex::{
    AppendRequest, ChannelEvents, Condition, Expect, HeldBlobs, Idempotency, LogConfig, Outcome, Rejection,
    ReplicaIdentity,
};

use super::*;

/// A store of blobs, and what was asked of it.
#[derive(Debug, Default)]
struct Shelf {
    held: Mutex<Hashes>,
    asked: Mutex<Vec<BlobReference>>,
}

impl Shelf {
    fn holding(numbers: impl IntoIterator<Item = u64>) -> Arc<Self> {
        Arc::new(Self { held: Mutex::new(hashes(numbers)), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<BlobReference> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl HeldBlobs for Shelf {
    fn hold(&self, references: &mut dyn Iterator<Item = BlobReference>) -> Result<(), BlobReference> {
        for reference in references {
            self.asked.lock().unwrap().push(reference);
            if !self.held.lock().unwrap().contains(&reference.hash) {
                return Err(reference);
            }
        }
        Ok(())
    }
}

fn submit(log: &Log, parts: &[(&str, &[u64])], idempotency: Idempotency<'_>) -> Outcome {
    let references: Vec<Vec<_>> =
        parts.iter().map(|(_, numbers)| numbers.iter().copied().map(reference).collect()).collect();
    let names: Vec<_> = parts.iter().map(|(name, _)| channel(name)).collect();
    let events: Vec<_> = references
        .iter()
        .map(|references| [EventInput::new("blob.used", b"{}").with_blobs(references)])
        .collect();
    let parts: Vec<_> =
        names.iter().zip(&events).map(|(channel, events)| ChannelEvents { channel, events }).collect();
    let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
    log.submit(&request).unwrap().wait(Ack::Durable)
}

fn missing(outcome: &Outcome) -> Option<BlobReference> {
    match outcome {
        Outcome::Rejected { reason: Rejection::BlobMissing { hash, bytes }, .. } => {
            Some(BlobReference { hash: *hash, bytes: *bytes })
        }
        _ => None,
    }
}

#[test]
fn an_append_whose_blob_is_not_held_is_refused_as_a_whole() {
    let world = World::new();
    let store = world.open();
    let shelf = Shelf::holding([1, 2]);
    store.set_held_blobs(shelf.clone());
    assert!(submit(store.main(), &[("a", &[1]), ("b", &[2, 1])], Idempotency::None).at().is_some());
    assert_eq!(shelf.asked(), [1, 2, 1].map(reference));
    let refused = submit(store.main(), &[("a", &[1]), ("new", &[]), ("b", &[2, 3, 4])], Idempotency::None);
    assert_eq!(missing(&refused), Some(reference(3)));
    let error = refused.into_result().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&hash(3).to_string()) && error.to_string().contains("put it first"));
    let view = store.main().reader().view();
    assert_eq!(view.channel(&channel("a")).unwrap().unwrap().next_seq, Seq(1));
    assert!(view.channel(&channel("new")).unwrap().is_none(), "nothing of it was staged");
    let position = store.main().sync().unwrap();
    shelf.held.lock().unwrap().insert(hash(3));
    shelf.held.lock().unwrap().insert(hash(4));
    let taken = submit(store.main(), &[("b", &[2, 3, 4])], Idempotency::None);
    assert_eq!(taken.at().unwrap().index.0, position.0, "no index was given away");
}

#[test]
fn nobody_is_asked_about_events_without_references_nor_where_something_else_refuses() {
    let world = World::new();
    let store = world.open();
    assert!(submit(store.main(), &[("a", &[9])], Idempotency::None).at().is_some(), "nobody holds anything");
    let shelf = Shelf::holding([]);
    store.set_held_blobs(shelf.clone());
    assert!(submit(store.main(), &[("a", &[])], Idempotency::None).at().is_some());
    let (a, references) = (channel("a"), [reference(9)]);
    let events = [EventInput::new("blob.used", b"").with_blobs(&references)];
    let conditions = [Condition { channel: a.clone(), expect: Expect::Exact(Seq(7)) }];
    let parts = [ChannelEvents { channel: &a, events: &events }];
    let request = AppendRequest { parts: &parts, conditions: &conditions, ..AppendRequest::default() };
    let refused = store.main().submit(&request).unwrap().wait(Ack::Durable);
    assert!(matches!(refused, Outcome::Rejected { reason: Rejection::ConditionFailed { .. }, .. }));
    assert_eq!(shelf.asked(), []);
}

#[test]
fn a_repeated_append_has_its_earlier_outcome_though_its_blob_is_gone() {
    let world = World::new();
    let store = world.open();
    let shelf = Shelf::holding([1, 2]);
    store.set_held_blobs(shelf.clone());
    let producer = |number| Idempotency::Producer { id: "p", number, digest: None };
    for idempotency in [Idempotency::Key("once"), producer(1)] {
        shelf.held.lock().unwrap().insert(hash(1));
        let first = submit(store.main(), &[("a", &[1])], idempotency);
        shelf.held.lock().unwrap().clear();
        shelf.asked();
        let again = submit(store.main(), &[("a", &[1])], idempotency);
        assert_eq!(again, Outcome::AlreadyAppended { at: first.at().unwrap().clone() });
        assert_eq!(shelf.asked(), []);
    }
    for idempotency in [Idempotency::Key("another"), producer(2)] {
        assert!(missing(&submit(store.main(), &[("a", &[1])], idempotency)).is_some());
        shelf.held.lock().unwrap().insert(hash(1));
        let taken = submit(store.main(), &[("a", &[1])], idempotency);
        assert!(matches!(taken, Outcome::Appended { .. }), "what was refused is not remembered: {taken:?}");
        shelf.held.lock().unwrap().clear();
    }
}

#[test]
fn every_log_of_a_store_asks_those_that_are_made_later_and_replicas_included() {
    let world = World::new();
    let store = world.open();
    let earlier = store.create_log(&LogName::new("earlier").unwrap(), &LogConfig::default()).unwrap();
    let identity = ReplicaIdentity {
        log: LogId::from_bytes([7; 16]),
        origin: OriginId::from_bytes([1; 32]),
        name: "shared".to_owned(),
    };
    let replica = store.open_replica(&identity).unwrap();
    store.set_held_blobs(Shelf::holding([]));
    let later = store.create_log(&LogName::new("later").unwrap(), &LogConfig::default()).unwrap();
    let keyed = store.create_keyed_log(&LogName::new("keyed").unwrap()).unwrap();
    for (log, name) in [(&earlier, "earlier"), (&later, "later"), (&keyed, "keyed")] {
        let (of, placed) = (channel(name), Placement::Log(LogName::new(name).unwrap()));
        store.create_channel(&of, &ChannelConfig::default(), &placed).unwrap();
        let references = [reference(1)];
        let event = EventInput::new("set", b"x").with_key("k").with_blobs(&references);
        let refused = log.append(&of, &[event]).unwrap().wait(Ack::Durable);
        assert_eq!(missing(&refused), Some(reference(1)), "{name}");
    }
    let mut proposer = replica.proposer(Term(1), NodeId(1), Arc::clone(store.identity()));
    let (of, references) = (channel("shared"), [reference(1)]);
    let events = [EventInput::new("set", b"x").with_blobs(&references)];
    let parts = [ChannelEvents { channel: &of, events: &events }];
    let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
    let (refused, relies_on) = proposer.submit(&request).unwrap();
    assert_eq!((missing(&refused), relies_on), (Some(reference(1)), Position::ZERO));
    assert!(proposer.seal().is_empty());
    // Another takes the place; a replica can be told by itself, too.
    replica.set_held_blobs(Shelf::holding([1]));
    assert!(proposer.submit(&request).unwrap().0.at().is_some());
    replica.close().unwrap();
    store.close().unwrap();
    drop((replica, earlier, later, keyed, store));
    let store = world.open();
    assert!(submit(store.main(), &[("a", &[1])], Idempotency::None).at().is_some(), "nobody was named since");
}
