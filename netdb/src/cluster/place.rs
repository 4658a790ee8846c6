//! What a node keeps about its cluster, beside its logs.
//!
//! ```text
//! cluster/member    which cluster, and which node of it, this is; once and for all
//! cluster/peers     the members as known last, as JSON; derived, to find the others by when the control log is not there
//! cluster/key       the cluster's ed25519 seed, where it was begun: who has it lets others in
//! ```
//!
//! *Member*: two equal copies of 256 bytes, little-endian:
//!
//! ```text
//!   0  [8]  "NetDbMbr"   8  u16 version 1   10  u16 features, 0   12  u32 copy, 0 or 1
//!  16  [16] cluster id   32  u64 node   40  [32] the cluster's public key
//!  72  [16] id of the control log   88  [32] who began it   120  zeros   224  [32] BLAKE3 of bytes 0..224
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base::wire::{Cursor, Malformed, Put};
use base::{ClusterId, Disk, ErrorKind, Hash, LogId, NodeId, OpenMode, OriginId, PublicKey};
use serde::{Deserialize, Serialize};

use crate::Error;
pub(crate) use crate::member::{directory, member_path};

const MAGIC: [u8; 8] = *b"NetDbMbr";
const VERSION: u16 = 1;
const COPY_BYTES: usize = 256;
const HASHED_BYTES: usize = 224;

/// Which cluster a node belongs to, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub cluster_key: PublicKey,
    pub control: LogId,
    pub control_origin: OriginId,
}

/// A member as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRecord {
    pub node: NodeId,
    pub key: PublicKey,
    pub address: SocketAddr,
}

pub(crate) fn key_path(dir: &Path) -> PathBuf {
    directory(dir).join("key")
}

fn peers_path(dir: &Path) -> PathBuf {
    directory(dir).join("peers")
}

fn failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |cause| Error::new(ErrorKind::Unavailable, format!("{what} `{}`: {cause}", path.display()))
}

/// Reads which cluster a directory belongs to; `None` when to none.
pub(crate) fn read_membership(disk: &dyn Disk, dir: &Path) -> Result<Option<Membership>, Error> {
    let path = member_path(dir);
    if !disk.exists(&path).map_err(failed("read", &path))? {
        return Ok(None);
    }
    let file = disk.open(&path, OpenMode::Read).map_err(failed("read", &path))?;
    let bytes = base::read_to_end(&*file, 2 * COPY_BYTES).map_err(failed("read", &path))?;
    let copies = bytes.chunks(COPY_BYTES).zip(0_u32..);
    let mut found = copies.map(|(bytes, copy)| decode(bytes, copy));
    let damaged = |what: &Malformed| {
        let message = format!(
            "`{}` has a wrong {what} in both copies: restore it from a backup, or join as a new node",
            path.display()
        );
        Error::new(ErrorKind::Corrupt, message)
    };
    match found.next().unwrap_or(Err(Malformed::new("length"))) {
        Ok(membership) => Ok(Some(membership)),
        Err(first) => match found.next() {
            Some(Ok(membership)) => Ok(Some(membership)),
            _ => Err(damaged(&first)),
        },
    }
}

/// Makes a directory one of a member, durably and once.
pub(crate) fn write_membership(disk: &dyn Disk, dir: &Path, membership: &Membership) -> Result<(), Error> {
    let path = member_path(dir);
    let bytes = [encode(membership, 0), encode(membership, 1)].concat();
    disk.create_directories(&directory(dir)).map_err(failed("make", &path))?;
    disk.sync_directory(dir).map_err(failed("make", &path))?;
    base::create_atomically(disk, &path, OpenMode::Create, &bytes).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message = format!("`{}` belongs to a cluster already: use a fresh directory", dir.display());
            Error::new(ErrorKind::Conflict, message)
        }
        _ => failed("write", &path)(cause),
    })
}

fn encode(membership: &Membership, copy: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(COPY_BYTES);
    out.put(&MAGIC);
    out.put_u16(VERSION);
    out.put_u16(0);
    out.put_u32(copy);
    out.put(membership.cluster.as_bytes());
    out.put_u64(membership.node.0);
    out.put(membership.cluster_key.as_bytes());
    out.put(membership.control.as_bytes());
    out.put(membership.control_origin.as_bytes());
    out.resize(HASHED_BYTES, 0);
    let hash = Hash::of(&out);
    out.put(hash.as_bytes());
    out
}

fn decode(bytes: &[u8], copy: u32) -> Result<Membership, Malformed> {
    let hashed = bytes.get(..HASHED_BYTES).ok_or(Malformed::new("length"))?;
    let mut cursor = Cursor::new(bytes);
    if cursor.array("magic")? != MAGIC {
        return Err(Malformed::new("magic"));
    }
    if bytes.get(HASHED_BYTES..) != Some(Hash::of(hashed).as_bytes().as_slice()) {
        return Err(Malformed::new("hash"));
    }
    if cursor.u16("version")? != VERSION {
        return Err(Malformed::new("version: it was written by newer software"));
    }
    if cursor.u16("features")? != 0 {
        return Err(Malformed::new("feature: it was written by newer software"));
    }
    if cursor.u32("copy number")? != copy {
        return Err(Malformed::new("copy number"));
    }
    Ok(Membership {
        cluster: ClusterId::from_bytes(cursor.array("cluster id")?),
        node: NodeId(cursor.u64("node")?),
        cluster_key: PublicKey::from_bytes(cursor.array("cluster key")?),
        control: LogId::from_bytes(cursor.array("log id")?),
        control_origin: OriginId::from_bytes(cursor.array("origin")?),
    })
}

/// Reads the members as known last; none where nothing was noted, or it does not read.
pub(crate) fn read_peers(disk: &dyn Disk, dir: &Path) -> Vec<PeerRecord> {
    let path = peers_path(dir);
    let read = || {
        let file = disk.open(&path, OpenMode::Read).ok()?;
        let bytes = base::read_to_end(&*file, 1 << 20).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().unwrap_or_default()
}

/// Notes the members, to find them by at the next start. That it fails is told and does no harm: it is derived.
pub(crate) fn write_peers(disk: &dyn Disk, dir: &Path, members: &BTreeMap<NodeId, (PublicKey, SocketAddr)>) {
    let records: Vec<_> = members
        .iter()
        .map(|(node, (key, address))| PeerRecord { node: *node, key: *key, address: *address })
        .collect();
    if records == read_peers(disk, dir) {
        return;
    }
    let path = peers_path(dir);
    let written = serde_json::to_vec(&records).map_err(std::io::Error::other).and_then(|bytes| {
        if disk.exists(&path)? {
            disk.remove(&path)?;
        }
        base::create_atomically(disk, &path, OpenMode::Create, &bytes)
    });
    if let Err(cause) = written {
        tracing::warn!(%cause, path = %path.display(), "the members could not be noted");
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use base::MemoryDisk;

    use super::*;

    fn membership() -> Membership {
        Membership {
            cluster: ClusterId::from_bytes([1; 16]),
            node: NodeId(2),
            cluster_key: PublicKey::from_bytes([3; 32]),
            control: LogId::from_bytes([4; 16]),
            control_origin: OriginId::from_bytes([5; 32]),
        }
    }

    #[test]
    fn a_membership_is_read_as_it_was_written_and_is_written_once() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/node"));
        disk.create_directories(dir).unwrap();
        assert_eq!(read_membership(&disk, dir).unwrap(), None);
        write_membership(&disk, dir, &membership()).unwrap();
        assert_eq!(read_membership(&disk, dir).unwrap(), Some(membership()));
        let again = write_membership(&disk, dir, &membership()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn any_flipped_bit_of_a_copy_is_found_and_one_copy_is_enough() {
        let good = encode(&membership(), 0);
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 0).is_err(), "{bit}");
        }
        for length in 0..good.len() {
            assert!(decode(&good[..length], 0).is_err(), "{length}");
        }
        let (disk, dir) = (MemoryDisk::new(), Path::new("/node"));
        disk.create_directories(dir).unwrap();
        write_membership(&disk, dir, &membership()).unwrap();
        let file = disk.open(&member_path(dir), OpenMode::Write).unwrap();
        base::write_all_at(&*file, b"x", 3).unwrap();
        assert_eq!(read_membership(&disk, dir).unwrap(), Some(membership()));
        base::write_all_at(&*file, b"x", 259).unwrap();
        assert_eq!(read_membership(&disk, dir).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn peers_are_noted_and_nothing_is_made_of_bytes_that_do_not_read() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/node"));
        disk.create_directories(&directory(dir)).unwrap();
        assert_eq!(read_peers(&disk, dir), []);
        let address = (Ipv4Addr::LOCALHOST, 7701).into();
        let members = BTreeMap::from([(NodeId(1), (PublicKey::from_bytes([7; 32]), address))]);
        write_peers(&disk, dir, &members);
        write_peers(&disk, dir, &members);
        assert_eq!(
            read_peers(&disk, dir),
            [PeerRecord { node: NodeId(1), key: PublicKey::from_bytes([7; 32]), address }]
        );
        let file = disk.open(&peers_path(dir), OpenMode::Write).unwrap();
        base::write_all_at(&*file, b"{", 0).unwrap();
        assert_eq!(read_peers(&disk, dir), []);
    }
}
