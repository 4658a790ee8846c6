//! The log: channels of events in one order, hash-linked, signed by who put them in order, and durable when
//! acknowledged.
//!
//! A [`Store`] is a node's directory with its key and its logs. A [`Log`] takes appends and gives out
//! [`Ticket`]s; whoever waits for one commits for everybody. A [`LogReader`] gives [`LogView`]s pinned at one
//! position, which are scanned, and [`Tail`]s, which follow. [`verify`] checks every hash, link and signature.
//!
//! It knows nothing about folds, SQL, networks or what payloads mean. The bytes are in `FORMAT.md`, the
//! reasons in `DESIGN.md`.

mod appender;
mod cache;
mod chain;
mod channels;
mod chunk;
mod codec;
mod config;
mod cut_off;
mod damage;
mod error;
mod event;
pub mod exchange;
mod follower;
mod fork;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hashing;
mod held_blobs;
mod index;
mod keyed;
mod limits;
mod log;
mod log_name;
mod log_writer;
mod lookup;
mod outcome;
mod promise;
mod reader;
mod redaction;
mod references;
mod replay;
mod replica;
mod request;
mod retention;
mod root;
mod scan;
mod segments;
mod selection;
mod space;
mod state;
mod store;
mod survey;
mod tail;
mod typed;
mod verify;
mod writer;

pub use chunk::{Chunk, Events};
pub use config::{ChannelConfig, Compression, FlusherMode, LogConfig, LogOptions, Placement, Retention};
pub use cut_off::{CutOff, CutOffError, cut_off_files};
pub use error::{AppendError, Corruption, OpenError, Owner, PlaceError, ReadError, RedactError};
pub use event::{BlobReference, Blobs, Event, EventInput, EventRef, Headers};
pub use fork::{EntryMark, ForkError, ForkProof, FoundProof, fork_proofs};
pub use held_blobs::HeldBlobs;
pub use keyed::{Keyed, KeyedEvent};
pub use limits::{
    ENTRY_BYTES_MAX, EVENT_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX, KEY_WINDOW, KIND_BYTES_MAX,
    LOG_NAME_BYTES_MAX,
};
pub use log::{
    Acknowledged, Hold, HoldInfo, Log, ProducerState, QuarantinedRange, RecoveryReport, Redaction, Ticket,
};
pub use log_name::{LogName, LogNameError};
pub use log_writer::{LogSender, LogWriter};
pub use lookup::{HeldEvent, Lookup};
pub use outcome::{Ack, Appended, At, ChannelRange, Expect, Outcome, Rejection};
pub use promise::Promise;
pub use reader::{
    ArrivedFrom, Beyond, ChannelInfo, HoleInfo, IncarnationInfo, LogReader, LogView, MovedTo, SegmentInfo,
};
pub use replica::{
    Completion, DueTrim, EntryContent, Proposer, ReplicaEntry, ReplicaError, ReplicaIdentity, ReplicaLog,
    ReplicaSnapshot, ReplicaState, SealedEntry, Trim, Vote,
};
pub use request::{AppendRequest, ChannelEvents, Condition, Idempotency};
pub use scan::{Scan, ScanStatistics};
pub use selection::{Bounds, Channels, Selection};
pub use space::{SpaceReport, space, space_of_all};
pub use store::{
    ChannelHistory, ChannelPart, Store, StoreChanged, StoreLookup, StoreReader, StoreScan, StoreTail,
    StoreView, read_owner,
};
pub use tail::Tail;
pub use typed::{Decoded, Encoding, TypedChannel, TypedTail};
pub use verify::{Fault, IncarnationReport, TornTail, VerifyOptions, VerifyReport, verify, verify_all};
