//! What is said first on a connection: who connects says hello, the other side lets it in or says why not.
//!
//! ```text
//! hello, 64 bytes:
//!   0  [8]  "NetDbHlo"    8  u16 version   10  u16 features, 0   12  u32 reserved, 0
//!  16  [16] cluster      32  u64 node      40  zeros
//! answer, 64 bytes and the reason:
//!   0  [8]  "NetDbAck"    8  u16 version   10  u16 features, 0   12  u16 0 welcome, else why not   14  u16 bytes of the reason
//!  16  [16] cluster      32  u64 node      40  zeros
//!  64  reason, text, at most 256 bytes
//! ```

use base::{ClusterId, NodeId};

/// The version of hello and answer.
pub(crate) const VERSION: u16 = 1;
/// Bytes of a hello, and of an answer without its reason.
pub(crate) const GREETING_BYTES: usize = 64;
/// The most bytes that a reason has.
pub(crate) const REASON_BYTES_MAX: usize = 256;

const HELLO: [u8; 8] = *b"NetDbHlo";
const ANSWER: [u8; 8] = *b"NetDbAck";

/// What a connection is for; each has a name in TLS of its own, which carries its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// Consensus between replicas of a log.
    Raft,
    /// Who is there.
    Gossip,
    /// Requests of clients and of nodes on their behalf.
    Client,
    /// The one request of who wants to become a member.
    Join,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Raft, Self::Gossip, Self::Client, Self::Join];

    /// Returns its name in TLS (ALPN).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raft => "netdb-raft/1",
            Self::Gossip => "netdb-gossip/1",
            Self::Client => "netdb-client/1",
            Self::Join => "netdb-join/1",
        }
    }

    pub(crate) fn of_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name().as_bytes() == name)
    }
}

/// Why somebody is not let in, as a number that programs act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The hello does not read.
    Malformed,
    /// The hello has a version or features that are not known here.
    Version,
    /// The other side belongs to another cluster.
    Cluster,
    /// The key is not a member's, or not the named node's.
    NotMember,
    /// The key was a member's once.
    Removed,
    /// A member may not use this protocol.
    Denied,
    /// Too many connections; later may work.
    Busy,
    /// A reason that is not known here.
    Other(u16),
}

impl RefusalCode {
    const KNOWN: [Self; 7] = [
        Self::Malformed,
        Self::Version,
        Self::Cluster,
        Self::NotMember,
        Self::Removed,
        Self::Denied,
        Self::Busy,
    ];

    fn to_number(self) -> u16 {
        match self {
            Self::Malformed => 1,
            Self::Version => 2,
            Self::Cluster => 3,
            Self::NotMember => 4,
            Self::Removed => 5,
            Self::Denied => 6,
            Self::Busy => 7,
            Self::Other(number) => number,
        }
    }

    fn of_number(number: u16) -> Self {
        Self::KNOWN.into_iter().find(|code| code.to_number() == number).unwrap_or(Self::Other(number))
    }
}

/// That somebody is not let in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason as a number.
    pub code: RefusalCode,
    /// The reason as a sentence for an operator; what is longer than 256 bytes is cut off.
    pub reason: String,
}

impl Refusal {
    /// Makes a refusal.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What who connects says of itself; its key is known from TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub cluster: ClusterId,
    pub node: NodeId,
}

/// What the other side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub refusal: Option<Refusal>,
}

impl Hello {
    pub(crate) fn encode(self) -> [u8; GREETING_BYTES] {
        encode(&HELLO, [0; 4], self.cluster, self.node)
    }

    /// Decodes a hello, or says why its sender is not let in.
    pub(crate) fn decode(bytes: &[u8; GREETING_BYTES]) -> Result<Self, Refusal> {
        let (rest, cluster, node) = decode(bytes, &HELLO)?;
        if rest != [0; 4] {
            return Err(Refusal::new(RefusalCode::Malformed, "reserved bytes of the hello are not zero"));
        }
        Ok(Self { cluster, node })
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let reason = self.refusal.as_ref().map_or("", |refusal| cut(&refusal.reason));
        let code = self.refusal.as_ref().map_or(0, |refusal| refusal.code.to_number()).to_le_bytes();
        let length = u16::try_from(reason.len()).unwrap_or(0).to_le_bytes();
        let rest = [code[0], code[1], length[0], length[1]];
        let mut bytes = encode(&ANSWER, rest, self.cluster, self.node).to_vec();
        bytes.extend_from_slice(reason.as_bytes());
        bytes
    }

    /// Decodes an answer; `None` when it does not read.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, reason) = bytes.split_first_chunk()?;
        let (rest, cluster, node) = decode(head, &ANSWER).ok()?;
        let code = u16::from_le_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
        if length != reason.len() || length > REASON_BYTES_MAX || (code == 0 && length > 0) {
            return None;
        }
        let reason = std::str::from_utf8(reason).ok()?;
        let refusal = (code != 0).then(|| Refusal::new(RefusalCode::of_number(code), reason));
        Some(Self { cluster, node, refusal })
    }
}

/// Returns as much of a reason as is sent.
pub(crate) fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

fn encode(magic: &[u8; 8], rest: [u8; 4], cluster: ClusterId, node: NodeId) -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..8].copy_from_slice(magic);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&rest);
    bytes[16..32].copy_from_slice(cluster.as_bytes());
    bytes[32..40].copy_from_slice(&node.0.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; GREETING_BYTES], magic: &[u8; 8]) -> Result<([u8; 4], ClusterId, NodeId), Refusal> {
    let array = |from: usize| -> [u8; 8] { std::array::from_fn(|place| bytes[from + place]) };
    if array(0) != *magic {
        return Err(Refusal::new(RefusalCode::Malformed, "this is no greeting of NetDb"));
    }
    let [version, features] = [[bytes[8], bytes[9]], [bytes[10], bytes[11]]].map(u16::from_le_bytes);
    if version != VERSION || features != 0 {
        let reason = format!(
            "greeting version {version} with features {features:#06x}: this node speaks version {VERSION}"
        );
        return Err(Refusal::new(RefusalCode::Version, reason));
    }
    if bytes[40..].iter().any(|byte| *byte != 0) {
        return Err(Refusal::new(RefusalCode::Malformed, "reserved bytes of the greeting are not zero"));
    }
    let cluster = ClusterId::from_bytes(std::array::from_fn(|place| bytes[16 + place]));
    let rest = std::array::from_fn(|place| bytes[12 + place]);
    Ok((rest, cluster, NodeId(u64::from_le_bytes(array(32)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello { cluster: ClusterId::from_bytes([7; 16]), node: NodeId(0x0102) }
    }

    fn answer(refusal: Option<Refusal>) -> Answer {
        Answer { cluster: ClusterId::from_bytes([7; 16]), node: NodeId(3), refusal }
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let mut expected = [0; GREETING_BYTES];
        expected[..12].copy_from_slice(b"NetDbHlo\x01\0\0\0");
        expected[16..32].fill(7);
        expected[32..34].copy_from_slice(&[2, 1]);
        assert_eq!(hello().encode(), expected);
        let refused = answer(Some(Refusal::new(RefusalCode::Removed, "no"))).encode();
        assert_eq!(refused[..16], *b"NetDbAck\x01\0\0\0\x05\0\x02\0");
        assert_eq!((&refused[64..], refused.len()), (&b"no"[..], 66));
    }

    #[test]
    fn greetings_round_trip() {
        assert_eq!(Hello::decode(&hello().encode()), Ok(hello()));
        let codes = RefusalCode::KNOWN.into_iter().chain([RefusalCode::Other(999)]);
        for refusal in codes.map(|code| Some(Refusal::new(code, "why not"))).chain([None]) {
            let answer = answer(refusal);
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    #[test]
    fn any_change_of_a_reserved_or_fixed_byte_is_refused() {
        for place in (0..16).chain(40..GREETING_BYTES) {
            let mut bytes = hello().encode();
            bytes[place] ^= 0x40;
            let refusal = Hello::decode(&bytes).unwrap_err();
            let expected =
                if (8..12).contains(&place) { RefusalCode::Version } else { RefusalCode::Malformed };
            assert_eq!(refusal.code, expected, "{place}");
        }
    }

    #[test]
    fn an_answer_of_any_other_length_is_refused() {
        let bytes = answer(Some(Refusal::new(RefusalCode::Busy, "later"))).encode();
        for length in 0..bytes.len() {
            assert_eq!(Answer::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Answer::decode(&[&bytes[..], b"x"].concat()), None);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "\u{e4}".repeat(200);
        let refused = answer(Some(Refusal::new(RefusalCode::Denied, format!("x{long}"))));
        let read = Answer::decode(&refused.encode()).unwrap().refusal.unwrap();
        assert_eq!(read.reason.len(), 255);
    }
}
