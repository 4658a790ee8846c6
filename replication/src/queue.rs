//! What is asked on a node that does not decide itself: in its order, and as many requests in a message as wait for it.
//!
//! One message is on its way; what is asked meanwhile goes with the next. So requests do not overtake each other, unless nobody
//! knows what became of one: then those behind it do not wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Position;
use bytes::Bytes;
use futures::future::BoxFuture;
use redex::exchange::decode_request;
use redex::{Outcome, Promise, Rejection};
use tokio::time::Instant;

use crate::ask::{REQUEST_BYTES_MAX, REQUESTS_MAX, Tried};
use crate::group::{Group, Seen};
use crate::writer::once_seen;

/// How much later than its time a request may be told that it is over, since it shares a message with others.
const LATE_WITHIN: Duration = Duration::from_secs(1);

/// A request whose ticket is not told yet.
pub(crate) struct Asked {
    encoded: Bytes,
    until: Instant,
    promise: Promise,
    repeatable: bool,
    /// Why something may have come of it already.
    lost: Option<String>,
}

/// Requests of a node that wait for who leads. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    /// Whether a task sees to them.
    is_served: bool,
}

impl Asked {
    pub(crate) fn new(encoded: Bytes, until: Instant, promise: Promise) -> Self {
        // Bytes that do not read are refused by who decides.
        let repeatable = decode_request(&encoded, |request| request.is_repeatable()).unwrap_or(false);
        Self { encoded, until, promise, repeatable, lost: None }
    }

    /// Takes note of what a try came to; returns the outcome, or `None` where it is to be asked again.
    fn tried(&mut self, tried: Tried, position: Position) -> Option<Outcome> {
        let cause = match tried.behind(self.lost.is_some()) {
            Tried::Decided(outcome) => return Some(outcome),
            Tried::Again(cause) => cause,
            Tried::Lost(cause) => self.lost.insert(cause).clone(),
        };
        if (self.lost.is_none() || self.repeatable) && Instant::now() < self.until {
            return None;
        }
        Some(match self.lost.take() {
            Some(cause) => Outcome::Unknown { cause },
            None => Outcome::Rejected { reason: Rejection::Unavailable { cause }, position },
        })
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether something waits, which what is asked now must not overtake.
    pub(crate) fn is_served(&self) -> bool {
        self.waiting().is_served
    }

    /// Adds a request behind the others; `true` when somebody must [serve](Self::serve) the queue from now on.
    pub(crate) fn add(&self, asking: Asked) -> bool {
        let mut waiting = self.waiting();
        waiting.asked.push_back(asking);
        !std::mem::replace(&mut waiting.is_served, true)
    }

    /// Puts requests back, before those that were asked later; as [`add`](Self::add).
    fn put_back(&self, asked: Vec<Asked>) -> bool {
        let mut waiting = self.waiting();
        asked.into_iter().rev().for_each(|asking| waiting.asked.push_front(asking));
        !std::mem::replace(&mut waiting.is_served, true)
    }

    /// Takes what goes into one message; nothing once nothing waits, and the queue is not served any more.
    fn take(&self) -> Vec<Asked> {
        let mut waiting = self.waiting();
        let (mut taken, mut bytes) = (Vec::<Asked>::new(), 0);
        let fits = |taken: &[Asked], bytes: usize, next: &Asked| {
            taken.first().is_none_or(|first| {
                let has_room = taken.len() < REQUESTS_MAX && bytes + next.encoded.len() <= REQUEST_BYTES_MAX;
                has_room && next.until <= first.until + LATE_WITHIN
            })
        };
        while let Some(next) = waiting.asked.pop_front_if(|next| fits(&taken, bytes, next)) {
            bytes += next.encoded.len();
            taken.push(next);
        }
        waiting.is_served = !taken.is_empty();
        taken
    }

    /// Has everything that waits decided by whoever leads, until nothing waits.
    pub(crate) fn serve(self, group: Group) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut seen = group.look();
            loop {
                let asked = self.take();
                let Some(deadline) = asked.iter().map(|asking| asking.until).max() else { return };
                let again = self.ask(&group, &mut seen, asked, deadline).await;
                match again.is_empty() {
                    true => seen.goes_on(),
                    false => {
                        self.put_back(again);
                        seen.wait_for_change(deadline).await;
                    }
                }
            }
        })
    }

    /// Asks once; returns what is to be asked again.
    async fn ask(&self, group: &Group, seen: &mut Seen, asked: Vec<Asked>, deadline: Instant) -> Vec<Asked> {
        let requests: Vec<_> = asked.iter().map(|asking| asking.encoded.clone()).collect();
        let Some(leader) = seen.leader() else {
            let nobody = requests.iter().map(|_| Tried::Again("no leader is known".to_owned()));
            return tell(group, asked, nobody.collect());
        };
        if leader == group.node() {
            return tell(group, asked, group.decide_all(&requests, deadline).await);
        }
        let mut forwarded = Box::pin(group.clone().forward_all(leader, requests, deadline));
        tokio::select! {
            biased;
            tried = &mut forwarded => tell(group, asked, tried),
            () = seen.another_leads(leader) => {
                let (queue, group) = (self.clone(), group.clone());
                let (mut again, rest): (Vec<_>, Vec<_>) = asked.into_iter().enumerate().partition(|(_, one)| one.repeatable);
                for (_, one) in &mut again {
                    one.lost = Some(format!("node {leader} leads no more"));
                }
                // What must not be asked twice waits for its answer, and nothing waits for that.
                tokio::spawn(async move {
                    let mut tried = forwarded.await.into_iter().enumerate();
                    let tried = rest.iter().filter_map(|(at, _)| Some(tried.find(|(answered, _)| answered == at)?.1));
                    let tried = tried.collect();
                    let again = tell(&group, rest.into_iter().map(|(_, one)| one).collect(), tried);
                    if !again.is_empty() && queue.put_back(again) {
                        queue.serve(group).await;
                    }
                });
                again.into_iter().map(|(_, one)| one).collect()
            }
        }
    }
}

/// Tells what was decided, in its order; returns what is to be asked again.
fn tell(group: &Group, asked: Vec<Asked>, tried: Vec<Tried>) -> Vec<Asked> {
    let (mut again, mut told) = (Vec::new(), Vec::new());
    for (mut asking, tried) in asked.into_iter().zip(tried) {
        match asking.tried(tried, group.reader().visible()) {
            None => again.push(asking),
            Some(outcome) => told.push((asking, outcome)),
        }
    }
    let group = group.clone();
    tokio::spawn(async move {
        for (Asked { promise, until, .. }, outcome) in told {
            promise.keep(once_seen(&group, outcome, until).await);
        }
    });
    again
}
