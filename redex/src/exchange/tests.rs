use base::{ChannelName, Hash, Index, Position, Seq, Timestamp};

use super::*;
use crate::{
    AppendRequest, At, BlobReference, ChannelConfig, ChannelEvents, ChannelRange, Condition, EventInput,
    Expect, Idempotency, LogName, Outcome, Rejection,
};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// Encodes requests that have something of everything.
fn requests() -> Vec<Vec<u8>> {
    let headers: [(&str, &[u8]); 2] = [("a", b"1"), ("a", b"")];
    let blobs = [BlobReference { hash: Hash::of(b"blob"), bytes: 9 }];
    let full = EventInput::new("order.placed", b"{}").with_key("k").with_headers(&headers);
    let full = full.with_time(Timestamp::from_nanos(-7)).with_blobs(&blobs);
    let (orders, audit) = (channel("orders"), channel("orders/audit"));
    let (many, one) =
        ([full, EventInput::default(), EventInput::new("x", b"y")], [EventInput::new("z", b"")]);
    let parts =
        [ChannelEvents { channel: &orders, events: &many }, ChannelEvents { channel: &audit, events: &one }];
    let expected = [Expect::Any, Expect::NoChannel, Expect::Exists, Expect::Exact(Seq(3))];
    let conditions = expected.map(|expect| Condition { channel: channel("orders"), expect });
    let repetitions = [
        Idempotency::None,
        Idempotency::Key("key"),
        Idempotency::Producer { id: "p", number: 4, digest: None },
        Idempotency::Producer { id: "p", number: 5, digest: Some(Hash::of(b"lines")) },
    ];
    let appends =
        repetitions.map(|idempotency| AppendRequest { parts: &parts, conditions: &conditions, idempotency });
    let config = ChannelConfig { erasable: true, ..ChannelConfig::with_content_type("application/json") };
    let create = Request::CreateChannel { channel: &orders, config: &config };
    appends
        .iter()
        .map(Request::Append)
        .chain([create])
        .map(|request| encode_request(&request).unwrap())
        .collect()
}

fn outcomes() -> Vec<Outcome> {
    let ranges = vec![
        ChannelRange { channel: channel("a"), first: Seq(1), count: 2 },
        ChannelRange { channel: channel("b"), first: Seq(0), count: 1 },
    ];
    let at = At::many(Index(7), ranges);
    let (orders, log) = (channel("orders"), LogName::new("other").unwrap());
    let failed = |actual| Rejection::ConditionFailed {
        channel: channel("c"),
        expected: Expect::Exact(Seq(1)),
        actual,
    };
    let reasons = vec![
        failed(None),
        failed(Some(Seq(9))),
        Rejection::ConfigMismatch { channel: orders.clone() },
        Rejection::KeyReused { key: "k".to_owned(), at: Box::new(at.clone()) },
        Rejection::StaleProducer { id: "p".to_owned(), number: 1, last: 2 },
        Rejection::Moved { channel: orders.clone(), to: log.clone() },
        Rejection::Elsewhere { channel: orders.clone(), log: log.clone() },
        Rejection::Unplaced { channel: orders, log },
        Rejection::ClockLeap { now: Timestamp::from_nanos(5), expected: Timestamp::from_nanos(-5) },
        Rejection::KeysFull { bytes: 1, max: 2 },
        Rejection::DiskFull,
        Rejection::WriteFailed { cause: "no".to_owned() },
        Rejection::Unavailable { cause: "nobody leads".to_owned() },
        Rejection::BlobMissing { hash: Hash::of(b"blob"), bytes: 9 },
    ];
    let rejected = reasons.into_iter().map(|reason| Outcome::Rejected { reason, position: Position(3) });
    let others = [
        Outcome::Appended { at: at.clone() },
        Outcome::AlreadyAppended { at },
        Outcome::Unknown { cause: "cut off".to_owned() },
    ];
    rejected.chain(others).collect()
}

#[test]
fn a_missing_blob_is_told_in_these_bytes() {
    let reason = Rejection::BlobMissing { hash: Hash::of(b"blob"), bytes: 9 };
    let encoded = encode_outcome(&Outcome::Rejected { reason, position: Position(3) });
    let (position, bytes) = (3_u64.to_le_bytes(), 9_u64.to_le_bytes());
    let expected = [&[2][..], &position, &[12], Hash::of(b"blob").as_bytes(), &bytes].concat();
    assert_eq!(encoded, expected);
}

/// Decodes a request and encodes it again.
fn again(bytes: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    decode_request(bytes, |request| encode_request(request).expect("what was taken is within the limits"))
}

#[test]
fn requests_and_outcomes_come_back_as_they_were() {
    for bytes in requests() {
        assert_eq!(again(&bytes).as_ref(), Ok(&bytes));
    }
    for outcome in outcomes() {
        assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
    }
}

#[test]
fn cut_and_changed_bytes_are_refused_or_mean_something_else() {
    for bytes in requests() {
        for length in 0..bytes.len() {
            assert!(decode_request(&bytes[..length], |_| ()).is_err(), "{length}");
        }
        assert!(decode_request(&[bytes.as_slice(), &[0]].concat(), |_| ()).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let seen = decode_request(&flipped, |request| encode_request(request).ok());
            assert_ne!(seen, Ok(Some(bytes.clone())), "bit {bit}");
        }
    }
    for outcome in outcomes() {
        let bytes = encode_outcome(&outcome);
        for length in 0..bytes.len() {
            assert!(decode_outcome(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode_outcome(&flipped).ok().as_ref(), Some(&outcome), "bit {bit}");
        }
    }
}

#[test]
fn what_is_too_large_is_not_sent() {
    let orders = channel("orders");
    let kind = "k".repeat(256);
    let events = [EventInput::new(&kind, b"")];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    let append = AppendRequest { parts: &parts, ..AppendRequest::default() };
    assert!(encode_request(&Request::Append(&append)).is_err());
    let parts = vec![ChannelEvents { channel: &orders, events: &[] }; 1 << 16];
    let append = AppendRequest { parts: &parts, ..AppendRequest::default() };
    assert!(encode_request(&Request::Append(&append)).is_err());
    let long = Outcome::Unknown { cause: "\u{e4}".repeat(70_000) };
    assert!(
        matches!(decode_outcome(&encode_outcome(&long)), Ok(Outcome::Unknown { cause }) if cause.len() == 1_024)
    );
}
