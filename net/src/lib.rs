//! How nodes meet: QUIC connections between ed25519 keys, greeted before anything else is said.
//!
//! ```text
//! Endpoint --connect--> Connection --request--> bytes
//!    |                      ^
//!    +--accept--------------+   both sides know each other's key, node, cluster and protocol by then
//! ```
//!
//! TLS shows that the other side has the private half of a key. Whether that key may say anything is decided by the
//! greeting, with a reason that is sent back: in TLS 1.3 who connects is done before the other side has looked at its
//! key, so that "connected" does not mean "let in". `PROTOCOL.md` has the bytes.

mod connection;
mod endpoint;
mod error;
mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gossip;
mod greeting;
mod join;
mod pool;
mod restart;
mod simulated;
mod socket;
mod ticket;
mod tls;
mod wire;

pub use connection::{Connection, Request};
pub use endpoint::{Admission, Asks, Endpoint, EndpointCounts, EndpointOptions};
pub use error::{BindError, ConnectError, DatagramError, RequestError};
pub use exchange::{MessageReceiver, MessageSender};
pub use gossip::{Gossip, GossipCounts, GossipError, GossipOptions, Introduction, Liveness, Peer, Seed};
pub use greeting::{Protocol, Refusal, RefusalCode};
pub use join::{
    JoinDecision, JoinDoor, JoinError, JoinHandler, JoinRefusal, JoinRefusalCode, JoinRequest, Joined,
    Joiner, join,
};
pub use pool::Pool;
pub use simulated::{NetworkCounts, SimulatedNetwork, Weather};
pub use socket::Socket;
pub use ticket::{Grant, GrantId, GrantTerms, Inviter, Ticket, TicketError, Uses};
