//! What happened, in order: equal seeds give equal traces, byte for byte.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base::Hash;
use tokio::time::Instant;

/// The trace of a run: a hash over all lines, and the lines themselves if they are wanted.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hash: Hash,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Begins a trace, within a runtime.
    pub fn new(keeps_lines: bool) -> Self {
        let state = State { hash: Hash::ZERO, lines: keeps_lines.then(Vec::new) };
        Self { begun: Instant::now(), state: Mutex::new(state) }
    }

    /// Notes something, with the simulated time.
    pub fn note(&self, what: impl std::fmt::Display) {
        let line = format!("{:>12} {what}", self.begun.elapsed().as_micros());
        let mut state = self.state();
        state.hash = Hash::of(&[state.hash.as_bytes(), line.as_bytes()].concat());
        if let Some(lines) = &mut state.lines {
            lines.push(line);
        }
    }

    /// Returns the hash of all lines.
    pub fn hash(&self) -> Hash {
        self.state().hash
    }

    /// Takes the lines; none where they were not kept.
    pub fn take_lines(&self) -> Vec<String> {
        self.state().lines.take().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
