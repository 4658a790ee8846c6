//! How a node joins a cluster by a ticket: one request over a connection that nobody vouches for.
//!
//! ```text
//! joins(ticket) --netdb-join/1--> Endpoint -- checks the grant --> JoinHandler (the cluster decides)
//!      <---------------- what the cluster says, or why not ----------------+
//! ```
//!
//! The key of who joins is shown by TLS, and signed for by nobody. What it may do with such a connection is this one
//! request; it never comes out of `Endpoint::accept`.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::{Classify, Clock, ClusterId, ErrorKind, Identity, NodeId, PublicKey, Random};

use crate::greeting::{Refusal, RefusalCode};
use crate::{
    Admission, Asks, BindError, ConnectError, Endpoint, EndpointOptions, Grant, Inviter, Protocol,
    RequestError, Socket, Ticket,
};

pub(crate) mod message;

use message::{ANSWER_BYTES_MAX, Body, NAME_BYTES_MAX, WELCOME_BYTES_MAX, decode_answer};

/// Why somebody does not join, as a number that programs act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JoinRefusalCode {
    /// The request does not read.
    Malformed,
    /// A version that is not known here.
    Version,
    /// The ticket is for another cluster.
    Cluster,
    /// The cluster's key has not signed it, or it was taken back.
    Unknown,
    /// Its time is over.
    Expired,
    /// Another node has used it.
    Used,
    /// The cluster takes no further member.
    Full,
    /// The cluster does not want this node.
    Denied,
    /// Nobody could decide now; later may work.
    Busy,
    /// A reason that is not known here.
    Other(u16),
}

impl JoinRefusalCode {
    pub(crate) const KNOWN: [Self; 9] = [
        Self::Malformed,
        Self::Version,
        Self::Cluster,
        Self::Unknown,
        Self::Expired,
        Self::Used,
        Self::Full,
        Self::Denied,
        Self::Busy,
    ];

    pub(crate) fn to_number(self) -> u16 {
        match self {
            Self::Malformed => 1,
            Self::Version => 2,
            Self::Cluster => 3,
            Self::Unknown => 4,
            Self::Expired => 5,
            Self::Used => 6,
            Self::Full => 7,
            Self::Denied => 8,
            Self::Busy => 9,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn of_number(number: u16) -> Self {
        Self::KNOWN.into_iter().find(|code| code.to_number() == number).unwrap_or(Self::Other(number))
    }
}

/// That somebody does not join, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefusal {
    /// The reason as a number.
    pub code: JoinRefusalCode,
    /// The reason as a sentence for an operator; what is longer than 256 bytes is cut off.
    pub reason: String,
}

impl JoinRefusal {
    /// Makes a refusal.
    pub fn new(code: JoinRefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What somebody asks who wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRequest {
    /// Its key; that it has the private half was shown.
    pub key: PublicKey,
    /// Where it says that it listens.
    pub address: SocketAddr,
    /// What it calls itself, at most 64 bytes.
    pub name: String,
    /// Its leave to join: signed by the cluster's key, for this cluster, and not expired.
    pub grant: Grant,
}

/// What a [`JoinHandler`] gives: what the cluster says to its new member, at most 1 MiB, or why not.
pub type JoinDecision = Pin<Box<dyn Future<Output = Result<Vec<u8>, JoinRefusal>> + Send>>;

/// The cluster's side of joining.
///
/// # Contract
///
/// Decides whether a grant can still be used, and remembers that it was: a grant for one node is refused
/// ([`JoinRefusalCode::Used`]) to another key than the one that has used it. The same key asking again with it is told the
/// same again, since the first answer may be lost. A member that was removed does not come back by its old grant.
pub trait JoinHandler: Send + Sync + fmt::Debug {
    /// Decides about a request whose grant is genuine. Has 30 s, and may be asked several times at once.
    fn join(&self, request: JoinRequest) -> JoinDecision;
}

/// What an endpoint needs to let others join.
#[derive(Debug, Clone)]
pub struct JoinDoor {
    /// The key that grants must be signed with.
    pub cluster_key: PublicKey,
    /// Tells whether their time is over.
    pub clock: Arc<dyn Clock>,
    /// Decides.
    pub handler: Arc<dyn JoinHandler>,
}

impl JoinDoor {
    /// Decides about the bytes of a request.
    pub(crate) async fn answer(
        &self,
        key: PublicKey,
        cluster: ClusterId,
        body: &[u8],
    ) -> Result<Vec<u8>, JoinRefusal> {
        let Body { grant, address, name } = Body::decode(body)?;
        grant.check(&self.cluster_key, cluster, self.clock.now())?;
        let welcome = self.handler.join(JoinRequest { key, address, name, grant }).await?;
        if welcome.len() > WELCOME_BYTES_MAX {
            tracing::error!(bytes = welcome.len(), "what a new member is to be told is too long");
            return Err(JoinRefusal::new(JoinRefusalCode::Busy, "this node cannot answer: ask another one"));
        }
        Ok(welcome)
    }
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner {
    /// Where others will reach it.
    pub address: SocketAddr,
    /// What it calls itself, at most 64 bytes; the cluster's to judge.
    pub name: String,
}

/// That a node was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The node that has answered.
    pub by: NodeId,
    /// How it was reached.
    pub inviter: Inviter,
    /// What the cluster says.
    pub welcome: Vec<u8>,
}

/// Why a node did not join. Unless it was refused, the cluster may have let it in: the same ticket can be used again by the
/// same key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No endpoint could be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The name is too long.
    #[error("a name of {bytes} bytes where {max} fit: choose a shorter one")]
    Name {
        /// Its bytes.
        bytes: usize,
        /// The most bytes that fit.
        max: usize,
    },
    /// The cluster does not let it in.
    #[error("{address} does not let this node join: {}", refusal.reason)]
    Refused {
        /// Who said so.
        address: SocketAddr,
        /// Why.
        refusal: JoinRefusal,
    },
    /// None of the ticket's nodes could be reached, or takes joins; this is the last one.
    #[error("none of the ticket's nodes could be asked, the last one since: {source}")]
    Unreachable {
        /// What went wrong.
        source: ConnectError,
    },
    /// The last of the ticket's nodes that could be reached has not answered.
    #[error("{address} has not answered: {source}; try the same ticket again")]
    Unanswered {
        /// Who.
        address: SocketAddr,
        /// What went wrong.
        source: RequestError,
    },
    /// What came back is no answer.
    #[error("{address} gave no answer that reads: use the same version on both sides")]
    Answer {
        /// Who.
        address: SocketAddr,
    },
}

impl Classify for JoinError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Bind(source) => source.kind(),
            Self::Name { .. } | Self::Answer { .. } => ErrorKind::Invalid,
            Self::Refused { refusal, .. } => match refusal.code {
                JoinRefusalCode::Busy | JoinRefusalCode::Full => ErrorKind::Unavailable,
                JoinRefusalCode::Malformed | JoinRefusalCode::Version => ErrorKind::Invalid,
                _ => ErrorKind::Denied,
            },
            Self::Unreachable { source } => source.kind(),
            Self::Unanswered { source, .. } => source.kind(),
        }
    }
}

/// Asks the nodes that a ticket names, one after the other, until one decides. Each has `within` to answer, its connection
/// apart. The socket is used for this alone.
///
/// # Errors
///
/// [`JoinError`].
pub async fn join(
    socket: Socket,
    identity: Arc<Identity>,
    ticket: &Ticket,
    joiner: &Joiner,
    within: Duration,
    random: &dyn Random,
) -> Result<Joined, JoinError> {
    if joiner.name.len() > NAME_BYTES_MAX {
        return Err(JoinError::Name { bytes: joiner.name.len(), max: NAME_BYTES_MAX });
    }
    let admission = Arc::new(Inviters(ticket.inviters().iter().map(|inviter| inviter.key).collect()));
    let options = EndpointOptions { message_bytes_max: ANSWER_BYTES_MAX, ..EndpointOptions::default() };
    // Who is no member has no number yet.
    let place = (ticket.cluster(), NodeId::ZERO);
    let endpoint = Endpoint::open(socket, identity, place, admission, options, random)?;
    let Joiner { address, name } = joiner.clone();
    let body = Body { grant: *ticket.grant(), address, name }.encode();
    let mut last = None;
    for inviter in ticket.inviters() {
        match ask(&endpoint, *inviter, &body, within).await {
            Err(error) if may_ask_another(&error) => last = Some(error),
            decided => return decided,
        }
    }
    Err(last.unwrap_or(JoinError::Unreachable { source: ConnectError::Closed }))
}

async fn ask(
    endpoint: &Endpoint,
    inviter: Inviter,
    body: &[u8],
    within: Duration,
) -> Result<Joined, JoinError> {
    let Inviter { key, address } = inviter;
    let connection = endpoint.connect(key, address, Protocol::Join).await;
    let connection = connection.map_err(|source| JoinError::Unreachable { source })?;
    let answer = connection.request(body, within).await;
    let answer = answer.map_err(|source| JoinError::Unanswered { address, source })?;
    match decode_answer(&answer).ok_or(JoinError::Answer { address })? {
        Ok(welcome) => Ok(Joined { by: connection.node(), inviter, welcome }),
        Err(refusal) => Err(JoinError::Refused { address, refusal }),
    }
}

/// Tells whether another node might decide otherwise.
fn may_ask_another(error: &JoinError) -> bool {
    match error {
        JoinError::Refused { refusal, .. } => refusal.code == JoinRefusalCode::Busy,
        JoinError::Unreachable { .. } | JoinError::Unanswered { .. } | JoinError::Answer { .. } => true,
        JoinError::Bind(_) | JoinError::Name { .. } => false,
    }
}

/// Whom a node talks to before it is a member.
#[derive(Debug)]
struct Inviters(Vec<PublicKey>);

impl Admission for Inviters {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match asks.protocol == Protocol::Join && self.0.contains(&asks.key) {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::Denied, "this node has not joined yet")),
        }
    }
}
