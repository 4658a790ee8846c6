//! What somebody is given who is to join a cluster: whom to ask, and the leave to do so, as one line of text.
//!
//! ```text
//! "netdb1:" and base64 (URL alphabet, no padding) of:
//!   0  grant, 128 bytes   128  u8 inviters, 1 to 8   129  inviters, 51 bytes each: [32] key  [19] address
//!      [4] the beginning of the BLAKE3 hash of all bytes before
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base::{Classify, ClusterId, ErrorKind, Hash, PublicKey};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};

use crate::wire::{ADDRESS_BYTES, decode_address, encode_address, take};

mod grant;

pub(crate) use grant::{GRANT_BYTES, MalformedGrant};
pub use grant::{Grant, GrantId, GrantTerms, Uses};

/// Inviters of a ticket at most.
const INVITERS_MAX: usize = 8;
const INVITER_BYTES: usize = PublicKey::BYTES + ADDRESS_BYTES;
const CHECKSUM_BYTES: usize = 4;
/// What a text begins with, and the version behind it.
const PREFIX: &str = "netdb";
const VERSION: &str = "1";

/// A node that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inviter {
    /// Its key, which it must show.
    pub key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A ticket. Its text, by `Display`, lets whoever reads it join: it is to be kept like a password until it is used.
/// `Debug` leaves out what makes it valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    grant: Grant,
    inviters: Vec<Inviter>,
}

/// Why a text is no ticket, or there can be none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin like a ticket.
    #[error("this is no ticket: one begins with `netdb1:`")]
    NoTicket,
    /// A version that is not known here.
    #[error("a ticket of version {found}, this node reads version 1: use newer software on one side")]
    Version {
        /// The version.
        found: String,
    },
    /// A character that tickets do not have.
    #[error("a character at {place} that no ticket has: copy it again")]
    Character {
        /// Where it stands, in bytes from 0.
        place: usize,
    },
    /// It is too short.
    #[error("the ticket is cut short: copy all of it")]
    Truncated,
    /// It is too long.
    #[error("the ticket goes on behind its end: copy it without what follows")]
    TooLong,
    /// Something in it was changed.
    #[error("the ticket's checksum does not fit: something in it was changed, copy it again")]
    Checksum,
    /// Its fields make no sense, though nothing was changed.
    #[error("the ticket has fields that are not known: use newer software, or ask for a new one")]
    Fields,
    /// Nobody to ask, or too many.
    #[error("a ticket names 1 to {max} nodes, not {count}")]
    Inviters {
        /// How many.
        count: usize,
        /// The most that fit.
        max: usize,
    },
}

impl Classify for TicketError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Ticket {
    /// Makes a ticket.
    ///
    /// # Errors
    ///
    /// [`TicketError::Inviters`] for none, or more than 8.
    pub fn new(grant: Grant, inviters: Vec<Inviter>) -> Result<Self, TicketError> {
        match inviters.len() {
            1..=INVITERS_MAX => Ok(Self { grant, inviters }),
            count => Err(TicketError::Inviters { count, max: INVITERS_MAX }),
        }
    }

    /// Returns the cluster that it is for.
    pub fn cluster(&self) -> ClusterId {
        self.grant.terms().cluster
    }

    /// Returns the leave to join.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns whom to ask, in this order.
    pub fn inviters(&self) -> &[Inviter] {
        &self.inviters
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.grant.encode().to_vec();
        bytes.push(u8::try_from(self.inviters.len()).unwrap_or(0));
        for inviter in &self.inviters {
            bytes.extend_from_slice(inviter.key.as_bytes());
            bytes.extend_from_slice(&encode_address(inviter.address));
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        let (grant, rest) = bytes.split_first_chunk::<GRANT_BYTES>().ok_or(TicketError::Truncated)?;
        let (count, mut rest) = rest.split_first().ok_or(TicketError::Truncated)?;
        let count = usize::from(*count);
        let expected = count * INVITER_BYTES + CHECKSUM_BYTES;
        match rest.len() {
            found if found < expected => return Err(TicketError::Truncated),
            found if found > expected => return Err(TicketError::TooLong),
            _ => {}
        }
        if bytes.strip_suffix(&checksum(&bytes[..bytes.len() - CHECKSUM_BYTES])).is_none() {
            return Err(TicketError::Checksum);
        }
        let grant = Grant::decode(grant).map_err(|malformed| match malformed {
            MalformedGrant::Version { found } => TicketError::Version { found: format!("1, grant {found}") },
            MalformedGrant::NoGrant | MalformedGrant::Fields => TicketError::Fields,
        })?;
        let inviters = (0..count).map(|_| take_inviter(&mut rest)).collect::<Option<_>>();
        Self::new(grant, inviters.ok_or(TicketError::Fields)?)
    }
}

fn take_inviter(from: &mut &[u8]) -> Option<Inviter> {
    Some(Inviter { key: PublicKey::from_bytes(take(from)?), address: decode_address(&take(from)?)? })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = Hash::of(bytes);
    std::array::from_fn(|place| hash.as_bytes()[place])
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{VERSION}:{}", URL_SAFE_NO_PAD.encode(self.encode()))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let trimmed = text.trim();
        let before = text.len() - text.trim_start().len();
        let rest = trimmed.strip_prefix(PREFIX).ok_or(TicketError::NoTicket)?;
        let (version, encoded) = rest.split_once(':').ok_or(TicketError::NoTicket)?;
        if version.is_empty() || version.len() > 4 || version.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(TicketError::NoTicket);
        }
        if version != VERSION {
            return Err(TicketError::Version { found: version.to_owned() });
        }
        let most = (GRANT_BYTES + 1 + INVITERS_MAX * INVITER_BYTES + CHECKSUM_BYTES).div_ceil(3) * 4;
        if encoded.len() > most {
            return Err(TicketError::TooLong);
        }
        let place = before + trimmed.len() - encoded.len();
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|error| match error {
            DecodeError::InvalidByte(at, _) => TicketError::Character { place: place + at },
            _ => TicketError::Truncated,
        })?;
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests;
