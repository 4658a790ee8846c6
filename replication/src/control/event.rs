//! What the control log says, as JSON that SQL reads, too.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use base::{ChannelName, LogId, NodeId, OriginId, PublicKey};
use redex::LogName;
use serde::{Deserialize, Serialize};

use crate::ReplicationConfig;

/// One event of the control log: kind and payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
#[non_exhaustive]
pub enum ControlEvent {
    /// A node is a member from now on.
    #[serde(rename = "member.joined")]
    MemberJoined {
        /// Its number, which no other node has had.
        node: NodeId,
        /// Its key.
        key: PublicKey,
        /// What it calls itself.
        name: String,
        /// Where it listens for other nodes.
        address: SocketAddr,
        /// The grant that let it in, as hexadecimal digits; none for the first member.
        grant: Option<String>,
    },
    /// A member listens elsewhere.
    #[serde(rename = "member.moved")]
    MemberMoved {
        /// The member.
        node: NodeId,
        /// Where it listens now.
        address: SocketAddr,
    },
    /// A node is no member any more, and never will be again.
    #[serde(rename = "member.left")]
    MemberLeft {
        /// The node.
        node: NodeId,
    },
    /// There is a further replicated log.
    #[serde(rename = "log.created")]
    LogCreated {
        /// Its name, which no log of a member has.
        log: LogName,
        /// Its id.
        id: LogId,
        /// Who began it.
        origin: OriginId,
        /// How it is replicated.
        config: ReplicationConfig,
        /// Who holds it first.
        replicas: BTreeSet<NodeId>,
    },
    /// A log is held by others.
    #[serde(rename = "log.moved")]
    LogMoved {
        /// The log.
        log: LogName,
        /// Who is to hold it.
        replicas: BTreeSet<NodeId>,
    },
    /// A log is replicated otherwise, on the same nodes.
    #[serde(rename = "log.configured")]
    LogConfigured {
        /// The log.
        log: LogName,
        /// How it is replicated from now on; it places the log as it was.
        config: ReplicationConfig,
    },
    /// A channel lives in a replicated log.
    #[serde(rename = "channel.placed")]
    ChannelPlaced {
        /// The channel.
        channel: ChannelName,
        /// The log.
        log: LogName,
    },
}

impl ControlEvent {
    /// Returns the kind, and the payload as JSON.
    pub fn encode(&self) -> (String, Vec<u8>) {
        let value = serde_json::to_value(self).unwrap_or_default();
        let kind = value.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
        (kind, value.get("payload").map(ToString::to_string).unwrap_or_default().into_bytes())
    }

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// What does not read, for a kind that is not known, or a payload that is none.
    pub fn decode(kind: &str, payload: &[u8]) -> Result<Self, String> {
        let payload: serde_json::Value =
            serde_json::from_slice(payload).map_err(|error| format!("a payload that is no JSON: {error}"))?;
        let whole = serde_json::json!({ "kind": kind, "payload": payload });
        serde_json::from_value(whole).map_err(|error| error.to_string())
    }
}
