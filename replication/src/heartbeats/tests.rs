use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::link::Answer;

const EVERY: Duration = Duration::from_millis(100);
const TO: NodeId = NodeId(2);

/// Notes what is sent and when, and answers each part with itself, but for those that begin with a zero.
#[derive(Debug, Default)]
struct Echo {
    sent: Mutex<Vec<(Duration, Vec<LogId>)>>,
    began: OnceLock<Instant>,
}

impl Link for Echo {
    fn request(&self, _: NodeId, _: Bytes, _: Duration) -> Answer {
        panic!("a heartbeat does not wait for what is large");
    }

    fn request_urgent(&self, to: NodeId, body: Bytes, _: Duration) -> Answer {
        let (subject, _, body) = message::open(&body).unwrap();
        assert_eq!((to, subject), (TO, Subject::Heartbeats));
        let logs = decode(&body).unwrap().parts.into_iter().map(|(log, _)| log).collect();
        let at = self.began.get().unwrap().elapsed();
        self.sent.lock().unwrap().push((at, logs));
        Box::pin(async move {
            let echo = |_| Some(|part: Bytes| async move { Some(part).filter(|part| part[0] != 0) });
            Ok(answer(&body, echo).await.unwrap())
        })
    }
}

fn log(number: u8) -> LogId {
    LogId::from_bytes([number; 16])
}

struct Node {
    heartbeats: Heartbeats,
    echo: Arc<Echo>,
    began: Instant,
}

impl Node {
    /// A node that beats for the first time now.
    fn new() -> Self {
        let heartbeats = Heartbeats::default();
        assert_eq!(heartbeats.next_beat(EVERY), Instant::now() + EVERY);
        let echo = Arc::<Echo>::default();
        echo.began.set(Instant::now()).unwrap();
        Self { heartbeats, echo, began: Instant::now() }
    }

    fn seat(&self, number: u8, every: Duration) -> Seat {
        self.heartbeats.seat(TO, log(number), every)
    }

    async fn until(&self, millis: u64) {
        tokio::time::sleep_until(self.began + Duration::from_millis(millis)).await;
    }

    async fn ask(&self, seat: &Seat) -> Result<Bytes, LinkError> {
        let link: Arc<dyn Link> = Arc::clone(&self.echo) as _;
        seat.ask(&link, vec![seat.log.as_bytes()[0], 7], EVERY).await
    }

    /// Returns when each message went, in milliseconds, and the groups in it.
    fn sent(&self) -> Vec<(u128, Vec<u8>)> {
        let sent = std::mem::take(&mut *self.echo.sent.lock().unwrap());
        let numbers = |logs: Vec<LogId>| logs.iter().map(|log| log.as_bytes()[0]).collect();
        sent.into_iter().map(|(at, logs)| (at.as_millis(), numbers(logs))).collect()
    }
}

fn echoed(number: u8) -> Result<Bytes, LinkError> {
    Ok(vec![number, 7].into())
}

#[tokio::test(start_paused = true)]
async fn a_lone_groups_heartbeat_waits_for_nothing() {
    let node = Node::new();
    let one = node.seat(1, EVERY);
    for at in [0, 3, 100, 150] {
        node.until(at).await;
        assert_eq!(node.ask(&one).await, echoed(1));
        assert_eq!(node.sent(), [(at.into(), vec![1])]);
    }
    // So it is again once the others are gone.
    drop(node.seat(2, EVERY));
    node.until(200).await;
    assert_eq!(node.ask(&one).await, echoed(1));
    assert_eq!(node.sent(), [(200, vec![1])]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_goes_together_once_all_of_it_is_there() {
    let node = Node::new();
    // The last one is due at every fifth beat of the others only.
    let seats = [node.seat(3, EVERY), node.seat(1, EVERY), node.seat(2, EVERY), node.seat(4, EVERY * 5)];
    node.until(100).await;
    let told = tokio::join!(node.ask(&seats[0]), node.ask(&seats[1]), async {
        node.until(102).await;
        node.ask(&seats[2]).await
    });
    assert_eq!(told, (echoed(3), echoed(1), echoed(2)));
    assert_eq!(node.sent(), [(102, vec![1, 2, 3])]);
    node.until(500).await;
    let told = futures::future::join_all(seats.iter().map(|seat| node.ask(seat))).await;
    assert_eq!(told, [3, 1, 2, 4].map(echoed));
    assert_eq!(node.sent(), [(500, vec![1, 2, 3, 4])]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_who_is_late_longer_than_the_window() {
    let node = Node::new();
    let seats = [node.seat(1, EVERY), node.seat(2, EVERY), node.seat(3, EVERY)];
    node.until(101).await;
    let told = tokio::join!(node.ask(&seats[0]), node.ask(&seats[1]), async {
        node.until(110).await;
        node.ask(&seats[2]).await
    });
    assert_eq!(told, (echoed(1), echoed(2), echoed(3)));
    // The timer of the runtime counts whole milliseconds.
    assert_eq!(node.sent(), [(107, vec![1, 2]), (110, vec![3])]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_sent_between_beats_waits_only_for_who_is_ready() {
    let node = Node::new();
    let seats = [node.seat(1, EVERY), node.seat(2, EVERY), node.seat(3, EVERY)];
    node.until(150).await;
    let told = tokio::join!(node.ask(&seats[0]), node.ask(&seats[1]));
    assert_eq!(told, (echoed(1), echoed(2)));
    assert_eq!(node.sent(), [(150, vec![1, 2])]);
}

#[tokio::test(start_paused = true)]
async fn more_parts_than_a_message_takes_go_in_several() {
    let node = Node::new();
    let id = |number: usize| {
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        LogId::from_bytes(bytes)
    };
    let seats: Vec<_> = (0..PARTS_MAX + 3).map(|at| node.heartbeats.seat(TO, id(at), EVERY)).collect();
    node.until(100).await;
    futures::future::join_all(seats.iter().map(|seat| node.ask(seat))).await;
    let counts: Vec<_> = node.sent().iter().map(|(_, logs)| logs.len()).collect();
    assert_eq!(counts, [PARTS_MAX, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_answer_is_left_out_and_so_is_a_slow_one() {
    let node = Node::new();
    // The link answers none for this one.
    let seats = [node.seat(0, EVERY), node.seat(1, EVERY)];
    node.until(100).await;
    let (none, one) = tokio::join!(node.ask(&seats[0]), node.ask(&seats[1]));
    assert!(matches!(none, Err(LinkError::Lost { node: TO, .. })), "{none:?}");
    assert_eq!(one, echoed(1));

    let mut body = Vec::new();
    let parts: Vec<_> = (1..=4).map(|number| (log(number), [number; 2])).collect();
    let borrowed: Vec<_> = parts.iter().map(|(log, bytes)| (*log, bytes.as_slice())).collect();
    encode_parts(&mut body, EVERY / 4, &borrowed);
    let asked = AtomicUsize::new(0);
    let group = |group: LogId| {
        (group != log(3)).then_some(async |part: Bytes| {
            asked.fetch_add(1, Ordering::Relaxed);
            match part[0] {
                2 => std::future::pending().await,
                4 => Some(vec![4; PART_BYTES_MAX + 1].into()),
                _ => Some(part),
            }
        })
    };
    let began = Instant::now();
    let answers = answer(&body.into(), group).await.unwrap();
    assert_eq!(began.elapsed(), EVERY / 4);
    assert_eq!(asked.into_inner(), 3, "all at once, slow or not");
    let answers = decode_answers(&answers, 4).unwrap();
    assert_eq!(answers, [Some(vec![1, 1].into()), None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn what_a_group_gave_up_is_not_sent_twice() {
    let node = Node::new();
    let seats = [node.seat(1, EVERY), node.seat(2, EVERY)];
    node.until(100).await;
    assert!(tokio::time::timeout(Duration::from_millis(1), node.ask(&seats[0])).await.is_err());
    let (one, two) = tokio::join!(node.ask(&seats[0]), node.ask(&seats[1]));
    assert_eq!((one, two), (echoed(1), echoed(2)));
    assert_eq!(node.sent(), [(101, vec![1, 2])]);
    node.until(140).await;
    assert_eq!(node.sent(), [], "nothing is left over");
}

fn messages() -> Vec<Vec<u8>> {
    let of = |parts: &[(LogId, &[u8])]| {
        let mut out = Vec::new();
        encode_parts(&mut out, EVERY / 4, parts);
        out
    };
    vec![of(&[(log(1), b"one")]), of(&[(log(1), b""), (log(2), &[7; PART_BYTES_MAX]), (log(3), b"three")])]
}

#[test]
fn cut_and_changed_bytes_are_refused_or_mean_something_else() {
    let again = |arrived: &Arrived| {
        let mut out = Vec::new();
        let parts: Vec<_> = arrived.parts.iter().map(|(log, bytes)| (*log, &bytes[..])).collect();
        encode_parts(&mut out, arrived.within, &parts);
        out
    };
    for bytes in messages() {
        assert_eq!(again(&decode(&bytes.clone().into()).unwrap()), bytes);
        for length in 0..bytes.len() {
            assert!(decode(&Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length}");
        }
        assert!(decode(&[bytes.as_slice(), &[0]].concat().into()).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode(&flipped.clone().into()) {
                assert_eq!(again(&other), flipped, "one encoding each: bit {bit}");
            }
        }
    }
    let answers = Bytes::from(vec![2, 0, 1, 0, 9, 0, 0]);
    assert_eq!(decode_answers(&answers, 2), Ok(vec![Some(vec![9].into()), None]));
    for length in 0..answers.len() {
        assert!(decode_answers(&answers.slice(..length), 2).is_err(), "{length}");
    }
    assert!(decode_answers(&answers, 3).is_err() && decode_answers(&answers, 1).is_err());
}

#[test]
fn messages_beyond_the_limits_are_refused() {
    let refused = |parts: &[(LogId, &[u8])]| {
        let mut out = Vec::new();
        encode_parts(&mut out, EVERY, parts);
        decode(&out.into()).unwrap_err().what
    };
    assert_eq!(refused(&[]), "parts");
    assert_eq!(refused(&[(log(1), &[0; PART_BYTES_MAX + 1])]), "part");
    assert_eq!(refused(&[(log(2), b"x"), (log(1), b"y")]), "order of parts");
    assert_eq!(refused(&[(log(1), b"x"), (log(1), b"y")]), "order of parts");
    let many: Vec<_> =
        (0..=PARTS_MAX as u128).map(|at| (LogId::from_bytes(at.to_be_bytes()), &b"x"[..])).collect();
    assert_eq!(refused(&many), "parts");
    // What is for one group is not for all, and the other way round.
    for (subject, log) in [(Subject::Heartbeats, log(1)), (Subject::Consensus, message::ALL)] {
        assert!(message::open(&message::begin(subject, log).into()).is_err());
    }
}
