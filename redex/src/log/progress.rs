//! How far a log is written and durable, and who waits for that.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use base::Position;

use crate::{Ack, Rejection};

/// A write that failed: it ended an epoch of staging.
#[derive(Debug, Clone)]
struct Failure {
    /// Entries of the epoch below this position were written.
    cut: Position,
    reason: Rejection,
}

/// What can be said to somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    Failed(Rejection),
    Unknown(String),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub written: Position,
    pub durable: Position,
    /// Somebody is committing for everybody: a round is in flight.
    pub committing: bool,
    /// The number of the newest round.
    round: u64,
    /// Where the round in flight ends, once it has taken what is staged.
    round_end: Option<Position>,
    /// How many threads wait for rounds with even and with odd numbers.
    waiting: [usize; 2],
    /// How many threads the newest round woke or left waiting, when it ended.
    pub crowd: usize,
    /// A blocked thread waits for durability up to here.
    durable_wanted: Position,
    /// By the epoch that each of them ended.
    failures: BTreeMap<u64, Failure>,
    poison: Option<String>,
    wakers: BTreeMap<u64, Waiting>,
    next_waker: u64,
}

#[derive(Debug)]
struct Waiting {
    need: Need,
    ack: Ack,
    waker: Waker,
}

/// What a ticket waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The epoch in which the append was staged.
    pub epoch: u64,
    /// Everything below must be as safe as asked.
    pub position: Position,
}

impl State {
    /// Returns what is settled about `need`, if anything.
    pub(crate) fn verdict(&self, need: Need, ack: Ack) -> Option<Verdict> {
        if let Some(failure) = self.failures.get(&need.epoch).filter(|failure| need.position > failure.cut) {
            return Some(Verdict::Failed(failure.reason.clone()));
        }
        let reached = match ack {
            Ack::Staged if self.poison.is_none() => return Some(Verdict::Reached),
            Ack::Staged | Ack::Written => self.written,
            Ack::Durable => self.durable,
        };
        if reached >= need.position {
            return Some(Verdict::Reached);
        }
        self.poison.clone().map(Verdict::Unknown)
    }

    /// Tells whether somebody waits for durability that is not there yet.
    pub(crate) fn wants_durable(&self) -> bool {
        self.durable_wanted > self.durable || self.wakers.values().any(|waiting| waiting.ack == Ack::Durable)
    }

    /// Takes the wakers of what is settled.
    fn take_settled(&mut self) -> Vec<Waker> {
        let settled: Vec<u64> = self
            .wakers
            .iter()
            .filter(|(_, waiting)| self.verdict(waiting.need, waiting.ack).is_some())
            .map(|(id, _)| *id)
            .collect();
        settled.iter().filter_map(|id| self.wakers.remove(id)).map(|waiting| waiting.waker).collect()
    }

    pub(crate) fn has_wakers(&self) -> bool {
        !self.wakers.is_empty()
    }

    pub(crate) fn want(&mut self, need: Need, ack: Ack) {
        if ack == Ack::Durable {
            self.durable_wanted = self.durable_wanted.max(need.position);
        }
    }

    /// Begins a round; its end is not known yet.
    pub(crate) fn begin_round(&mut self) {
        self.committing = true;
        self.round += 1;
        self.round_end = None;
    }

    /// Notes that the round in flight takes what is staged up to `end`. Called under the lock of the stage, so
    /// that whoever stages later sees it.
    pub(crate) fn take_up_to(&mut self, end: Position) {
        self.round_end = Some(end);
    }

    pub(crate) fn poison(&self) -> Option<&String> {
        self.poison.as_ref()
    }

    pub(crate) fn set_waker(&mut self, id: Option<u64>, need: Need, ack: Ack, waker: &Waker) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next_waker += 1;
            self.next_waker
        });
        self.wakers.insert(id, Waiting { need, ack, waker: waker.clone() });
        id
    }

    pub(crate) fn remove_waker(&mut self, id: u64) {
        self.wakers.remove(&id);
    }
}

/// The state with what blocked threads wait on.
///
/// Who is part of the round in flight waits for its end, and everybody else for the end of the next one. When a
/// round ends, its own are woken, and one of the others, to commit for them all.
///
/// Lock order in a log: committer, then stage, then progress; each is held alone where possible.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    /// What is signalled at the end of rounds with even and with odd numbers.
    ended: [Condvar; 2],
}

impl Progress {
    pub(crate) fn new(position: Position) -> Self {
        let state = State { written: position, durable: position, ..State::default() };
        Self { state: Mutex::new(state), ended: [Condvar::new(), Condvar::new()] }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a round is in flight that does not settle `position`, or for what it settles; may return
    /// earlier.
    pub(crate) fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        position: Position,
    ) -> MutexGuard<'a, State> {
        let is_part = state.round_end.is_none_or(|end| position <= end);
        let side = usize::from((state.round + u64::from(!is_part)) % 2 == 1);
        state.waiting[side] += 1;
        let mut state = self.ended[side].wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting[side] -= 1;
        state
    }

    fn wake_all(&self) {
        self.ended.iter().for_each(Condvar::notify_all);
    }

    /// Ends a round: changes the state, and wakes whoever waited for the change. If it may go on and somebody waits
    /// for the next round, that one has begun when this returns `true`; else one of those who wait is woken for it.
    pub(crate) fn end_round(&self, may_go_on: bool, change: impl FnOnce(&mut State)) -> bool {
        let mut state = self.lock();
        change(&mut state);
        let woken = state.take_settled();
        let (own, next) = (usize::from(state.round % 2 == 1), usize::from(state.round.is_multiple_of(2)));
        let waiting = state.waiting;
        state.crowd = waiting[own] + waiting[next];
        let goes_on = may_go_on && waiting[next] > 0 && state.poison.is_none();
        state.committing = false;
        if goes_on {
            state.begin_round();
        }
        drop(state);
        if waiting[own] > 0 {
            self.ended[own].notify_all();
        }
        if waiting[next] > 0 && !goes_on {
            self.ended[next].notify_one();
        }
        woken.into_iter().for_each(Waker::wake);
        goes_on
    }

    /// Changes the state and wakes everybody.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let woken = state.take_settled();
        drop(state);
        self.wake_all();
        woken.into_iter().for_each(Waker::wake);
    }

    /// Notes that a write failed which ended an epoch; the epoch's entries below `cut` were written.
    pub(crate) fn fail(&self, epoch: u64, cut: Position, reason: Rejection) {
        self.change(|state| {
            state.failures.insert(epoch, Failure { cut, reason });
        });
    }

    pub(crate) fn poison(&self, cause: &str) {
        self.change(|state| {
            state.poison.get_or_insert_with(|| cause.to_owned());
        });
    }
}
