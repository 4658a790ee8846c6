//! Where a store overflows to, and when: kept beside its objects, so that whoever opens them finds what is away.
//!
//! ```text
//! DIR/overflow
//!   0  [8] "NetDbOvf"   8 u16 format version   10 u8 whether chunks go: 0, 1   11 u8 whether there is a quota: 0, 1
//!  12  f64 high watermark   20 f64 low watermark   28 u32 pushes per tick   32 u64 tick, nanoseconds
//!  40  u64 quota in bytes   48 the place, UTF-8, up to the end but for
//!   +  u32 CRC of all before
//! ```

use std::io;
use std::path::Path;
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{Disk, OpenMode};

use super::{DiskUse, OverflowConfig};
use crate::store::ObjectStore;
use crate::{BlobError, BlobStore};

const FILE: &str = "overflow";
const MAGIC: [u8; 8] = *b"NetDbOvf";
const VERSION: u16 = 1;
/// Longest place, in bytes.
const PLACE_BYTES_MAX: usize = 4_096;

/// Where a store overflows to, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct OverflowSettings {
    /// Where chunks go: a text for whoever makes adapters, such as a URL.
    pub place: String,
    /// When.
    pub config: OverflowConfig,
    /// Bytes that the store may take; `None` for what the file system has.
    pub quota: Option<u64>,
}

impl OverflowSettings {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { place, config, quota } = self;
        let mut out = MAGIC.to_vec();
        out.put_u16(VERSION);
        out.put_u8(config.enabled.into());
        out.put_u8(quota.is_some().into());
        out.put_u64(config.high.to_bits());
        out.put_u64(config.low.to_bits());
        out.put_u32(u32::try_from(config.pushes_per_tick).unwrap_or(u32::MAX));
        out.put_u64(u64::try_from(config.tick.as_nanos()).unwrap_or(u64::MAX));
        out.put_u64(quota.unwrap_or(0));
        out.put(place.as_bytes());
        out.put_u32(crc32fast::hash(&out));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        let malformed =
            |malformed: Malformed| BlobError::Decode { what: format!("file `{FILE}` ({malformed})") };
        let (bytes, crc) = bytes.split_last_chunk().ok_or_else(|| malformed(Malformed::new("length")))?;
        let mut cursor = Cursor::new(bytes);
        if cursor.array::<8>("beginning").map_err(malformed)? != MAGIC {
            return Err(malformed(Malformed::new("beginning")));
        }
        let found = cursor.u16("version").map_err(malformed)?;
        if found != VERSION {
            return Err(BlobError::UnsupportedVersion {
                what: "the overflow of blobs",
                found,
                known: VERSION,
            });
        }
        if u32::from_le_bytes(*crc) != crc32fast::hash(bytes) {
            return Err(malformed(Malformed::new("checksum")));
        }
        let settings = Self::take(&mut cursor).map_err(malformed)?;
        settings.config.check()?;
        Ok(settings)
    }

    fn take(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let flag = |byte: u8, what| match byte {
            0 | 1 => Ok(byte == 1),
            _ => Err(Malformed::new(what)),
        };
        let enabled = flag(cursor.u8("state")?, "state")?;
        let has_quota = flag(cursor.u8("quota")?, "quota")?;
        let mut ratio = || cursor.u64("watermark").map(f64::from_bits);
        let (high, low) = (ratio()?, ratio()?);
        let pushes_per_tick = cursor.u32("pushes")? as usize;
        let tick = Duration::from_nanos(cursor.u64("tick")?);
        let quota = cursor.u64("quota")?;
        let place = cursor.text(cursor.remaining(), "place")?.to_owned();
        if place.len() > PLACE_BYTES_MAX {
            return Err(Malformed::new("place"));
        }
        if !has_quota && quota != 0 {
            return Err(Malformed::new("quota"));
        }
        let config = OverflowConfig { enabled, high, low, pushes_per_tick, tick };
        Ok(Self { place, config, quota: has_quota.then_some(quota) })
    }
}

impl BlobStore {
    /// Returns where chunks go, and when; `None` where that was never said.
    ///
    /// # Errors
    ///
    /// [`BlobError::Decode`] and [`BlobError::UnsupportedVersion`] for what stands there; [`BlobError::Io`].
    pub fn overflow_settings(&self) -> Result<Option<OverflowSettings>, BlobError> {
        let path = self.objects().dir().join(FILE);
        let bytes = match self.objects().doors().disk.open(&path, OpenMode::Read) {
            Ok(file) => base::read_to_end(&*file, 2 * PLACE_BYTES_MAX).map_err(BlobError::io(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { path, source }),
        };
        OverflowSettings::decode(&bytes).map(Some)
    }

    /// Says where chunks go, and when.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Overflow`] for another place while chunks lie at the one that was said before:
    /// [take them back](super::Overflow::take_all_back) first. [`BlobError::TooLong`], [`BlobError::Io`].
    pub fn set_overflow_settings(&self, settings: &OverflowSettings) -> Result<(), BlobError> {
        settings.config.check()?;
        if settings.place.len() > PLACE_BYTES_MAX {
            let (what, bytes) = ("a place to overflow to", settings.place.len());
            return Err(BlobError::TooLong { what, bytes, max: PLACE_BYTES_MAX });
        }
        let before = self.overflow_settings()?;
        let moves = before.is_some_and(|before| before.place != settings.place);
        if moves && self.objects().away_use() != crate::AwayUse::default() {
            return Err(BlobError::Overflow { why: "chunks lie at another place: take them back before" });
        }
        let path = self.objects().dir().join(FILE);
        replace(&*self.objects().doors().disk, &path, &settings.encode()).map_err(BlobError::io(&path))
    }

    /// Tells how much of its quota the store takes, or else how full its file system is.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn disk_use(&self, quota: Option<u64>) -> Result<DiskUse, BlobError> {
        disk_use(self.objects(), quota)
    }
}

fn disk_use(objects: &ObjectStore, quota: Option<u64>) -> Result<DiskUse, BlobError> {
    if let Some(capacity) = quota {
        return Ok(DiskUse { used: objects.stored_bytes()?, capacity });
    }
    let space = objects.doors().disk.space(objects.dir()).map_err(BlobError::io(objects.dir()))?;
    Ok(match space {
        Some(space) => DiskUse { used: space.total.saturating_sub(space.available), capacity: space.total },
        None => DiskUse { used: objects.stored_bytes()?, capacity: u64::MAX },
    })
}

/// Writes a small file, in place of another one.
fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("tmp");
    if disk.exists(&staged)? {
        disk.remove(&staged)?;
    }
    let file = disk.open(&staged, OpenMode::Create)?;
    base::write_all_at(&*file, bytes, 0)?;
    file.sync_data()?;
    disk.rename(&staged, path)?;
    disk.sync_directory(path.parent().unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_have_one_encoding() {
        for (quota, place) in [(None, String::new()), (Some(0), "x".repeat(PLACE_BYTES_MAX))] {
            let settings = OverflowSettings { place, config: OverflowConfig::default(), quota };
            let bytes = settings.encode();
            assert_eq!(OverflowSettings::decode(&bytes).unwrap(), settings);
            for length in 0..bytes.len() {
                assert!(OverflowSettings::decode(&bytes[..length]).is_err(), "{length}");
            }
        }
        let settings = OverflowSettings { place: "x".into(), config: OverflowConfig::default(), quota: None };
        let bytes = settings.encode();
        let long = OverflowSettings { place: "x".repeat(PLACE_BYTES_MAX + 1), ..settings }.encode();
        let changed = |at: usize| {
            let mut bytes = bytes[..bytes.len() - 4].to_vec();
            bytes[at] = 2;
            bytes.put_u32(crc32fast::hash(&bytes));
            bytes
        };
        // Neither yes nor no, and a quota where there is none.
        for wrong in [changed(10), changed(11), changed(40), long] {
            let read = OverflowSettings::decode(&wrong);
            assert!(matches!(read, Err(BlobError::Decode { .. })), "{read:?}");
        }
    }
}
