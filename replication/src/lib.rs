//! Consensus over logs.
//!
//! A [`Group`] is a replicated log on one node: it takes requests from anybody and has them decided by whoever leads, on
//! this node or another one, which it reaches over a [`Link`]. The log that openraft replicates is the redex log itself
//! ([`redex::ReplicaLog`]). Everything that names openraft lives in `raft`.
//!
//! Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014); openraft's storage
//! contract.

mod ask;
mod budget;
mod changes;
mod config;
pub mod control;
mod counts;
mod group;
mod groups;
mod heads;
mod heartbeats;
mod link;
mod message;
mod queue;
pub mod raft;
mod remote;
mod repair;
mod retention;
mod sequencer;
mod snapshot;
mod writer;

pub use budget::{Budget, Peak};
pub use changes::{StandingChange, StandingChanges};
pub use config::{
    BandwidthClass, ConfigChange, ConfigError, FACTOR_MAX, Fraction, FractionError, Placement,
    PlacementMetadata, ReplicationConfig, UnderCapacity,
};
pub use counts::GroupCounts;
pub use group::Group;
pub use groups::{Groups, Unanswered};
pub use heads::Divergence;
pub use link::{Answer, Link, LinkError};
pub use raft::{ConsensusError, Member, Progress, Role, Standing, Timing};
pub use remote::{RemoteLog, RemoteWriter};
pub use repair::{RepairError, has_left, repair, repair_asking_also};
pub use writer::GroupWriter;
