//! What a member sends for the groups of a node, where this one has none: heartbeats of many groups are answered, or not read.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base::NodeId;
use bolero::check;
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::meter::within_bounds;
use replication::Groups;

/// What a message of heartbeats begins with: what it is, no log, how long it may take.
const HEAD_BYTES: usize = 1 + 16 + 2;

/// Hands bytes to a node; returns what it answers.
fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let groups = Groups::default();
    within_bounds(bytes.len(), || {
        let handled = pin!(groups.handle(NodeId(2), bytes.to_vec().into()));
        match handled.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.ok().map(|answer| answer.to_vec()),
            Poll::Pending => panic!("there is no group to wait for"),
        }
    })
}

/// An answer to heartbeats says for each, in two bytes, that nobody is there.
fn heartbeats(bytes: &[u8]) {
    let Some(answer) = answer(bytes).filter(|_| bytes[0] == 6) else { return };
    let parts = usize::from(u16::from_le_bytes([bytes[HEAD_BYTES], bytes[HEAD_BYTES + 1]]));
    assert!(parts > 0 && HEAD_BYTES + 2 + 18 * parts <= bytes.len(), "more parts than bytes");
    assert_eq!(answer, [&bytes[HEAD_BYTES..HEAD_BYTES + 2], &vec![0; 2 * parts]].concat());
}

fn sample() -> Vec<u8> {
    let mut sample = vec![6];
    sample.extend([0; 16]);
    sample.extend(25_u16.to_le_bytes());
    sample.extend(40_u16.to_le_bytes());
    for log in 1..=40_u8 {
        sample.extend([log; 16]);
        sample.extend(u16::from(log).to_le_bytes());
        sample.extend(vec![log; log.into()]);
    }
    sample
}

#[test]
fn a_message_is_answered() {
    heartbeats(&sample());
    assert!(answer(&sample()).is_some());
}

#[test]
fn group_bytes() {
    check!().with_iterations(8000).for_each(heartbeats);
}

#[test]
fn group_altered() {
    let sample = sample();
    check!().with_type::<Plan>().with_iterations(20_000).for_each(|(_, _, edits, count)| {
        let mut bytes = sample.clone();
        alter(&mut bytes, edits, *count);
        heartbeats(&bytes);
    });
}
