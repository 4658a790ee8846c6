//! What nodes read of each other: any bytes, altered valid ones, and messages made of any fields; and what gossip makes of
//! members that say anything.

use bolero::{check, produce};
use net::fuzzing::{Message, Picks, membership};
use netdb_fuzz::alter::{Plan, alter};
use netdb_fuzz::corpus;
use netdb_fuzz::meter::within_bounds;

/// Reads bytes, within the memory they justify.
fn read(message: Message, bytes: &[u8]) -> bool {
    within_bounds(bytes.len(), || message.read(bytes)).is_some()
}

macro_rules! messages {
    ($($name:ident: $message:ident,)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn corpus() {
                for (name, bytes) in corpus::files(&corpus::folder_of(Message::$message)) {
                    assert_eq!(read(Message::$message, &bytes), name.starts_with("valid"), "{name}");
                }
            }

            #[test]
            fn bytes() {
                check!().with_iterations(4000).for_each(|bytes| {
                    read(Message::$message, bytes);
                });
            }

            #[test]
            fn altered() {
                let samples = corpus::valid(&corpus::folder_of(Message::$message));
                check!().with_type::<Plan>().with_iterations(20_000).for_each(|(sample, _, edits, count)| {
                    let mut bytes = samples[usize::from(*sample) % samples.len()].clone();
                    alter(&mut bytes, edits, *count);
                    read(Message::$message, &bytes);
                });
            }

            #[test]
            fn made() {
                let choices = produce::<Vec<u8>>().with().len(0..2000_usize);
                check!().with_generator(choices).with_iterations(2000).for_each(|choices| {
                    let bytes = Message::$message.make(&mut Picks(choices));
                    assert!(read(Message::$message, &bytes), "what was made is read");
                });
            }
        }
    )*};
}

messages! {
    hello: Hello,
    greeted: Greeted,
    packet: Packet,
    ticket: Ticket,
    join_request: JoinRequest,
    join_answer: JoinAnswer,
}

#[test]
fn membership_of_members_that_say_anything() {
    let choices = produce::<Vec<u8>>().with().len(0..8000_usize);
    check!().with_generator((choices, produce::<u64>())).with_iterations(4000).for_each(|(choices, seed)| {
        membership(&mut Picks(choices), *seed);
    });
}
