//! What who wants to join asks, and what it is told.
//!
//! ```text
//! request, 164 bytes and a name:
//!   0  [8] "NetDbJoi"   8  u16 version, 1   10  u16 bytes of the name   12  u32 0   16  grant, 128 bytes
//! 144  [19] address   163  u8 0   164  name, text, at most 64 bytes
//! answer, 16 bytes and what follows:
//!   0  [8] "NetDbJoA"   8  u16 version, 1   10  u16 0 welcome, else why not   12  u32 bytes of what follows
//!  16  what the cluster says, at most 1 MiB; the reason, text, at most 256 bytes, when it is a refusal
//! ```

use std::net::SocketAddr;

use super::{JoinRefusal, JoinRefusalCode};
use crate::Grant;
use crate::greeting::{REASON_BYTES_MAX, cut};
use crate::ticket::{GRANT_BYTES, MalformedGrant};
use crate::wire::{decode_address, encode_address, take};

/// Bytes of a name at most.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Bytes of a request at most.
pub(crate) const REQUEST_BYTES_MAX: usize = 164 + NAME_BYTES_MAX;
/// Bytes of what a cluster says to a new member at most.
pub(crate) const WELCOME_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer at most.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 + WELCOME_BYTES_MAX;

const REQUEST: [u8; 8] = *b"NetDbJoi";
const ANSWER: [u8; 8] = *b"NetDbJoA";
const VERSION: u16 = 1;

/// What is asked; the key is known from TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub grant: Grant,
    pub address: SocketAddr,
    pub name: String,
}

impl Body {
    pub fn encode(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        let mut bytes = REQUEST.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.grant.encode());
        bytes.extend_from_slice(&encode_address(self.address));
        bytes.push(0);
        bytes.extend_from_slice(name);
        bytes
    }

    /// Decodes a request, or says why its sender does not join.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinRefusal> {
        let malformed = || JoinRefusal::new(JoinRefusalCode::Malformed, "the request to join does not read");
        let from = &mut &*bytes;
        if take(from) != Some(REQUEST) {
            return Err(malformed());
        }
        let version = take(from).map(u16::from_le_bytes).ok_or_else(malformed)?;
        if version != VERSION {
            let reason = format!("request version {version}: this node speaks version {VERSION}");
            return Err(JoinRefusal::new(JoinRefusalCode::Version, reason));
        }
        let (length, zeros) = (take(from).map(u16::from_le_bytes), take(from));
        let grant = take::<GRANT_BYTES>(from).ok_or_else(malformed)?;
        let grant = crate::Grant::decode(&grant).map_err(|wrong| match wrong {
            MalformedGrant::Version { found } => {
                let reason = format!("grant version {found}: this node reads version 1");
                JoinRefusal::new(JoinRefusalCode::Version, reason)
            }
            MalformedGrant::NoGrant | MalformedGrant::Fields => malformed(),
        })?;
        let address = take(from).and_then(|bytes| decode_address(&bytes)).ok_or_else(malformed)?;
        if zeros != Some([0; 4])
            || take(from) != Some([0])
            || length.map(usize::from) != Some(from.len())
            || from.len() > NAME_BYTES_MAX
        {
            return Err(malformed());
        }
        let name = std::str::from_utf8(from).map_err(|_| malformed())?.to_owned();
        Ok(Self { grant, address, name })
    }
}

/// Encodes what is told: what the cluster says, or why not.
pub(crate) fn encode_answer(answer: &Result<Vec<u8>, JoinRefusal>) -> Vec<u8> {
    let (code, content) = match answer {
        Ok(welcome) => (0, welcome.as_slice()),
        Err(refusal) => (refusal.code.to_number(), cut(&refusal.reason).as_bytes()),
    };
    let mut bytes = ANSWER.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&code.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Decodes what was told; `None` when it does not read.
pub(crate) fn decode_answer(bytes: &[u8]) -> Option<Result<Vec<u8>, JoinRefusal>> {
    let from = &mut &*bytes;
    if take(from)? != ANSWER || u16::from_le_bytes(take(from)?) != VERSION {
        return None;
    }
    let code = u16::from_le_bytes(take(from)?);
    let length = usize::try_from(u32::from_le_bytes(take(from)?)).ok()?;
    let max = if code == 0 { WELCOME_BYTES_MAX } else { REASON_BYTES_MAX };
    if length != from.len() || length > max {
        return None;
    }
    if code == 0 {
        return Some(Ok(from.to_vec()));
    }
    let reason = std::str::from_utf8(from).ok()?;
    Some(Err(JoinRefusal::new(JoinRefusalCode::of_number(code), reason)))
}

#[cfg(test)]
mod tests;
