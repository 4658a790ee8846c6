//! What several structures on the wire have in common.

use std::net::{IpAddr, SocketAddr};

/// Bytes of an address.
pub(crate) const ADDRESS_BYTES: usize = 19;

/// Writes an address: 16 bytes, of which IPv4 has the first 4, u16 port, u8 4 or 6. Scopes and flows of IPv6 have no
/// meaning elsewhere and are left out.
pub(crate) fn encode_address(address: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let mut bytes = [0; ADDRESS_BYTES];
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            bytes[18] = 4;
        }
        IpAddr::V6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            bytes[18] = 6;
        }
    }
    bytes[16..18].copy_from_slice(&address.port().to_le_bytes());
    bytes
}

/// Reads such an address.
pub(crate) fn decode_address(bytes: &[u8; ADDRESS_BYTES]) -> Option<SocketAddr> {
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let ip = match (ip, rest[2]) {
        ([a, b, c, d, zeros @ ..], 4) if *zeros == [0; 12] => IpAddr::from([*a, *b, *c, *d]),
        (ip, 6) => IpAddr::from(*ip),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_le_bytes([rest[0], rest[1]])))
}

/// Takes the next bytes.
pub(crate) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}
