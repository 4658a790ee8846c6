use std::io;
use std::path::Path;
use std::time::Duration;

use blob::adapter::ObjectName;
use blob::{BlobError, ObjectKind};
use blob_remote::{ObjectStoreAdapter, RemoteOptions};

/// What must never show up anywhere.
pub const SECRET: &str = "c2VjcmV0LW9mLXRlc3Rz";

/// Variables with credentials.
pub fn credentials() -> Vec<(String, String)> {
    let pairs = [("AWS_ACCESS_KEY_ID", "tester"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("PATH", "ignored")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Options that give up soon.
pub fn hasty() -> RemoteOptions {
    RemoteOptions {
        retries_max: 2,
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(20),
        retry_timeout: Duration::from_secs(20),
        ..RemoteOptions::default()
    }
}

pub fn open(url: &str) -> Result<ObjectStoreAdapter, BlobError> {
    ObjectStoreAdapter::open_with_environment(url, hasty(), credentials())
}

pub fn chunk(content: &[u8]) -> ObjectName {
    ObjectName::of(ObjectKind::Chunk, content)
}

/// Changes a file: flips a bit of it, or gives an empty one a byte.
pub fn damage(path: &Path) -> io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.push(0),
    }
    std::fs::write(path, bytes)
}
