//! Channels of values.

use base::{Classify, ErrorKind, Seq};
use redex::{Ack, AppendError, Encoding, EventInput, ReadError, Selection, TypedChannel, TypedTail};
use serde::{Deserialize, Serialize};

use crate::support::{World, append, channel};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Change {
    Opened { by: String, cents: i64 },
    Closed,
}

fn changes() -> Vec<Change> {
    let opened = |by: &str, cents| Change::Opened { by: by.to_owned(), cents };
    vec![opened("\u{e4}\"\n", i64::MIN), Change::Closed, opened("", 0)]
}

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Postcard];

#[test]
fn values_are_read_back_with_their_numbers_in_either_encoding() {
    for encoding in ENCODINGS {
        let world = World::new();
        let store = world.open();
        let typed = TypedChannel::<Change>::new(store.main(), &channel("changes"), encoding);
        assert_eq!(typed.read().unwrap().count(), 0);
        let at =
            typed.append_all("changed", &changes()).unwrap().wait(Ack::Durable).into_result().unwrap().at;
        assert_eq!((at.first_seq(), at.ranges()[0].count), (Some(Seq(0)), 3));
        typed.clone().append("changed", &Change::Closed).unwrap().wait(Ack::Durable).into_result().unwrap();
        let read: Vec<_> = typed.read().unwrap().map(Result::unwrap).collect();
        let mut due = changes();
        due.push(Change::Closed);
        assert_eq!(read, (0..).map(Seq).zip(due).collect::<Vec<_>>());
        let events = store.main().reader().view().read(&Selection::default()).unwrap();
        for event in events.map(Result::unwrap) {
            assert_eq!(event.kind, "changed");
            let header = &event.headers[0];
            assert_eq!(
                (header.0.as_str(), &header.1[..]),
                ("content-type", encoding.content_type().as_bytes())
            );
        }
    }
}

/// Returns the numbers and values of a batch, `None` for those that do not decode.
fn batch(tail: &mut TypedTail<Change>) -> Vec<(u64, Option<Change>)> {
    let items = tail.next_batch().unwrap().into_iter().map(|item| match item {
        Ok((seq, change)) => (seq.0, Some(change)),
        Err(ReadError::Decode { channel, seq, cause }) => {
            assert!(channel.as_str() == "changes" && !cause.is_empty());
            (seq.0, None)
        }
        Err(error) => panic!("{error}"),
    });
    items.collect()
}

#[test]
fn what_does_not_decode_is_an_error_item_and_the_next_ones_follow() {
    for encoding in ENCODINGS {
        let world = World::new();
        let store = world.open();
        let typed = TypedChannel::<Change>::new(store.main(), &channel("changes"), encoding);
        let mut tail = typed.tail(Seq(0));
        let mut behind = typed.tail(Seq(3));
        typed.append("changed", &Change::Closed).unwrap().wait(Ack::Durable).into_result().unwrap();
        // Not of this type; nothing at all; a value with something behind it.
        let good = store.main().reader().view().read(&Selection::default()).unwrap().next().unwrap().unwrap();
        let trailing = [&good.payload[..], b"\x01"].concat();
        for payload in [&b"\xFF\xFF"[..], b"", &trailing] {
            let event = EventInput::new("changed", payload);
            store
                .main()
                .append(&channel("changes"), &[event])
                .unwrap()
                .wait(Ack::Durable)
                .into_result()
                .unwrap();
        }
        append(store.main(), "other", "not of this channel");
        typed.append("changed", &changes()[0]).unwrap().wait(Ack::Durable).into_result().unwrap();

        let items: Vec<_> = typed.read().unwrap().collect();
        assert_eq!(items.len(), 5);
        for (seq, item) in items.iter().enumerate() {
            match item {
                Ok((found, _)) => assert!(found.0 == seq as u64 && [0, 4].contains(&seq), "{seq}"),
                Err(error) => assert!(error.kind() == ErrorKind::Invalid && (1..4).contains(&seq), "{error}"),
            }
        }
        let due =
            [(0, Some(Change::Closed)), (1, None), (2, None), (3, None), (4, Some(changes()[0].clone()))];
        assert_eq!(batch(&mut tail), due);
        assert_eq!(batch(&mut behind), due[3..]);
        assert_eq!(batch(&mut tail), []);
        assert!(!tail.tail().is_ended());
        store.close().unwrap();
        assert!(tail.tail().is_ended());
    }
}

#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("cannot be written"))
    }
}

#[test]
fn a_value_that_cannot_be_encoded_appends_nothing() {
    for encoding in ENCODINGS {
        let world = World::new();
        let store = world.open();
        let typed = TypedChannel::<Unwritable>::new(store.main(), &channel("a"), encoding);
        let error = typed.append_all("k", &[Unwritable, Unwritable]).unwrap_err();
        assert!(matches!(error, AppendError::Encode { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(store.main().reader().view().channels().unwrap().is_empty());
        assert_eq!(store.main().sync().unwrap(), base::Position(0));
    }
}
