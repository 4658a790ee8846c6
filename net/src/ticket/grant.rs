//! The leave to join a cluster, signed by the cluster's key.
//!
//! ```text
//! grant, 128 bytes:
//!   0  [8] "NetDbGrt"   8  u16 version, 1   10  u8 uses: 1 once, 2 many   11  u8 0   12  u32 roles
//!  16  [16] cluster    32  [16] id          48  i64 not after, ns        56  zeros
//!  64  [64] signature of "netdb join grant v1" and the 64 bytes before it
//! ```

use std::fmt;

use base::{ClusterId, Identity, PublicKey, Random, Signature, Timestamp};

use crate::wire::take;
use crate::{JoinRefusal, JoinRefusalCode};

/// Bytes of a grant.
pub(crate) const GRANT_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"NetDbGrt";
const VERSION: u16 = 1;
const SIGNED_BYTES: usize = 64;
/// What stands before the signed bytes, so that no other signature of the key is one of these.
const DOMAIN: &[u8; 19] = b"netdb join grant v1";

/// Names one grant: 16 random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(pub [u8; 16]);

impl GrantId {
    /// Draws a new id.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How often a grant can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Uses {
    /// By one node.
    Once,
    /// By any number of nodes.
    Many,
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantTerms {
    /// The cluster that may be joined.
    pub cluster: ClusterId,
    /// Which grant it is.
    pub id: GrantId,
    /// The last moment at which it can be used.
    pub not_after: Timestamp,
    /// What whoever joins will be, as bits; their meaning is the cluster's.
    pub roles: u32,
    /// How often it can be used.
    pub uses: Uses,
}

/// The leave to join a cluster. Whoever holds it may use it: it is to be kept like a password until it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    terms: GrantTerms,
    signature: Signature,
}

/// A log may hold this: the signature, without which nobody can use the grant, is left out.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Grant {
    /// Signs terms with the cluster's key.
    pub fn issue(cluster_identity: &Identity, terms: GrantTerms) -> Self {
        Self { terms, signature: cluster_identity.sign(&signed(&terms)) }
    }

    /// Returns what it allows; true only once it was checked.
    pub fn terms(&self) -> &GrantTerms {
        &self.terms
    }

    /// Checks that the cluster's key has signed it for this cluster, and that its time is not over.
    ///
    /// # Errors
    ///
    /// [`JoinRefusalCode::Cluster`], [`JoinRefusalCode::Expired`], [`JoinRefusalCode::Unknown`].
    pub fn check(
        &self,
        cluster_key: &PublicKey,
        cluster: ClusterId,
        now: Timestamp,
    ) -> Result<(), JoinRefusal> {
        let GrantTerms { cluster: granted, not_after, .. } = self.terms;
        let refuse = |code, reason| Err(JoinRefusal::new(code, reason));
        if granted != cluster {
            let reason = format!("the ticket is for cluster {granted}, this is {cluster}");
            return refuse(JoinRefusalCode::Cluster, reason);
        }
        if now > not_after {
            let reason = format!("the ticket could be used until {not_after}: ask for a new one");
            return refuse(JoinRefusalCode::Expired, reason);
        }
        if !cluster_key.verifies(&signed(&self.terms), &self.signature) {
            let reason = "the cluster's key has not signed this ticket: ask for a new one".to_owned();
            return refuse(JoinRefusalCode::Unknown, reason);
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> [u8; GRANT_BYTES] {
        let mut bytes = [0; GRANT_BYTES];
        bytes[..SIGNED_BYTES].copy_from_slice(&encode_terms(&self.terms));
        bytes[SIGNED_BYTES..].copy_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Decodes a grant, or says what is wrong with it. Its signature is not checked.
    pub(crate) fn decode(bytes: &[u8; GRANT_BYTES]) -> Result<Self, MalformedGrant> {
        let from = &mut &bytes[..];
        let (magic, version) = (take(from), take(from).map(u16::from_le_bytes));
        if magic != Some(MAGIC) {
            return Err(MalformedGrant::NoGrant);
        }
        match version {
            Some(VERSION) => {}
            version => return Err(MalformedGrant::Version { found: version.unwrap_or(0) }),
        }
        decode_rest(from).ok_or(MalformedGrant::Fields)
    }
}

/// Why bytes are no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MalformedGrant {
    NoGrant,
    Version { found: u16 },
    Fields,
}

fn decode_rest(from: &mut &[u8]) -> Option<Grant> {
    let uses = match take(from)? {
        [1, 0] => Uses::Once,
        [2, 0] => Uses::Many,
        _ => return None,
    };
    let roles = u32::from_le_bytes(take(from)?);
    let cluster = ClusterId::from_bytes(take(from)?);
    let id = GrantId(take(from)?);
    let not_after = Timestamp::from_nanos(i64::from_le_bytes(take(from)?));
    if take(from)? != [0; 8] {
        return None;
    }
    let signature = Signature::from_bytes(take(from)?);
    Some(Grant { terms: GrantTerms { cluster, id, not_after, roles, uses }, signature })
}

fn encode_terms(terms: &GrantTerms) -> [u8; SIGNED_BYTES] {
    let mut bytes = [0; SIGNED_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10] = match terms.uses {
        Uses::Once => 1,
        Uses::Many => 2,
    };
    bytes[12..16].copy_from_slice(&terms.roles.to_le_bytes());
    bytes[16..32].copy_from_slice(terms.cluster.as_bytes());
    bytes[32..48].copy_from_slice(&terms.id.0);
    bytes[48..56].copy_from_slice(&terms.not_after.as_nanos().to_le_bytes());
    bytes
}

fn signed(terms: &GrantTerms) -> Vec<u8> {
    [&DOMAIN[..], &encode_terms(terms)].concat()
}
