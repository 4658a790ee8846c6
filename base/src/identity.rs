//! The ed25519 key that signs.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::disk::{Disk, OpenMode, create_atomically, read_to_end};
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
        bytes: usize,
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
        let bytes = Zeroizing::new(read_to_end(&*file, IDENTITY_BYTES + 1).map_err(io)?);
        let length = IdentityError::Length { path: path.to_owned(), bytes: bytes.len() };
        let seed = Zeroizing::new(<[u8; IDENTITY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| length)?);
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
