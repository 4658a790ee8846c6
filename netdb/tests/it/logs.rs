//! Channels in logs of their own, as an application meets them.

use std::time::Duration;

use netdb::base::{Doors, ErrorKind, ManualClock, MemoryDisk, Position, SeededRandom, Timestamp};
use netdb::redex::FlusherMode;
use netdb::{LogConfig, LogOptions, NetDb, Placement, Retention, Seq};

fn bytes(bytes: u64) -> Placement {
    Placement::With(LogConfig::keeping(Retention::of_bytes(bytes)))
}

#[tokio::test]
async fn a_stream_and_a_statement_follow_a_channel_that_moves() {
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    let probes = db.create_channel("probes", &LogConfig::keeping(Retention::of_events(1_000))).unwrap();
    assert_eq!(probes.append("taken", b"0").unwrap().at.first_seq(), Some(Seq(0)));
    let mut stream = probes.tail(Seq(0));
    assert_eq!(stream.next().await.unwrap().unwrap().seq, Seq(0));
    let next = tokio::spawn(async move {
        let event = stream.next().await.unwrap().unwrap();
        (event, stream)
    });
    let mover = db.clone();
    tokio::task::spawn_blocking(move || mover.channel("probes").unwrap().move_to(&bytes(1 << 20)).unwrap())
        .await
        .unwrap();
    probes.append_async(&[netdb::EventInput::new("taken", b"1")]).await.unwrap();
    let (event, mut stream) = next.await.unwrap();
    assert_eq!((event.seq, &event.payload[..]), (Seq(1), &b"1"[..]));
    let payloads: Vec<_> = probes.read(Seq(0)).unwrap().map(|event| event.unwrap().payload).collect();
    assert_eq!(payloads, [&b"0"[..], b"1"]);
    let history = probes.history().unwrap().unwrap();
    assert_eq!((history.parts.len(), history.next_seq()), (2, Seq(2)));
    // Models stay in `main`, and show beside channels of other logs.
    db.tasks().unwrap().create(1, "look").unwrap().durable().unwrap();
    let answer = db.sql("select count(*) as n, (select count(*) from tasks) as t from probes").await.unwrap();
    assert!(answer.to_string().contains('2') && answer.to_string().contains('1'), "{answer}");
    let denied = db.channel("cortex/tasks").unwrap().move_to(&bytes(1)).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert_eq!(
        probes.move_to(&Placement::Log("none".parse().unwrap())).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(db.create_channel("probes", &LogConfig::default()).unwrap_err().kind(), ErrorKind::Conflict);
    db.close().unwrap();
    assert!(stream.next().await.is_none(), "the stream ends with the database");
}

#[test]
fn a_main_that_was_set_to_give_up_its_past_keeps_what_models_are_folded_from() {
    let clock = std::sync::Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
    let doors = Doors {
        clock: clock.clone(),
        random: std::sync::Arc::new(SeededRandom::new(1)),
        disk: std::sync::Arc::new(MemoryDisk::default()),
    };
    let mut options = LogOptions::default();
    options.flusher = FlusherMode::Manual;
    options.segment_bytes = 64 << 10;
    let builder = || NetDb::builder().directory("/db").doors(doors.clone()).log_options(options.clone());
    let fill = |db: &NetDb| {
        for _ in 0..300 {
            db.channel("filling").unwrap().append("k", &[7; 1_000]).unwrap();
        }
        for _ in 0..4 {
            clock.advance(Duration::from_millis(200));
            db.log().flush_step();
        }
        db.log().reader().view().begins()
    };
    let db = builder().open().unwrap();
    let config = LogConfig::keeping(Retention::of_bytes(128 << 10));
    db.store().set_config(&"main".parse().unwrap(), &config).unwrap();
    db.close().unwrap();
    let db = builder().with_tasks().open().unwrap();
    db.tasks().unwrap().create(1, "stay").unwrap().durable().unwrap();
    assert_eq!(fill(&db), Position::ZERO);
    db.close().unwrap();
    // Also whoever opens it without the models.
    let db = builder().open().unwrap();
    assert_eq!(fill(&db), Position::ZERO);
    db.close().unwrap();
    let db = builder().with_tasks().open().unwrap();
    assert_eq!(db.snapshot().unwrap().tasks().unwrap().len(), 1);
    db.close().unwrap();
}
