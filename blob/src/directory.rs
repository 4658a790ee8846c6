//! Directories: names, and what stands under them.
//!
//! ```text
//!  0 u8 format version   1 u8 reserved, 0   2 u16 levels of directories below   4 u32 entries   8 u64 bytes of all files below
//! 16 each entry, in the order of their names: u8 what: 1 file, 2 directory, 3 symbolic link   u8 reserved, 0   u16 permissions
//!    u16 bytes of its name, its name, then
//!      of a file       [32] blob, u64 bytes
//!      of a directory  [32] its object, u64 bytes of all files below
//!      of a link       u16 bytes of its target, its target
//! ```

use base::Hash;
use base::wire::{Cursor, Malformed, Put};

use crate::BlobError;
use crate::limits::{CHUNK_BYTES_MAX, DIRECTORY_LEVELS_MAX, FILE_NAME_BYTES_MAX, LINK_BYTES_MAX};

const VERSION: u8 = 1;
/// What of a mode is kept: who may read, write and execute.
pub(crate) const MODE_MASK: u16 = 0o777;

/// A directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Levels of directories below it.
    pub levels: u16,
    /// In the order of their names, none of which is there twice.
    pub entries: Vec<Entry>,
}

/// A name in a directory, and what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Any bytes but `/` and zero.
    pub name: Box<[u8]>,
    /// Its permissions, as of Unix; 0 of a link.
    pub mode: u16,
    pub what: Content,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    File { blob: Hash, bytes: u64 },
    Directory { object: Hash, bytes: u64 },
    Link { target: Box<[u8]> },
}

impl Directory {
    /// Returns the bytes of all files below it.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |entry: &Entry| match entry.what {
            Content::File { bytes, .. } | Content::Directory { bytes, .. } => bytes,
            Content::Link { .. } => 0,
        };
        self.entries.iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Encodes it; its entries are put in order.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] for one with too many names, or too many levels.
    pub(crate) fn encode(&mut self) -> Result<Vec<u8>, BlobError> {
        self.entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut out = vec![VERSION, 0];
        out.put_u16(self.levels);
        out.put_length(self.entries.len());
        out.put_u64(self.bytes());
        for Entry { name, mode, what } in &self.entries {
            let number = match what {
                Content::File { .. } => 1,
                Content::Directory { .. } => 2,
                Content::Link { .. } => 3,
            };
            out.extend_from_slice(&[number, 0]);
            out.put_u16(*mode);
            put_short(&mut out, name);
            match what {
                Content::File { blob: hash, bytes } | Content::Directory { object: hash, bytes } => {
                    out.put(hash.as_bytes());
                    out.put_u64(*bytes);
                }
                Content::Link { target } => put_short(&mut out, target),
            }
        }
        match out.len() <= CHUNK_BYTES_MAX && self.levels <= DIRECTORY_LEVELS_MAX {
            true => Ok(out),
            false => Err(BlobError::TooLarge { max: CHUNK_BYTES_MAX as u64 }),
        }
    }

    /// Reads a directory. Nothing in it is a name that leads elsewhere.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsupportedVersion`], [`BlobError::Decode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        match bytes.first() {
            Some(&VERSION) | None => decode(bytes)
                .map_err(|malformed| BlobError::Decode { what: format!("directory ({malformed})") }),
            Some(&found) => {
                let (found, known) = (found.into(), VERSION.into());
                Err(BlobError::UnsupportedVersion { what: "a directory", found, known })
            }
        }
    }
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u16(bytes.len() as u16);
    out.put(bytes);
}

/// Tells whether bytes can be a name in a directory.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let fits = (1..=FILE_NAME_BYTES_MAX).contains(&name.len());
    fits && name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Tells whether bytes can be the target of a link, wherever it leads.
pub(crate) fn is_target(target: &[u8]) -> bool {
    (1..=LINK_BYTES_MAX).contains(&target.len()) && !target.contains(&0)
}

fn decode(bytes: &[u8]) -> Result<Directory, Malformed> {
    let mut cursor = Cursor::new(bytes);
    cursor.u8("version")?;
    let zero = cursor.u8("reserved byte")?;
    let levels = cursor.u16("levels")?;
    let count = cursor.u32("entries")?;
    let total = cursor.u64("bytes")?;
    if zero != 0 || levels > DIRECTORY_LEVELS_MAX {
        return Err(Malformed::new("levels"));
    }
    let mut directory = Directory { levels, entries: Vec::new() };
    let mut sum = 0_u64;
    for _ in 0..count {
        let (number, zero, mode) = (cursor.u8("kind")?, cursor.u8("reserved byte")?, cursor.u16("mode")?);
        let name = short(&mut cursor, "name")?;
        let follows = directory.entries.last().is_none_or(|last| *last.name < *name);
        let mode_max = if number == 3 { 0 } else { MODE_MASK };
        if !is_name(name) || !follows || zero != 0 || mode & !mode_max != 0 {
            return Err(Malformed::new("name or mode"));
        }
        let what = match number {
            1 | 2 => {
                let (hash, bytes) = (Hash::from_bytes(cursor.array("hash")?), cursor.u64("bytes")?);
                sum = sum.checked_add(bytes).ok_or(Malformed::new("bytes"))?;
                match number {
                    1 => Content::File { blob: hash, bytes },
                    _ if levels == 0 => return Err(Malformed::new("levels")),
                    _ => Content::Directory { object: hash, bytes },
                }
            }
            3 => match short(&mut cursor, "target")? {
                target if is_target(target) => Content::Link { target: target.into() },
                _ => return Err(Malformed::new("target")),
            },
            _ => return Err(Malformed::new("kind")),
        };
        directory.entries.push(Entry { name: name.into(), mode, what });
    }
    cursor.finish("length")?;
    match sum == total {
        true => Ok(directory),
        false => Err(Malformed::new("bytes")),
    }
}

fn short<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Result<&'a [u8], Malformed> {
    let length = cursor.u16(what)?;
    cursor.take(length.into(), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let entry = |name: &str, mode, what| Entry { name: name.as_bytes().into(), mode, what };
        let (blob, object) = (Hash::of(b"file"), Hash::of(b"directory"));
        let target = b"../b"[..].into();
        Directory {
            levels: 1,
            entries: vec![
                entry("a", 0o755, Content::Directory { object, bytes: 7 }),
                entry("b", 0o644, Content::File { blob, bytes: 5 }),
                entry("c", 0, Content::Link { target }),
            ],
        }
    }

    #[test]
    fn directories_come_back_in_the_order_of_their_names() {
        let mut shuffled = directory();
        shuffled.entries.reverse();
        let bytes = shuffled.encode().unwrap();
        assert_eq!(Directory::decode(&bytes).unwrap(), directory());
        assert_eq!(directory().bytes(), 12);
    }

    #[test]
    fn cut_and_changed_bytes_are_refused_or_another_directory_without_bad_names() {
        let bytes = directory().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Directory::decode(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                if let Ok(found) = Directory::decode(&changed) {
                    assert!(found != directory());
                    assert!(found.entries.iter().all(|entry| is_name(&entry.name)));
                }
            }
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
            let mut wrong = directory();
            wrong.entries.truncate(1);
            wrong.entries[0].name = name.into();
            assert!(Directory::decode(&wrong.encode().unwrap()).is_err(), "{name:?}");
        }
        let mut twice = directory();
        let second = twice.entries[1].clone();
        twice.entries.push(second);
        assert!(Directory::decode(&twice.encode().unwrap()).is_err());
        let mut set_user_id = directory();
        set_user_id.entries[1].mode = 0o4755;
        assert!(Directory::decode(&set_user_id.encode().unwrap()).is_err());
        let mut link_with_mode = directory();
        link_with_mode.entries[2].mode = 0o644;
        assert!(Directory::decode(&link_with_mode.encode().unwrap()).is_err());
    }
}
