//! Logs of a node that somebody else puts in order.

use std::sync::Arc;

use base::Seq;
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, EventInput, Idempotency, Log, LogName, LogWriter,
    PlaceError, Placement, Rejection, Selection, Store,
};

use crate::support::{World, append, channel};

/// A log of another node, in the place of a replicated one: the seam is the same.
fn other() -> (World, Store, Log, LogName) {
    let world = World::new();
    let store = world.open();
    let name = LogName::new("shared").unwrap();
    let log = store.create_log(&name, &redex::LogConfig::default()).unwrap();
    (world, store, log, name)
}

/// Writes to the other store's log, which takes only what is placed there.
#[derive(Debug)]
struct Elsewhere(Store, Log);

impl LogWriter for Elsewhere {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<redex::Ticket, redex::AppendError> {
        self.0.submit(request)
    }

    fn append(
        &self,
        channel: &base::ChannelName,
        events: &[EventInput<'_>],
    ) -> Result<redex::Ticket, redex::AppendError> {
        self.0.append(channel, events)
    }

    fn incarnation(&self) -> base::IncarnationId {
        base::IncarnationId::NONE
    }

    fn producer(&self, id: &str) -> Option<redex::ProducerState> {
        self.1.producer(id)
    }

    fn reader(&self) -> &redex::LogReader {
        self.1.reader()
    }
}

#[test]
fn channels_of_an_attached_log_are_written_through_it_and_read_with_the_others() {
    let (_there, theirs, log, name) = other();
    let orders = channel("orders");
    theirs.create_channel(&orders, &ChannelConfig::default(), &Placement::Log(name.clone())).unwrap();
    let here = World::new();
    let store = here.open();
    append(store.main(), "local", "here");
    assert!(matches!(store.place_attached(&orders, &name), Err(PlaceError::NoLog { .. })));
    let (logs, mut tail) = (store.logs().len(), store.tail(Selection::default()));
    store.attach(Arc::new(Elsewhere(theirs.clone(), log.clone()))).unwrap();
    store.place_attached(&orders, &name).unwrap();
    store.place_attached(&orders, &name).unwrap();
    let events = [EventInput::new("order.placed", b"there")];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    let by = |number| AppendRequest {
        parts: &parts,
        idempotency: Idempotency::Producer { id: "p", number, digest: None },
        ..AppendRequest::default()
    };
    assert!(store.submit(&by(4)).unwrap().wait(Ack::Durable).at().is_some());
    assert_eq!(store.producer(&orders, "p").unwrap().number, 4);
    assert_eq!(log.reader().view().channel(&orders).unwrap().unwrap().next_seq, Seq(1));
    assert_eq!(store.logs().len(), logs, "it is none of this node's");
    let mut payloads: Vec<_> = store
        .reader()
        .view()
        .read(&Selection::default())
        .unwrap()
        .map(|event| String::from_utf8(event.unwrap().payload.to_vec()).unwrap())
        .collect();
    payloads.sort();
    assert_eq!(payloads, ["here", "there"]);
    let mut followed = 0;
    while followed < 2 {
        followed += tail.next_batch().unwrap().len();
    }
    // One append is in one log.
    let parts = [
        ChannelEvents { channel: &orders, events: &events },
        ChannelEvents { channel: &channel("local"), events: &events },
    ];
    let both = store.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() });
    assert!(matches!(both, Err(redex::AppendError::SeveralLogs { .. })));
    // No log of this node takes the channel behind the store's back.
    let refused = store.main().append(&orders, &events).unwrap().wait(Ack::Durable);
    assert!(matches!(refused, redex::Outcome::Rejected { reason: Rejection::Elsewhere { .. }, .. }));
}

#[test]
fn a_channel_that_lives_here_is_not_placed_in_an_attached_log() {
    let (_there, theirs, log, name) = other();
    let here = World::new();
    let store = here.open();
    append(store.main(), "orders", "here");
    store.attach(Arc::new(Elsewhere(theirs, log))).unwrap();
    assert!(matches!(store.place_attached(&channel("orders"), &name), Err(PlaceError::Append(_))));
    // Nor is a log attached under the name of one of this node's.
    let own = LogName::new("own").unwrap();
    store.create_log(&own, &redex::LogConfig::default()).unwrap();
    let world = World::new();
    let other = world.open();
    let log = other.create_log(&own, &redex::LogConfig::default()).unwrap();
    assert!(matches!(store.attach(Arc::new(log)), Err(PlaceError::ConfigMismatch { .. })));
}

#[test]
fn a_channel_that_is_reserved_takes_nothing_before_its_log_is_attached() {
    let (_there, theirs, log, name) = other();
    let orders = channel("orders");
    theirs.create_channel(&orders, &ChannelConfig::default(), &Placement::Log(name.clone())).unwrap();
    let here = World::new();
    let store = here.open();
    store.reserve_for_attached(&orders, &name).unwrap();
    let refused = store.append(&orders, &[EventInput::new("order.placed", b"1")]).unwrap_err();
    assert_eq!(base::Classify::kind(&refused), base::ErrorKind::Unavailable, "{refused}");
    store.attach(Arc::new(Elsewhere(theirs, log.clone()))).unwrap();
    store.place_attached(&orders, &name).unwrap();
    let appended = store.append(&orders, &[EventInput::new("order.placed", b"1")]).unwrap();
    assert!(appended.wait(Ack::Durable).at().is_some());
    assert_eq!(log.reader().view().channel(&orders).unwrap().unwrap().next_seq, Seq(1));
    append(store.main(), "local", "here");
    assert!(store.reserve_for_attached(&channel("local"), &name).is_err());
}
