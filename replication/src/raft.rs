//! What openraft is given: types, configuration and the log store; the only place that names it.

mod config;
mod consensus;
mod guard;
mod machine;
mod membership;
mod network;
mod pipeline;
mod room;
mod rpc;
mod store;
#[cfg(test)]
mod tests;
mod types;

pub use config::{TimeoutError, Timing, config};
pub(crate) use consensus::{Consensus, Leadership, Proposed, Proposing, StandingWatch, proposed};
pub use consensus::{ConsensusError, Progress, Role, Standing};
pub use guard::{Applied, check_applied};
pub use membership::{MembershipError, decode_membership, encode_membership};
pub(crate) use network::Reach;
pub use store::LogStore;
pub use types::{
    Committed, Entry, LeaderId, LogId, Member, Proposal, RaftVote, TypeConfig, log_id_of, slot_of,
};
