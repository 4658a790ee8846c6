//! Money between two accounts: one append over two channels, under a condition, repeated safely.
//!
//! `cargo run -p netdb --example transfer`

use netdb::base::ChannelName;
use netdb::redex::{AppendRequest, ChannelEvents, Condition, Idempotency};
use netdb::{Ack, Error, EventInput, Expect, NetDb, Selection};

fn main() -> Result<(), Error> {
    let db = NetDb::in_memory()?;
    let (from, to) = (ChannelName::new("accounts/alice")?, ChannelName::new("accounts/bob")?);
    db.channel(from.as_str())?.append("account.opened", br#"{"balance":100}"#)?;
    db.channel(to.as_str())?.append("account.opened", br#"{"balance":0}"#)?;

    // The condition names the state that the decision was made on: one event in alice's channel.
    let withdrawn = [EventInput::new("money.withdrawn", br#"{"amount":30}"#)];
    let deposited = [EventInput::new("money.deposited", br#"{"amount":30}"#)];
    let request = AppendRequest {
        parts: &[
            ChannelEvents { channel: &from, events: &withdrawn },
            ChannelEvents { channel: &to, events: &deposited },
        ],
        conditions: &[Condition { channel: from.clone(), expect: Expect::Exact(netdb::Seq(1)) }],
        idempotency: Idempotency::Key("transfer-1"),
    };
    for attempt in 1..=2 {
        let done = db.log().submit(&request)?.wait(Ack::Durable).into_result()?;
        println!("attempt {attempt}: in the log at entry {}, already there: {}", done.at.index, done.already);
    }

    for event in db.log().reader().view().read(&Selection::default())? {
        let event = event?;
        println!("{} {} {}", event.channel, event.kind, String::from_utf8_lossy(&event.payload));
    }
    db.close()
}
