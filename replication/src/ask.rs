//! Asking until a request is decided, by a member of the group or by a node that only knows members; and the bytes of what
//! one try came to.
//!
//! ```text
//! request: u32 milliseconds that it may take, then the request as in `redex::exchange`
//! answer:  u8 what: 0 decided: the outcome as there; 1 surely nothing came of it, 2 nobody knows: the cause as text
//! several: u32 milliseconds that they may take, u16 requests (1 to 1,024), each u32+bytes; they are decided in their order
//! answer to several: u16 answers, each u32+bytes
//! ```

use std::future::Future;
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{LogId, NodeId, Position};
use bytes::Bytes;
use redex::exchange::{decode_outcome, decode_request, encode_outcome};
use redex::{AppendError, Outcome, Rejection};
use tokio::time::Instant;

use crate::link::{Link, LinkError};
use crate::message::{self, Subject};

/// How long somebody whom nobody answered waits before asking again, at first; twice as long each time.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(1);
/// How long at most.
const ASK_AGAIN_MAX: Duration = Duration::from_millis(50);

/// Requests in one message at most.
pub(crate) const REQUESTS_MAX: usize = 1_024;
/// Bytes of requests in one message at most, unless it is one alone.
pub(crate) const REQUEST_BYTES_MAX: usize = 1 << 20;

pub(crate) const DECIDED: u8 = 0;
const AGAIN: u8 = 1;
const LOST: u8 = 2;

/// What one try to have a request decided came to.
#[derive(Debug)]
pub(crate) enum Tried {
    Decided(Outcome),
    /// Surely nothing came of it.
    Again(String),
    /// Something may have come of it.
    Lost(String),
}

/// Somebody who has requests decided, and knows something of who leads.
pub(crate) trait Asker: Send {
    /// Has a request decided by whoever leads, as far as is known. One that can be repeated need not wait for somebody who leads
    /// no more.
    fn try_once(
        &mut self,
        encoded: &Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> impl Future<Output = Result<Tried, AppendError>> + Send;

    /// Waits until asking again may help: something changed, or a pause is over.
    fn wait_for_change(&mut self, deadline: Instant) -> impl Future<Output = ()> + Send;

    /// Returns up to where this node sees the log.
    fn position(&self) -> Position;
}

/// Asks until a request is decided or the time is over; `first` is what came of it before, if anything.
///
/// # Errors
///
/// As [`Request::check`](redex::exchange::Request::check); [`AppendError::Exchange`] for bytes that are no request.
pub(crate) async fn ask_until(
    asker: &mut impl Asker,
    encoded: &Bytes,
    deadline: Instant,
    mut first: Option<Tried>,
) -> Result<Outcome, AppendError> {
    let repeatable = decode_request(encoded, |request| request.is_repeatable())?;
    let mut lost = None;
    loop {
        let tried = match first.take() {
            Some(first) => first,
            None => asker.try_once(encoded, repeatable, deadline).await?,
        };
        let cause = match tried.behind(lost.is_some()) {
            Tried::Decided(outcome) => return Ok(outcome),
            Tried::Again(cause) => cause,
            Tried::Lost(cause) => lost.insert(cause).clone(),
        };
        if lost.is_none() || repeatable {
            asker.wait_for_change(deadline).await;
            if Instant::now() < deadline {
                continue;
            }
        }
        return Ok(match lost {
            Some(cause) => Outcome::Unknown { cause },
            None => {
                Outcome::Rejected { reason: Rejection::Unavailable { cause }, position: asker.position() }
            }
        });
    }
}

/// The pauses between asking and asking again.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    /// Returns when the next pause is over, which is longer than the one before.
    pub(crate) fn next(&mut self, deadline: Instant) -> Instant {
        self.0 = (self.0 * 2).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
        deadline.min(Instant::now() + self.0)
    }
}

/// Has another node decide on a request.
pub(crate) async fn forward(
    link: &dyn Link,
    log: LogId,
    to: NodeId,
    request: &Bytes,
    deadline: Instant,
) -> Tried {
    let within = deadline.saturating_duration_since(Instant::now());
    let mut body = message::begin(Subject::Request, log);
    body.put_u32(millis(within));
    body.put(request);
    match link.request(to, body.into(), within).await {
        Ok(answer) => Tried::read(to, &answer),
        Err(error) => Tried::failed(&error),
    }
}

/// Has another node decide on several requests, in their order.
pub(crate) async fn forward_all(
    link: &dyn Link,
    log: LogId,
    to: NodeId,
    requests: &[Bytes],
    deadline: Instant,
) -> Vec<Tried> {
    if let [request] = requests {
        return vec![forward(link, log, to, request, deadline).await];
    }
    let within = deadline.saturating_duration_since(Instant::now());
    let mut body = message::begin(Subject::Requests, log);
    body.put_u32(millis(within));
    put_list(&mut body, requests);
    let all = |tried: &dyn Fn() -> Tried| requests.iter().map(|_| tried()).collect();
    match link.request(to, body.into(), within).await.map(|answer| take_list(&answer)) {
        Ok(Ok(answers)) if answers.len() == requests.len() => {
            answers.iter().map(|answer| Tried::read(to, answer)).collect()
        }
        Ok(_) => all(&|| Tried::Lost(format!("node {to} gave an answer that is none"))),
        Err(error) => all(&|| Tried::failed(&error)),
    }
}

pub(crate) fn put_list(out: &mut Vec<u8>, list: &[Bytes]) {
    out.put_u16(u16::try_from(list.len()).unwrap_or(u16::MAX));
    for bytes in list {
        out.put_length(bytes.len());
        out.put(bytes);
    }
}

/// Answers several requests that surely nothing comes of.
pub(crate) fn refuse_all(body: &Bytes, cause: &str) -> Result<Bytes, Malformed> {
    let count = take_list(&body.slice(body.len().min(4)..))?.len();
    let mut answer = Vec::new();
    put_list(&mut answer, &vec![Tried::Again(cause.to_owned()).answer(); count]);
    Ok(answer.into())
}

/// Takes requests, or the answers to them.
pub(crate) fn take_list(all: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut cursor = Cursor::new(all);
    let count = usize::from(cursor.u16("requests")?);
    if count == 0 || count > REQUESTS_MAX {
        return Err(Malformed::new("requests"));
    }
    let mut list = Vec::new();
    for _ in 0..count {
        let length = cursor.length("request")?;
        list.push(all.slice_ref(cursor.take(length, "request")?));
    }
    cursor.finish("length")?;
    Ok(list)
}

impl Tried {
    /// Returns what it says where something may have come of an earlier try: a leader that takes nothing now, for want of room, does
    /// not say that nothing did.
    pub(crate) fn behind(self, lost: bool) -> Self {
        match self {
            Self::Decided(Outcome::Rejected {
                reason: reason @ (Rejection::DiskFull | Rejection::Unavailable { .. }),
                ..
            }) if lost => Self::Again(reason.to_string()),
            tried => tried,
        }
    }

    fn failed(error: &LinkError) -> Self {
        match error {
            LinkError::Unreachable { .. } => Self::Again(error.to_string()),
            LinkError::Lost { .. } => Self::Lost(error.to_string()),
        }
    }

    /// Reads what another node answered.
    fn read(to: NodeId, answer: &[u8]) -> Self {
        match answer.split_first() {
            Some((&DECIDED, outcome)) => match decode_outcome(outcome) {
                // It is not this node's disk that is to be made room on.
                Ok(Outcome::Rejected { reason: Rejection::DiskFull, position }) => {
                    let cause = format!("the disk of node {to}, which leads, is full");
                    Tried::Decided(Outcome::Rejected { reason: Rejection::Unavailable { cause }, position })
                }
                Ok(outcome) => Tried::Decided(outcome),
                Err(error) => Tried::Lost(error.to_string()),
            },
            Some((&AGAIN, cause)) => Tried::Again(String::from_utf8_lossy(cause).into_owned()),
            Some((&LOST, cause)) => Tried::Lost(String::from_utf8_lossy(cause).into_owned()),
            _ => Tried::Lost(format!("node {to} gave an answer that is none")),
        }
    }

    /// Encodes it for who asked.
    pub(crate) fn answer(&self) -> Bytes {
        let (what, rest) = match self {
            Self::Decided(outcome) => (DECIDED, encode_outcome(outcome)),
            Self::Again(cause) => (AGAIN, cause.clone().into_bytes()),
            Self::Lost(cause) => (LOST, cause.clone().into_bytes()),
        };
        [&[what], rest.as_slice()].concat().into()
    }
}

/// Returns a duration as it is sent.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Takes the time off that an answer may take.
pub(crate) fn take_deadline(body: &Bytes) -> Result<(Instant, Bytes), String> {
    let mut cursor = Cursor::new(body);
    let within = cursor.u32("time").map_err(|malformed| format!("a message with a wrong {malformed}"))?;
    Ok((Instant::now() + Duration::from_millis(within.into()), body.slice(4..)))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use redex::exchange::{Request, encode_request};
    use redex::{AppendRequest, Idempotency};

    use super::*;

    /// Is told these things, one after the other, and the last one for ever.
    struct Told(VecDeque<fn() -> Tried>);

    impl Asker for Told {
        async fn try_once(&mut self, _: &Bytes, _: bool, _: Instant) -> Result<Tried, AppendError> {
            let next = if self.0.len() > 1 { self.0.pop_front() } else { self.0.front().copied() };
            Ok(next.unwrap()())
        }

        async fn wait_for_change(&mut self, deadline: Instant) {
            tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_millis(10))).await;
        }

        fn position(&self) -> Position {
            Position::ZERO
        }
    }

    fn rejected(reason: Rejection) -> Tried {
        Tried::Decided(Outcome::Rejected { reason, position: Position(3) })
    }

    async fn ask(told: &[fn() -> Tried]) -> Outcome {
        let idempotency = Idempotency::Key("k");
        let request = Request::Append(&AppendRequest { idempotency, ..AppendRequest::default() });
        let encoded = encode_request(&request).unwrap().into();
        let deadline = Instant::now() + Duration::from_secs(1);
        ask_until(&mut Told(told.iter().copied().collect()), &encoded, deadline, None).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_without_room_does_not_say_that_nothing_came_of_an_earlier_try() {
        let full = || rejected(Rejection::DiskFull);
        let of_another = || rejected(Rejection::Unavailable { cause: "its disk is full".to_owned() });
        let lost = || Tried::Lost("no answer".to_owned());
        assert!(matches!(ask(&[full]).await, Outcome::Rejected { reason: Rejection::DiskFull, .. }));
        for refused in [full as fn() -> Tried, of_another] {
            let outcome = ask(&[lost, refused]).await;
            assert!(matches!(&outcome, Outcome::Unknown { cause } if cause == "no answer"), "{outcome:?}");
        }
        // What the log itself says counts, as soon as it says so.
        let stale = || rejected(Rejection::StaleProducer { id: "p".to_owned(), number: 1, last: 2 });
        let outcome = ask(&[lost, full, stale]).await;
        assert!(
            matches!(outcome, Outcome::Rejected { reason: Rejection::StaleProducer { .. }, .. }),
            "{outcome:?}"
        );
    }

    #[test]
    fn lists_come_back_as_they_were_and_cut_or_changed_ones_are_refused_or_mean_something_else() {
        let encode = |list: &[Bytes]| {
            let mut out = Vec::new();
            put_list(&mut out, list);
            Bytes::from(out)
        };
        let list = ["one", "", "three"].map(Bytes::from);
        let bytes = encode(&list);
        assert_eq!(take_list(&bytes).unwrap(), list);
        for length in 0..bytes.len() {
            assert!(take_list(&bytes.slice(..length)).is_err(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = take_list(&flipped.clone().into()) {
                assert_eq!(encode(&other), flipped, "one encoding each: bit {bit}");
            }
        }
        assert!(
            take_list(&encode(&[])).is_err()
                && take_list(&encode(&vec![Bytes::new(); REQUESTS_MAX + 1])).is_err()
        );
        assert_eq!(take_list(&encode(&vec![Bytes::new(); REQUESTS_MAX])).unwrap().len(), REQUESTS_MAX);
    }
}
