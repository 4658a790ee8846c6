//! Forks: two different entries that one key signed for one place of a log, and the proof of it, which anybody can verify.
//!
//! ```text
//!   0  [8]  "NetDbFrk"
//!   8  u16  format version  10 u16 reserved, 0   12 u32 reserved, 0
//!  16  [16] log id          32 [16] incarnation  48 u64 index   56 [32] public key
//!  88  [32] hash of an entry, the lower of the two               120 [64] signature of it
//! 184  [32] hash of the other entry                              216 [64] signature of it
//! 280  u32  reserved, 0    284 u32 CRC of bytes 0..284
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use base::{Disk, Hash, IncarnationId, Index, LogId, OpenMode, PublicKey, Signature, Slot};

use crate::codec::{FORMAT_VERSION, Foreign, Malformed, Put, superblock};
use crate::error::OpenError;
use crate::hashing::signed_message;

/// Bytes of a proof.
pub(crate) const PROOF_BYTES: usize = 288;
const MAGIC: [u8; 8] = *b"NetDbFrk";
/// How the file of a proof ends.
pub(crate) const PROOF_ENDING: &str = "fork";

/// What two nodes compare of an entry. Its hash covers all entries before it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMark {
    /// Its place.
    pub slot: Slot,
    /// The incarnation that it belongs to; [`IncarnationId::NONE`] for an entry of consensus itself.
    pub incarnation: IncarnationId,
    /// Its hash.
    pub hash: Hash,
    /// The signature of its incarnation's key, where it is signed.
    pub signature: Option<Signature>,
}

impl EntryMark {
    /// Tells whether the other entry was sequenced for the same place by the same incarnation, and is another one.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.incarnation != IncarnationId::NONE
            && (self.incarnation, self.slot.index) == (other.incarnation, other.slot.index)
            && self.hash != other.hash
    }
}

/// The proof of a fork: whoever holds the key signed two different entries for one place. It was verified, and needs
/// nothing beside its bytes to be verified again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkProof {
    log: LogId,
    incarnation: IncarnationId,
    index: Index,
    key: PublicKey,
    /// In the order of the hashes.
    signed: [(Hash, Signature); 2],
}

/// Why bytes prove no fork.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The bytes are no proof.
    #[error(
        "no proof of a fork: a wrong {what}; get the file again from the node that wrote it, from its directory `forks`"
    )]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// It was written in another version of the format.
    #[error(
        "a proof in format version {found}, and this program reads version {FORMAT_VERSION}: verify it with the program that wrote it"
    )]
    Version {
        /// Its version.
        found: u16,
    },
    /// A signature in it is not of the key in it.
    #[error(
        "it proves nothing against key {key}, which did not sign both entries: do not act on it, and look at who gave it to you"
    )]
    Signature {
        /// The key.
        key: PublicKey,
    },
}

impl base::Classify for ForkError {
    fn kind(&self) -> base::ErrorKind {
        match self {
            Self::Malformed { .. } | Self::Signature { .. } => base::ErrorKind::Corrupt,
            Self::Version { .. } => base::ErrorKind::Invalid,
        }
    }
}

impl From<Malformed> for ForkError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed { what: malformed.to_string() }
    }
}

impl ForkProof {
    /// Makes the proof that a key signed both entries; `None` where they are no fork, or it did not.
    pub fn of(log: LogId, key: PublicKey, one: &EntryMark, other: &EntryMark) -> Option<Self> {
        if !one.conflicts_with(other) {
            return None;
        }
        let mut signed = [(one.hash, one.signature?), (other.hash, other.signature?)];
        signed.sort_unstable_by_key(|(hash, _)| *hash);
        let proof = Self { log, incarnation: one.incarnation, index: one.slot.index, key, signed };
        proof.is_signed().then_some(proof)
    }

    /// Verifies the bytes of a proof, which nothing else is needed for.
    ///
    /// # Errors
    ///
    /// [`ForkError::Malformed`] and [`ForkError::Signature`], on which nobody is to be blamed; [`ForkError::Version`].
    pub fn verify(bytes: &[u8]) -> Result<Self, ForkError> {
        if let Some(Foreign::Version(found)) = superblock::foreign(bytes, PROOF_BYTES, &MAGIC) {
            return Err(ForkError::Version { found });
        }
        let proof = decode(bytes)?;
        if proof.is_signed() { Ok(proof) } else { Err(ForkError::Signature { key: proof.key }) }
    }

    fn is_signed(&self) -> bool {
        self.signed.iter().all(|(hash, signature)| {
            let message = signed_message(self.log, self.incarnation, self.index, hash);
            self.key.verifies(&message, signature)
        })
    }

    /// Returns its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PROOF_BYTES);
        out.put(&MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put_u32(0);
        out.put(self.log.as_bytes());
        out.put(self.incarnation.as_bytes());
        out.put_u64(self.index.0);
        out.put(self.key.as_bytes());
        for (hash, signature) in &self.signed {
            out.put(hash.as_bytes());
            out.put(signature.as_bytes());
        }
        superblock::finish_copy(&mut out, 0, PROOF_BYTES);
        out
    }

    /// Returns the log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Returns the incarnation that both entries were signed for.
    pub fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    /// Returns the index that both entries were signed for.
    pub fn index(&self) -> Index {
        self.index
    }

    /// Returns the key that signed both.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Returns the hashes of the two entries, the lower one first.
    pub fn hashes(&self) -> [Hash; 2] {
        self.signed.map(|(hash, _)| hash)
    }

    /// Returns the name that its file has: there is one for each log, incarnation and index.
    pub fn file_name(&self) -> String {
        format!("{}-{}-{:020}.{PROOF_ENDING}", self.log, self.incarnation, self.index.0)
    }
}

impl fmt::Display for ForkProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, incarnation, index, key, signed: [(one, _), (other, _)] } = self;
        write!(
            f,
            "key {key} signed the entries {one} and {other} for index {index} of incarnation {incarnation} of log {log}"
        )
    }
}

fn decode(bytes: &[u8]) -> Result<ForkProof, Malformed> {
    if bytes.len() != PROOF_BYTES {
        return Err(Malformed::new("length"));
    }
    let mut cursor = superblock::checked_copy(bytes, PROOF_BYTES, &MAGIC, "fork proof magic")?;
    if cursor.u32("reserved bytes")? != 0 {
        return Err(Malformed::new("reserved bytes"));
    }
    let log = LogId::from_bytes(cursor.array("log id")?);
    let incarnation = IncarnationId::from_bytes(cursor.array("incarnation")?);
    let index = Index(cursor.u64("index")?);
    let key = PublicKey::from_bytes(cursor.array("public key")?);
    let mut one = || -> Result<_, Malformed> {
        let hash = Hash::from_bytes(cursor.array("hash")?);
        Ok((hash, Signature::from_bytes(cursor.array("signature")?)))
    };
    let signed = [one()?, one()?];
    superblock::finish_zeros(cursor)?;
    if signed[0].0 >= signed[1].0 {
        return Err(Malformed::new("order of two different hashes"));
    }
    Ok(ForkProof { log, incarnation, index, key, signed })
}

/// A file that was found in a node's directory of proofs, and what it proves.
#[derive(Debug, Clone)]
pub struct FoundProof {
    /// The file.
    pub path: PathBuf,
    /// The proof, or why it is none.
    pub proof: Result<ForkProof, ForkError>,
}

/// Returns the directory of a node's proofs.
pub(crate) fn forks_dir(dir: &Path) -> PathBuf {
    dir.join("forks")
}

/// Reads and verifies the proofs that a node's directory holds, in the order of their files' names. Writes nothing; other
/// files are passed over.
///
/// # Errors
///
/// [`OpenError::Io`].
pub fn fork_proofs(dir: &Path, disk: &dyn Disk) -> Result<Vec<FoundProof>, OpenError> {
    let forks = forks_dir(dir);
    if !disk.exists(&forks).map_err(OpenError::io(&forks))? {
        return Ok(Vec::new());
    }
    let names = disk.list(&forks).map_err(OpenError::io(&forks))?;
    let paths = names.iter().map(|name| forks.join(name));
    let is_proof = |path: &PathBuf| path.extension().is_some_and(|ending| ending == PROOF_ENDING);
    let read = |path: PathBuf| {
        let file = disk.open(&path, OpenMode::Read).map_err(OpenError::io(&path))?;
        let bytes = base::read_to_end(&*file, PROOF_BYTES + 1).map_err(OpenError::io(&path))?;
        Ok(FoundProof { path, proof: ForkProof::verify(&bytes) })
    };
    paths.filter(is_proof).map(read).collect()
}

#[cfg(test)]
mod tests {
    use base::{Identity, MemoryDisk, NodeId, Term};

    use super::*;

    fn key() -> Identity {
        Identity::from_seed(&[7; 32])
    }

    fn mark(key: &Identity, log: LogId, hash: Hash) -> EntryMark {
        let (incarnation, index) = (IncarnationId::from_bytes([2; 16]), Index(77));
        let slot = Slot { term: Term(3), node: NodeId(1), index };
        let signature = Some(key.sign(&signed_message(log, incarnation, index, &hash)));
        EntryMark { slot, incarnation, hash, signature }
    }

    fn log() -> LogId {
        LogId::from_bytes([1; 16])
    }

    fn sample() -> ForkProof {
        let (one, other) = (mark(&key(), log(), Hash::of(b"one")), mark(&key(), log(), Hash::of(b"other")));
        ForkProof::of(log(), key().public_key(), &one, &other).unwrap()
    }

    #[test]
    fn a_proof_has_the_bytes_that_the_format_says() {
        let (one, other) = (mark(&key(), log(), Hash::of(b"one")), mark(&key(), log(), Hash::of(b"other")));
        let (low, high) = if one.hash < other.hash { (one, other) } else { (other, one) };
        let bytes = sample().encode();
        let public = key().public_key();
        let fields: [&[u8]; 12] = [
            b"NetDbFrk",
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1; 16],
            &[2; 16],
            &[77, 0, 0, 0, 0, 0, 0, 0],
            public.as_bytes(),
            low.hash.as_bytes(),
            low.signature.as_ref().unwrap().as_bytes(),
            high.hash.as_bytes(),
            high.signature.as_ref().unwrap().as_bytes(),
            &[0; 4],
            &crc32fast::hash(&bytes[..284]).to_le_bytes(),
        ];
        assert_eq!(bytes, fields.concat());
        assert_eq!(bytes, include_bytes!("../testdata/proof.fork"), "the bytes are fixed");
        assert_eq!(ForkProof::verify(&bytes), Ok(sample()));
    }

    #[test]
    fn any_flipped_bit_is_refused_also_with_its_checksum_put_right() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(ForkProof::verify(&flipped).is_err(), "bit {bit}");
            let checksum = crc32fast::hash(&flipped[..284]).to_le_bytes();
            flipped[284..].copy_from_slice(&checksum);
            assert!(flipped == bytes || ForkProof::verify(&flipped).is_err(), "bit {bit}, checked");
        }
        for length in 0..bytes.len() {
            assert!(ForkProof::verify(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(ForkProof::verify(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn nothing_else_proves_a_fork() {
        let public = key().public_key();
        let (one, other) = (mark(&key(), log(), Hash::of(b"one")), mark(&key(), log(), Hash::of(b"other")));
        let of = |one: &EntryMark, other: &EntryMark| ForkProof::of(log(), public, one, other);
        assert!(of(&one, &other).is_some());
        assert_eq!(of(&one, &one), None, "the same entry");
        assert_eq!(of(&one, &EntryMark { signature: None, ..other }), None, "not signed");
        assert_eq!(of(&one, &EntryMark { signature: one.signature, ..other }), None, "signature of another");
        let later = Slot { index: Index(78), ..other.slot };
        assert_eq!(of(&one, &EntryMark { slot: later, ..other }), None, "another place");
        let incarnation = IncarnationId::from_bytes([3; 16]);
        assert_eq!(of(&one, &EntryMark { incarnation, ..other }), None, "another leadership");
        let elsewhere = mark(&key(), LogId::from_bytes([9; 16]), Hash::of(b"other"));
        assert_eq!(of(&one, &elsewhere), None, "another log");
        let stranger = Identity::from_seed(&[8; 32]);
        assert_eq!(of(&one, &mark(&stranger, log(), Hash::of(b"other"))), None, "another key");
        let consensus = |mark: EntryMark| EntryMark { incarnation: IncarnationId::NONE, ..mark };
        assert_eq!(of(&consensus(one), &consensus(other)), None, "entries of consensus");
    }

    #[test]
    fn a_proof_of_another_version_says_which() {
        let mut bytes = sample().encode();
        bytes[8] = 9;
        let checksum = crc32fast::hash(&bytes[..284]).to_le_bytes();
        bytes[284..].copy_from_slice(&checksum);
        assert_eq!(ForkProof::verify(&bytes), Err(ForkError::Version { found: 9 }));
    }

    #[test]
    fn the_files_of_a_directory_are_named_with_what_they_prove() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("node"));
        assert!(fork_proofs(dir, &disk).unwrap().is_empty());
        let forks = forks_dir(dir);
        disk.create_directories(&forks).unwrap();
        let proof = sample();
        let put = |name: &str, bytes: &[u8]| {
            base::create_atomically(&disk, &forks.join(name), OpenMode::Create, bytes).unwrap();
        };
        put(&proof.file_name(), &proof.encode());
        put("z.fork", b"nothing");
        put("note.txt", b"not asked for");
        let found = fork_proofs(dir, &disk).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].proof, Ok(proof));
        assert!(found[1].proof.is_err());
    }
}
