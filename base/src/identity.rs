//! The ed25519 key that signs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::disk::{Disk, OpenMode, create_atomically, read_exact_at};
use crate::ids::ParseIdError;
use crate::{Classify, ErrorKind, IDENTITY_BYTES, OriginId, Random};

/// An ed25519 public key: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// Wraps the 32 bytes of a key; whether they are a usable key shows when something is verified.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells whether `signature` is this key's over exactly `message`.
    ///
    /// The strict rules apply: weak keys and signatures with a small-order part are never valid.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
            key.verify_strict(message, &signature).is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::ids::write_hex(&self.0, f)
    }
}

impl FromStr for PublicKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        crate::ids::parse_id("a public key", text).map(Self)
    }
}

crate::text::serialized_as_text!(PublicKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Bytes of a signature.
    pub const BYTES: usize = 64;

    /// Wraps the 64 bytes of a signature.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        crate::ids::write_hex(&self.0, f)?;
        f.write_str(")")
    }
}

/// A signing key. It is never printed, not even by `Debug`, and wiped from memory when dropped.
pub struct Identity(SigningKey);

/// Why an identity could not be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file does not have the length of a seed.
    #[error(
        "identity file `{}` has {bytes} bytes, expected {IDENTITY_BYTES}: restore it from a backup",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The file could not be read or written.
    #[error("identity file `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Classify for IdentityError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Length { .. } => ErrorKind::Corrupt,
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}

impl Identity {
    /// Draws a new key.
    pub fn random(random: &dyn Random) -> Self {
        let mut seed = Zeroizing::new([0; IDENTITY_BYTES]);
        random.fill(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// Makes the key that belongs to a 32-byte seed.
    pub fn from_seed(seed: &[u8; IDENTITY_BYTES]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file: 32 bytes, the seed.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Io`] with kind `NotFound` when there is none; [`IdentityError::Length`] when the file
    /// is not a seed.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.to_owned(), source };
        let file = disk.open(path, OpenMode::Read).map_err(io)?;
        let bytes = file.length().map_err(io)?;
        if bytes != IDENTITY_BYTES as u64 {
            return Err(IdentityError::Length { path: path.to_owned(), bytes });
        }
        let mut seed = Zeroizing::new([0; IDENTITY_BYTES]);
        read_exact_at(&*file, seed.as_mut(), 0).map_err(io)?;
        Ok(Self::from_seed(&seed))
    }

    /// Draws a new key and writes it to a file that must not exist, readable by its owner alone.
    ///
    /// *Durability*: the key survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Io`], with kind `Conflict` when the file exists.
    pub fn create(disk: &dyn Disk, path: &Path, random: &dyn Random) -> Result<Self, IdentityError> {
        let mut seed = Zeroizing::new([0; IDENTITY_BYTES]);
        random.fill(seed.as_mut());
        create_atomically(disk, path, OpenMode::CreatePrivate, seed.as_ref())
            .map_err(|source| IdentityError::Io { path: path.to_owned(), source })?;
        Ok(Self::from_seed(&seed))
    }

    /// Returns the public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Returns the origin that this key founds.
    pub fn origin(&self) -> OriginId {
        OriginId::of_key(&self.public_key())
    }

    /// Signs exactly `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(origin {})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::temporary::TemporaryDirectory;
    use crate::{CrashImage, MemoryDisk, SeededRandom, SimulatedDisk, SystemDisk};

    const PATH: &str = "identity.key";

    fn path() -> &'static Path {
        Path::new(PATH)
    }

    #[test]
    fn a_key_file_belongs_to_its_owner_alone() {
        let directory = TemporaryDirectory::new();
        let path = directory.path().join(PATH);
        let identity = Identity::create(&SystemDisk, &path, &SeededRandom::new(1)).unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), 32);
        assert_eq!(Identity::open(&SystemDisk, &path).unwrap().public_key(), identity.public_key());
    }

    #[test]
    fn a_created_key_survives_every_crash() {
        let disk = SimulatedDisk::new();
        let identity = Identity::create(&disk, path(), &SeededRandom::new(1)).unwrap();
        let left = disk.snapshot().image(&CrashImage::None);
        assert_eq!(Identity::open(&left, path()).unwrap().origin(), identity.origin());
    }

    /// Half a key would lock its owner out for ever.
    #[test]
    fn a_crash_while_a_key_is_created_leaves_it_whole_or_not_at_all() {
        let disk = SimulatedDisk::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        disk.on_operation(Some(Box::new(move |_, snapshot| sender.send(snapshot).unwrap())));
        let identity = Identity::create(&disk, path(), &SeededRandom::new(1)).unwrap();
        disk.on_operation(None);
        let snapshots: Vec<_> = receiver.iter().collect();
        assert_eq!(snapshots.len(), 5, "create, write, sync, rename, sync of the directory");
        for (snapshot, seed) in
            snapshots.iter().flat_map(|snapshot| (0..50).map(move |seed| (snapshot, seed)))
        {
            let left = snapshot.image(&CrashImage::Sectors { seed });
            match Identity::open(&left, path()) {
                Ok(opened) => assert_eq!(opened.origin(), identity.origin()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        }
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let disk = MemoryDisk::new();
        let first = Identity::create(&disk, path(), &SeededRandom::new(1)).unwrap();
        let error = Identity::create(&disk, path(), &SeededRandom::new(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(Identity::open(&disk, path()).unwrap().origin(), first.origin());
    }

    #[test]
    fn a_missing_key_is_not_found() {
        let error = Identity::open(&MemoryDisk::new(), path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(PATH), "{error}");
    }

    #[test]
    fn a_file_of_another_length_is_no_key() {
        let disk = SimulatedDisk::new();
        for length in [0, 31, 33, 5000] {
            disk.write(PATH, &vec![7; length]);
            let error = Identity::open(&disk, path()).unwrap_err();
            assert!(
                matches!(error, IdentityError::Length { bytes, .. } if bytes == length as u64),
                "{error}"
            );
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_the_seed() {
        let seed = [0xa7; IDENTITY_BYTES];
        let disk = SimulatedDisk::new();
        disk.write(PATH, &[seed.as_slice(), &[0xa7]].concat());
        let error = Identity::open(&disk, path()).unwrap_err();
        let identity = Identity::from_seed(&seed);
        for text in [format!("{identity:?} {identity:#?}"), format!("{error} {error:?}")] {
            assert!(!text.to_lowercase().contains("a7a7"), "{text}");
            assert!(!text.contains("167, 167"), "{text}");
        }
    }

    #[test]
    fn a_signature_is_valid_for_its_message_and_key_only() {
        let (one, other) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let signature = one.sign(b"message");
        assert!(one.public_key().verifies(b"message", &signature));
        assert!(!one.public_key().verifies(b"massage", &signature));
        assert!(!other.public_key().verifies(b"message", &signature));
        let mut bytes = *signature.as_bytes();
        bytes[10] ^= 1;
        assert!(!one.public_key().verifies(b"message", &Signature::from_bytes(bytes)));
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse::<OriginId>();
        let identity = Identity::from_seed(seed.unwrap().as_bytes());
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(identity.public_key().to_string(), key);
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                         5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(format!("{:?}", identity.sign(b"")), format!("Signature({signature})"));
    }

    /// With the neutral element as key, the neutral element and zero sign everything, unless refused.
    #[test]
    fn weak_keys_verify_nothing() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let key = PublicKey::from_bytes(neutral);
        assert!(!key.verifies(b"message", &Signature::from_bytes(signature)));
    }
}
