//! A line on the terminal that is written again and again.

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use netdb::base::Clock;

use crate::context::{Context, say};

/// How long a line stands at least.
const PERIOD: Duration = Duration::from_millis(200);

/// A line about how far something is; nothing where nobody looks.
pub(crate) struct Progress<'a> {
    clock: Option<&'a dyn Clock>,
    began: Duration,
    next: Duration,
    shown: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        let clock = context.shows_progress().then_some(&*context.doors.clock);
        let began = clock.map_or(Duration::ZERO, Clock::monotonic);
        Self { clock, began, next: began, shown: false }
    }

    /// Writes the line, if the one before has stood long enough; the line is told how long it all took so far.
    pub(crate) fn show<L: fmt::Display>(&mut self, line: impl FnOnce(Duration) -> L) {
        let Some(clock) = self.clock else { return };
        let now = clock.monotonic();
        if now >= self.next {
            self.next = now + PERIOD;
            self.shown = true;
            // Nobody misses progress that cannot be shown. What an earlier line had more goes.
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(now.saturating_sub(self.began)));
        }
    }

    pub(crate) fn clear(&self) {
        if self.shown {
            say(format_args!(""));
        }
    }
}
