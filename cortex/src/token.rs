//! Tokens: what a write gives to those who want to read it.

use base::{IncarnationId, LogId, Position};

/// Says which state includes a write. Tokens can be passed on, also to other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteToken {
    /// The log that was written.
    pub log: LogId,
    /// The incarnation that wrote.
    pub incarnation: IncarnationId,
    /// The position that includes the write.
    pub position: Position,
}
