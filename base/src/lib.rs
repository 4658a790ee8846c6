//! The ground that every other crate stands on: identifiers, hashes, time, the signing identity, the
//! classification of errors, and the doors ([`Clock`], [`Random`], [`Disk`]) through which everything else
//! reaches the outside world.
//!
//! It knows nothing about logs, folds, queries or networks. Whoever takes its doors as parameters can be run
//! on a simulated disk and a simulated clock, which is how the crash tests work.

mod channel;
mod clock;
mod disk;
mod doors;
mod error;
mod hash;
mod identity;
mod ids;
mod limits;
mod random;
#[cfg(test)]
mod temporary;
mod text;
mod time;
pub mod wire;

pub use channel::{ChannelName, ChannelNameError};
pub use clock::{Clock, ManualClock, Signal, SystemClock};
pub use disk::{
    CrashImage, Disk, DiskFile, DiskLock, Fault, MemoryDisk, OpenMode, Operation, OperationKind,
    SimulatedDisk, Snapshot, Space, SystemDisk, create_atomically, read_exact_at, read_to_end,
    read_to_end_into, write_all_at,
};
pub use doors::Doors;
pub use error::{Classify, ErrorKind};
pub use hash::Hash;
pub use identity::{Identity, IdentityError, PublicKey, Signature};
pub use ids::{ClusterId, IncarnationId, Index, LogId, NodeId, OriginId, Position, Seq, Slot, Term};
pub use limits::{CHANNEL_NAME_BYTES_MAX, IDENTITY_BYTES};
pub use random::{Random, SeededRandom, SystemRandom};
pub use time::{Timestamp, TimestampError};
