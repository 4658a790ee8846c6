//! Logs to ask.

use std::path::Path;

use base::{ChannelName, Doors, Timestamp};
use meshdb::{Gateway, GatewayOptions, Limits, Principal, QueryError, RecordBatch};
use redex::{Ack, AppendRequest, ChannelEvents, EventInput, LogOptions, Store};

/// A store in memory, a gateway over it, and a runtime to run it on.
pub struct Fixture {
    pub store: Store,
    pub gateway: Gateway,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with_options(GatewayOptions { threads: Some(2), ..GatewayOptions::default() })
    }

    pub fn with_options(options: GatewayOptions) -> Self {
        Self::over(&LogOptions::default(), options)
    }

    pub fn over(log: &LogOptions, options: GatewayOptions) -> Self {
        let store = Store::create(Path::new("/db"), &Doors::memory(), log).unwrap();
        let gateway = Gateway::new(store.reader(), options);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { store, gateway, runtime }
    }

    pub fn append(&self, channel: &str, events: &[EventInput<'_>]) {
        self.append_all(&[(channel, events)]);
    }

    /// Appends to several channels at once: one entry.
    pub fn append_all(&self, parts: &[(&str, &[EventInput<'_>])]) {
        let names: Vec<ChannelName> = parts.iter().map(|(name, _)| ChannelName::new(name).unwrap()).collect();
        let parts: Vec<_> = parts
            .iter()
            .zip(&names)
            .map(|((_, events), channel)| ChannelEvents { channel, events })
            .collect();
        let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
        let ticket = self.store.main().submit(&request).unwrap();
        ticket.wait(Ack::Durable).into_result().unwrap();
    }

    pub fn run(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.run_with(sql, &Limits::default())
    }

    pub fn run_with(&self, sql: &str, limits: &Limits) -> Result<Vec<RecordBatch>, QueryError> {
        self.block_on(async {
            self.gateway.execute(&Principal::owner(), sql, &[], limits).await?.collect().await
        })
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// A small shop: orders and their audit trail, measurements that are not text, and what the database keeps.
pub fn shop() -> Fixture {
    let fixture = Fixture::new();
    let at = |second: i64| Timestamp::from_nanos(1_600_000_000_000_000_000 + second * 1_000_000_000);
    let order = |payload: &'static str| EventInput::new("order.placed", payload.as_bytes());
    fixture.append(
        "orders",
        &[
            order(r#"{"id":1,"total":9.5,"customer":{"name":"Ada","tags":["new","vip"]},"note":null}"#)
                .with_key("ada")
                .with_time(at(0)),
            order(r#"{"id":2,"total":20,"customer":{"name":"Bob","tags":[]},"note":"fragile"}"#)
                .with_key("bob"),
        ],
    );
    let headers: &[(&str, &[u8])] = &[("content-type", b"application/json"), ("trace", &[0xff, 0x00])];
    fixture.append_all(&[
        ("orders", &[order(r#"{"id":3,"total":null}"#).with_headers(headers)]),
        ("orders/audit", &[EventInput::new("order.checked", b"{\"by\":\"eve\"}").with_key("ada")]),
    ]);
    fixture.append(
        "orders",
        &[EventInput::new("order.cancelled", b"{\"id\":2}").with_key("bob").with_time(at(60))],
    );
    fixture.append(
        "Sensors",
        &[EventInput::new("measured", &[0xff, 0xfe, 0x00]), EventInput::new("measured", b"")],
    );
    fixture.append("events", &[EventInput::new("odd", b"1")]);
    fixture.append("sys/names", &[EventInput::new("named", b"{}")]);
    fixture
}
