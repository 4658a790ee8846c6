//! The control log: who is a member of the cluster, which logs there are, where they lie, and which channels live in them.
//!
//! It is a replicated log like any other, with one channel. What it says is folded into a [`ControlState`] on every node;
//! changes are decided on the state and appended under the condition that nothing came between.

mod change;
mod event;
mod state;

pub use change::{Change, ChangeError, Control};
pub use event::ControlEvent;
pub use state::{ControlState, LogRecord, MemberRecord, Preference};

/// The channel that everything is in.
pub const CONTROL_CHANNEL: &str = "cluster/control";
/// The name of the log.
pub const CONTROL_LOG: &str = "control";
