//! How a node that restarted tells others that their connections are gone.
//!
//! It does not know the connections of its life before. It answers what comes on them with a stateless reset (RFC 9000,
//! 10.3), which the other side believes if it carries the token that it was given with the connection's id. So
//! tokens follow from the node's key and the id alone, and are the same after a restart; else whoever waits for an answer on such a connection
//! waits until its time is over.

use std::fmt;

use base::{Hash, Identity, Random};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator};

/// Bytes of a connection's id.
const ID_BYTES: usize = 8;

/// A secret that a node has in each of its lives.
#[derive(Clone, Copy)]
pub(crate) struct RestartKey(Hash);

impl fmt::Debug for RestartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestartKey")
    }
}

impl RestartKey {
    /// Derives the secret of a node: a signature that it shows nobody.
    pub fn new(identity: &Identity) -> Self {
        Self(Hash::of(identity.sign(b"netdb net 2026-11 restart key").as_bytes()))
    }

    /// Hashes something that only this node can hash.
    fn hash(&self, of: &[u8]) -> [u8; 32] {
        *Hash::of(&[self.0.as_bytes(), of].concat()).as_bytes()
    }
}

impl HmacKey for RestartKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(&self.hash(data));
    }

    fn signature_len(&self) -> usize {
        Hash::BYTES
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Compared by hashes of a secret, so that the time it takes tells nothing.
        if self.hash(&self.hash(data)) == self.hash(signature) { Ok(()) } else { Err(CryptoError) }
    }
}

/// Makes connection ids. Any id may be one of a life before, so that each that is not known is answered; the library does
/// so at most fifty times a second, with less than it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    begun: [u8; 32],
    count: u64,
}

impl Ids {
    /// Begins with other ids than in any life before.
    pub fn new(random: &dyn Random) -> Self {
        let mut begun = [0; 32];
        random.fill(&mut begun);
        Self { begun, count: 0 }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        let hash = Hash::of(&[self.begun.as_slice(), &self.count.to_le_bytes()].concat());
        ConnectionId::new(&hash.as_bytes()[..ID_BYTES])
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
