//! Orders in a directory: typed appends, a condition, a tail that follows, and SQL over the same events.
//!
//! `cargo run -p netdb --example orders [DIRECTORY]`; without a directory it keeps everything in memory.

use netdb::redex::Encoding;
use netdb::{Ack, Error, ErrorKind, EventInput, Expect, NetDb, Seq};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    total: f64,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let db = match std::env::args().nth(1) {
        Some(dir) => NetDb::open(dir)?,
        None => NetDb::in_memory()?,
    };
    let channel = db.channel("orders")?;
    let mut tail = channel.tail(Seq(0));

    let orders = channel.typed::<Order>(Encoding::Json);
    for (customer, total) in [("C-17", 42.5), ("C-4", 7.0), ("C-17", 12.25)] {
        let order = Order { customer: customer.to_owned(), total };
        let appended = orders.append("order.placed", &order)?.wait(Ack::Durable).into_result()?;
        println!("order {} is on disk", appended.at.ranges()[0].first);
    }

    // Whoever expects an outdated channel is told, and nothing is appended.
    let stale = channel.append_if(Expect::Exact(Seq(0)), &[EventInput::new("order.placed", b"{}")]);
    match stale {
        Err(error) if error.kind() == ErrorKind::Conflict => println!("refused: {error}"),
        other => println!("unexpected: {other:?}"),
    }

    for _ in 0..3 {
        if let Some(event) = tail.next().await {
            let event = event?;
            println!("{} {} {}", event.seq, event.kind, String::from_utf8_lossy(&event.payload));
        }
    }

    let answer = db
        .sql(
            "select payload->>'customer' as customer, count(*) as orders, sum((payload->>'total')::double) as total \
             from orders group by 1 order by 1",
        )
        .await?;
    println!("{answer}");
    db.close()
}
