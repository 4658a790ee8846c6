//! How fast a node brings replicas up that are behind: one token bucket for all groups that it leads.
//!
//! What the bucket holds is time of the line: it fills by a second each second, up to one. An item takes the time that it needs at
//! its log's fraction of the node's peak. So one log alone sends at its fraction of the peak, and several share the line.
//!
//! What is in the foreground goes as soon as its time is there, in order; what is larger than a whole second goes once the bucket
//! is full, and leaves a debt. What is in the background goes while more is there than is kept for the foreground, and nobody
//! there waits; or after a minute, for at most a tenth of a second for each minute that it has waited.
//!
//! Only what a follower lacks that is far behind asks here. Heartbeats, votes and new entries never do.

use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::{BandwidthClass, Fraction, ReplicationConfig};

mod meter;

use meter::Meter;

/// What the bucket holds at most, in nanoseconds of the line.
const CAPACITY: i128 = 1_000_000_000;
/// How long what is in the background waits at most for its first escape, and between two.
const STARVES_AFTER: Duration = Duration::from_secs(60);
/// What an escape is worth.
const ESCAPE: i128 = CAPACITY / 10;
/// The longest time until somebody who waits looks again, whatever is in the way.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How much a node's network carries at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Peak {
    /// It is not asked for: catching up has no limit.
    #[default]
    Unlimited,
    /// The best that was seen since the node started; no limit until something was.
    Measured,
    /// So many bytes a second.
    Given(NonZeroU64),
}

/// A node's budget for bringing replicas up that are behind. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    inner: Arc<Inner>,
}

impl PartialEq for Budget {
    /// Tells whether both are the same node's.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

#[derive(Debug, Default)]
struct Inner {
    peak: Peak,
    state: Mutex<State>,
    /// Those who wait, in order, each class by itself.
    foreground: tokio::sync::Mutex<()>,
    background: tokio::sync::Mutex<()>,
    /// Says that something may go sooner than it looked.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bucket: Bucket,
    meter: Meter,
    /// Who waits in the foreground.
    waiting: usize,
}

/// What was put in and taken out.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Nanoseconds of the line; below zero while there is a debt.
    level: i128,
    /// When it was that; never, while nothing was taken.
    at: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { level: CAPACITY, at: None }
    }
}

/// What wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Foreground,
    Background {
        /// What is kept for the foreground.
        kept: i128,
        /// Whether somebody waits there.
        yields: bool,
        /// Since when it is the first of those that wait.
        since: Instant,
    },
}

impl Bucket {
    /// Takes what an item costs, or says when to ask again at the earliest.
    fn take(&mut self, now: Instant, cost: i128, asked: Asked) -> Result<(), Duration> {
        self.fill(now);
        let least = cost.min(CAPACITY);
        let until = match asked {
            Asked::Foreground => nanos(least - self.level),
            Asked::Background { kept, yields, since } => {
                let escapes = u32::try_from(((cost + ESCAPE - 1) / ESCAPE).max(1)).unwrap_or(u32::MAX);
                let starved = STARVES_AFTER.saturating_mul(escapes).saturating_sub(now - since);
                // More than what is kept: a nanosecond more.
                let regular = nanos(least.max(kept + 1) - self.level);
                match yields || kept >= CAPACITY {
                    true => starved,
                    false => starved.min(regular),
                }
            }
        };
        if !until.is_zero() {
            return Err(until);
        }
        self.level -= cost;
        Ok(())
    }

    /// Puts back what was taken for nothing.
    fn refund(&mut self, now: Instant, cost: i128) {
        self.fill(now);
        self.level = (self.level + cost).min(CAPACITY);
    }

    fn fill(&mut self, now: Instant) {
        let gone = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.level = (self.level + i128::try_from(gone.as_nanos()).unwrap_or(CAPACITY)).min(CAPACITY);
        self.at = Some(now);
    }
}

/// A time that nothing is waited for when it is none.
fn nanos(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

impl Budget {
    /// Makes the budget of a node.
    pub fn new(peak: Peak) -> Self {
        Self { inner: Arc::new(Inner { peak, ..Inner::default() }) }
    }

    /// Returns the bytes a second of which fractions are taken; `None` while there is no limit.
    pub fn peak(&self) -> Option<u64> {
        match self.inner.peak {
            Peak::Unlimited => None,
            Peak::Measured => self.measured(),
            Peak::Given(peak) => Some(peak.get()),
        }
    }

    /// Returns the best throughput that was seen of what brought replicas up, in bytes a second: of a second in which such
    /// messages were on their way; `None` before the first.
    pub fn measured(&self) -> Option<u64> {
        self.state().meter.best()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts somebody as waiting in the foreground.
    fn wait(&self) -> Waiting<'_> {
        self.state().waiting += 1;
        Waiting(self)
    }
}

/// Somebody who waits in the foreground, until this is dropped.
struct Waiting<'a>(&'a Budget);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
        self.0.inner.changed.notify_waiters();
    }
}

/// What a group takes of its node's budget, and how. Cloning shares it; what is said of it holds for what waits, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance(Arc<Mutex<Terms>>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Terms {
    budget: Budget,
    fraction: Option<Fraction>,
    class: BandwidthClass,
    background: Option<Fraction>,
}

impl Terms {
    /// Returns how long an item occupies the log's fraction of the line; `None` without a limit.
    fn cost(&self, bytes: usize) -> Option<i128> {
        let peak = i128::from(self.budget.peak()?.max(1));
        let fraction = i128::from(self.fraction?.millionths().max(1));
        let millionths = i128::from(Fraction::WHOLE.millionths());
        // At most 2^64 bytes, times 10^15: far from what the type holds.
        Some(bytes as i128 * CAPACITY * millionths / (peak * fraction))
    }

    fn kept(&self) -> i128 {
        let whole = i128::from(Fraction::WHOLE.millionths());
        let background = self.background.map_or(0, |background| i128::from(background.millionths()));
        CAPACITY - CAPACITY * background / whole
    }
}

impl Allowance {
    /// Takes from a budget from now on, as a configuration says.
    pub(crate) fn set(&self, budget: &Budget, config: &ReplicationConfig) {
        let terms = Terms {
            budget: budget.clone(),
            fraction: Some(config.replication_budget_fraction),
            class: config.default_bandwidth_class,
            background: Some(config.background_fraction),
        };
        let before = std::mem::replace(&mut *self.lock(), terms.clone());
        if before != terms {
            before.budget.inner.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Terms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many bytes may go.
    ///
    /// *Cancel safety*: nothing is taken until this returns.
    pub(crate) async fn take(&self, bytes: usize) -> Taken {
        let Terms { budget, class, .. } = self.lock().clone();
        let cost = match class {
            _ if budget.inner.peak == Peak::Unlimited => 0,
            BandwidthClass::Foreground => {
                let _waiting = budget.wait();
                let _turn = budget.inner.foreground.lock().await;
                self.wait_for(&budget, bytes, |_| Asked::Foreground).await
            }
            BandwidthClass::Background => {
                let _turn = budget.inner.background.lock().await;
                let since = Instant::now();
                self.wait_for(&budget, bytes, |waiting| Asked::Background {
                    kept: self.lock().kept(),
                    yields: waiting > 0,
                    since,
                })
                .await
            }
        };
        budget.state().meter.begin(Instant::now());
        Taken { budget, bytes, cost, told: false }
    }

    /// Waits until the first of those that wait may go; returns what it cost.
    async fn wait_for(&self, budget: &Budget, bytes: usize, asked: impl Fn(usize) -> Asked) -> i128 {
        loop {
            let mut changed = pin!(budget.inner.changed.notified());
            changed.as_mut().enable();
            let Some(cost) = self.lock().cost(bytes) else { return 0 };
            let waiting = budget.state().waiting;
            let asked = asked(waiting);
            let again = match budget.state().bucket.take(Instant::now(), cost, asked) {
                Ok(()) => return cost,
                Err(again) => again,
            };
            tokio::select! {
                () = tokio::time::sleep(again.min(LOOK_AGAIN)) => {}
                () = changed => {}
            }
        }
    }
}

/// What was taken from a budget for one message; whoever sent it says what became of it.
#[derive(Debug)]
pub(crate) struct Taken {
    budget: Budget,
    bytes: usize,
    cost: i128,
    told: bool,
}

impl Taken {
    /// Says that it arrived.
    pub(crate) fn arrived(mut self) {
        self.told = true;
        self.budget.state().meter.end(Instant::now(), self.bytes);
    }

    /// Says that nothing of it went anywhere: what was taken is put back.
    pub(crate) fn not_sent(mut self) {
        self.told = true;
        let now = Instant::now();
        let mut state = self.budget.state();
        state.meter.end(now, 0);
        state.bucket.refund(now, self.cost);
        drop(state);
        self.budget.inner.changed.notify_waiters();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.told {
            // It may have gone, or part of it.
            self.budget.state().meter.end(Instant::now(), 0);
        }
    }
}

#[cfg(test)]
mod tests;
