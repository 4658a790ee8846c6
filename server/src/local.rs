//! The file by which programs on the same machine find the server that owns a directory.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use netdb::base::{Disk, OpenMode, create_atomically, read_to_end};
use serde::{Deserialize, Serialize};

/// The name of the file in a data directory.
pub const LOCAL_FILE: &str = "serve.json";

const BYTES_MAX: usize = 4096;

/// How to reach the server that owns a directory: in the clear, on loopback, with a token of its own.
///
/// *Shape*: a JSON object with `http` (address and port), `pid` and `token`, in a file that only its owner can read. It
/// is there while the server is; after a crash it may be left, and then its `pid` is not that of who holds the lock.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LocalServer {
    /// Where it listens.
    pub http: SocketAddr,
    /// The process.
    pub pid: u32,
    /// A token of role `admin`.
    pub token: String,
}

impl std::fmt::Debug for LocalServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalServer")
            .field("http", &self.http)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl LocalServer {
    pub(crate) fn new(http: SocketAddr, token: String) -> Self {
        Self { http, pid: std::process::id(), token }
    }

    /// Reads the file of a directory; `None` where there is none, or none that can be understood.
    ///
    /// # Errors
    ///
    /// What the operating system said, such as that the file belongs to somebody else.
    pub fn read(disk: &dyn Disk, directory: &Path) -> io::Result<Option<Self>> {
        let file = match disk.open(&directory.join(LOCAL_FILE), OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&read_to_end(&*file, BYTES_MAX)?).ok())
    }

    /// Writes the file in place of one that an earlier server left.
    pub(crate) fn write(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        Self::remove(disk, directory)?;
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        create_atomically(disk, &directory.join(LOCAL_FILE), OpenMode::CreatePrivate, &bytes)
    }

    /// Removes the file, if there is one.
    pub(crate) fn remove(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        match disk.remove(&directory.join(LOCAL_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
