//! What callers of a sequencer send over a network, and what they get back.

use base::{ChannelName, Hash, Seq};
use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::meter::within_bounds;
use redex::exchange::{Request, decode_outcome, decode_request, encode_outcome, encode_request};
use redex::{AppendRequest, BlobReference, ChannelEvents, Condition, EventInput, Expect, Idempotency};

/// Reads bytes as a request: what is taken is within the limits, or is refused by them, and has one encoding.
fn request(bytes: &[u8]) {
    let read = within_bounds(bytes.len(), || decode_request(bytes, encode_request));
    if let Ok(Ok(again)) = read {
        assert!(again == bytes, "a request has two encodings");
    }
}

fn outcome(bytes: &[u8]) {
    let Ok(read) = within_bounds(bytes.len(), || decode_outcome(bytes)) else { return };
    let again = encode_outcome(&read);
    assert!(again == bytes || again.len() < bytes.len(), "an outcome has two encodings");
}

fn sample() -> Vec<u8> {
    let channel = ChannelName::new("orders/audit").expect("a name");
    let headers: [(&str, &[u8]); 1] = [("source", b"test")];
    let blobs = [BlobReference { hash: Hash::of(b"blob"), bytes: 4 }];
    let event =
        EventInput::new("order.placed", b"{}").with_key("k").with_headers(&headers).with_blobs(&blobs);
    let events = [event, EventInput::new("x", b"")];
    let parts = [ChannelEvents { channel: &channel, events: &events }];
    let conditions = [Condition { channel: channel.clone(), expect: Expect::Exact(Seq(3)) }];
    let idempotency = Idempotency::Producer { id: "p", number: 1, digest: Some(Hash::of(b"lines")) };
    encode_request(&Request::Append(&AppendRequest { parts: &parts, conditions: &conditions, idempotency }))
        .expect("within the limits")
}

#[test]
fn request_bytes() {
    check!().with_iterations(4000).for_each(request);
}

#[test]
fn request_altered() {
    let sample = sample();
    check!().with_type::<Plan>().with_iterations(20_000).for_each(|(_, _, edits, count)| {
        let mut bytes = sample.clone();
        alter(&mut bytes, edits, *count);
        request(&bytes);
    });
}

#[test]
fn outcome_bytes() {
    check!().with_iterations(8000).for_each(outcome);
}
