//! Where the blobs of a database overflow to.

use std::sync::{MutexGuard, PoisonError};

use base::{ErrorKind, Hash};
use blob::adapter::{ListQuery, VerifiedAdapter};
use blob::{AwayUse, BlobError, BlobStore, DiskUse, Overflow, OverflowConfig, OverflowSettings, Ticked};

use super::Blobs;
use crate::Error;

/// Has chunks that are away be fetched from where the settings of a store say that they lie.
pub(super) fn connect(store: &BlobStore) {
    let connected = store.overflow_settings().and_then(|settings| {
        let Some(settings) = settings else { return Ok(()) };
        store.objects().set_away(Some(open_place(&settings.place)?));
        Ok(())
    });
    if let Err(error) = connected {
        tracing::error!(%error, "chunks that are not here cannot be fetched from where they went");
    }
}

#[cfg(feature = "object-stores")]
fn open_place(place: &str) -> Result<VerifiedAdapter, BlobError> {
    let adapter = blob_remote::ObjectStoreAdapter::open(place, blob_remote::RemoteOptions::default())?;
    Ok(VerifiedAdapter::new(std::sync::Arc::new(adapter)))
}

#[cfg(not(feature = "object-stores"))]
fn open_place(_place: &str) -> Result<VerifiedAdapter, BlobError> {
    Err(BlobError::AdapterNotConfigured)
}

/// Returns a place within another one, which no other store uses.
#[cfg(feature = "object-stores")]
fn place_within(place: &str, name: &str) -> Result<String, BlobError> {
    blob_remote::place_within(place, name)
}

#[cfg(not(feature = "object-stores"))]
fn place_within(_place: &str, _name: &str) -> Result<String, BlobError> {
    Err(BlobError::AdapterNotConfigured)
}

/// What is to be different about where the blobs overflow to; what is not said stays as it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OverflowChange {
    /// Where they go: `file:///directory` or `s3://bucket/prefix`.
    pub place: Option<String>,
    /// The share above which chunks begin to go.
    pub high: Option<f64>,
    /// The share below which no more go.
    pub low: Option<f64>,
    /// Chunks of one tick, at most.
    pub pushes_per_tick: Option<usize>,
    /// Bytes that blobs may take here.
    pub quota: Option<u64>,
}

/// How overflow stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OverflowStatus {
    /// The settings; `None` where nobody said anything.
    pub settings: Option<OverflowSettings>,
    /// How full it is here.
    pub disk: DiskUse,
    /// What lies elsewhere.
    pub away: AwayUse,
}

impl Blobs {
    /// Tells how overflow stands.
    ///
    /// # Errors
    ///
    /// Kind `Corrupt` for settings that do not read; `Unavailable` where the disk cannot be asked.
    pub fn overflow_status(&self) -> Result<OverflowStatus, Error> {
        let settings = self.store().overflow_settings()?;
        let disk = self.store().disk_use(settings.as_ref().and_then(|settings| settings.quota))?;
        Ok(OverflowStatus { settings, disk, away: self.store().objects().away_use() })
    }

    /// Has chunks go elsewhere.
    ///
    /// # Errors
    ///
    /// As [`set_overflow`](Self::set_overflow).
    pub fn enable_overflow(&self, change: &OverflowChange) -> Result<Overflow, Error> {
        let before = self.overflow_settings()?;
        let (config, quota) = before.map(|before| (before.config, before.quota)).unwrap_or_default();
        let config = OverflowConfig {
            enabled: true,
            high: change.high.unwrap_or(config.high),
            low: change.low.unwrap_or(config.low),
            pushes_per_tick: change.pushes_per_tick.unwrap_or(config.pushes_per_tick),
            tick: config.tick,
        };
        self.set_overflow(change.place.as_deref(), config, change.quota.or(quota))
    }

    /// Has no more chunks go; those that went are still fetched, or come back first. Returns how many came back.
    ///
    /// # Errors
    ///
    /// As [`set_overflow`](Self::set_overflow) and [`Overflow::take_all_back`].
    pub fn disable_overflow(&self, take_back: bool) -> Result<u64, Error> {
        let Some(settings) = self.overflow_settings()? else { return Ok(0) };
        let config = OverflowConfig { enabled: false, ..settings.config };
        let overflow = self.set_overflow(None, config, settings.quota)?;
        if take_back { Ok(overflow.take_all_back()?) } else { Ok(0) }
    }

    /// Moves chunks until the use is below the low watermark, nothing goes any more, something failed, or `go_on` says no, which
    /// is told what was done so far.
    ///
    /// # Errors
    ///
    /// Kind `Conflict` where the blobs overflow to nowhere; as [`tick_overflow`](Self::tick_overflow).
    pub fn run_overflow(&self, mut go_on: impl FnMut(&Ticked) -> bool) -> Result<Ticked, Error> {
        if self.overflow_settings()?.is_none_or(|settings| !settings.config.enabled) {
            let message = "blobs overflow to nowhere: name a place, such as `net-db blob overflow enable file:///directory`";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mut sum = Ticked::default();
        while let Some(ticked) = self.tick_overflow()? {
            sum.pushed += ticked.pushed;
            sum.pushed_bytes += ticked.pushed_bytes;
            sum.freed_bytes += ticked.freed_bytes;
            sum.taken_back += ticked.taken_back;
            sum.tidied += ticked.tidied;
            sum.failed += ticked.failed;
            let is_idle = ticked.pushed + ticked.taken_back + ticked.tidied == 0;
            if ticked.failed > 0 || is_idle || !go_on(&sum) {
                break;
            }
        }
        Ok(sum)
    }

    /// Returns what moves chunks to where the blobs overflow to; `None` where that was never [said](Self::set_overflow).
    ///
    /// # Errors
    ///
    /// Kind `Invalid` where the place does not do, such as for want of credentials; `Corrupt` for settings that do not read.
    pub fn overflow(&self) -> Result<Option<Overflow>, Error> {
        let mut open = self.open_overflow();
        if open.is_none()
            && let Some(settings) = self.store().overflow_settings()?
        {
            self.store().objects().set_away(Some(open_place(&settings.place)?));
            *open = Some(Overflow::new(self.pins.clone(), settings.config)?);
        }
        Ok(open.clone())
    }

    /// Returns where the blobs overflow to, and when; `None` where that was never said.
    ///
    /// # Errors
    ///
    /// Kind `Corrupt` for settings that do not read.
    pub fn overflow_settings(&self) -> Result<Option<OverflowSettings>, Error> {
        Ok(self.store().overflow_settings()?)
    }

    /// Says where the blobs overflow to, and when. The place is a URL: `file:///directory` or `s3://bucket/prefix`, below which this
    /// store takes a name of its own; without one it stays as it was. A quota counts bytes of blobs here; without one the file system
    /// says how full it is.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for a place that does not do, for another one while chunks lie at the one before, and without the feature
    /// `object-stores`; that of the place where chunks are to go and it cannot be reached.
    pub fn set_overflow(
        &self,
        place: Option<&str>,
        config: OverflowConfig,
        quota: Option<u64>,
    ) -> Result<Overflow, Error> {
        config.check()?;
        let mut open = self.open_overflow();
        let before = self.store().overflow_settings()?.map(|settings| settings.place);
        let place = match (place, before) {
            (None, Some(before)) => before,
            (Some(within), before) => self.place_of_its_own(within, before)?,
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "nobody said where blobs overflow to: name a place",
                ));
            }
        };
        let target = open_place(&place)?;
        if config.enabled {
            target.list(&ListQuery::new(1))?;
        }
        self.store().set_overflow_settings(&OverflowSettings { place, config, quota })?;
        if let Some(overflow) = &*open
            && self.store().objects().away_use() != blob::AwayUse::default()
        {
            overflow.set_config(config)?;
            return Ok(overflow.clone());
        }
        self.store().objects().set_away(Some(target));
        Ok(open.insert(Overflow::new(self.pins.clone(), config)?).clone())
    }

    /// Returns the place before if it lies within the one that is asked for, and otherwise a new one within that.
    fn place_of_its_own(&self, within: &str, before: Option<String>) -> Result<String, Error> {
        let mut number = [0; 8];
        self.store.doors().random.fill(&mut number);
        let name = format!("blobs-{}", &Hash::of(&number).to_string()[..16]);
        if let Some(before) = before {
            let known = before.split(['/', '?']).find(|part| part.starts_with("blobs-"));
            if known.is_some_and(|known| place_within(within, known).is_ok_and(|place| place == before)) {
                return Ok(before);
            }
        }
        Ok(place_within(within, &name)?)
    }

    /// Moves some chunks if the disk, or the quota, is that full; `None` where the blobs overflow to nowhere.
    ///
    /// # Errors
    ///
    /// As [`overflow`](Self::overflow) and [`Overflow::tick`].
    pub fn tick_overflow(&self) -> Result<Option<Ticked>, Error> {
        let Some(overflow) = self.overflow()? else { return Ok(None) };
        let quota = self.store().overflow_settings()?.and_then(|settings| settings.quota);
        Ok(Some(overflow.tick(self.store().disk_use(quota)?)?))
    }

    /// Has a blob's chunks come back that are away; where that fails, a later tick does it.
    pub(super) fn take_back_pinned(&self, hash: &Hash) {
        if self.store().objects().away_use().chunks == 0 {
            return;
        }
        let taken = self.overflow().and_then(|overflow| {
            overflow.map_or(Ok(0), |overflow| overflow.take_back(hash).map_err(Error::from))
        });
        if let Err(error) = taken {
            tracing::warn!(blob = %hash, %error, "a pinned blob comes back later");
        }
    }

    fn open_overflow(&self) -> MutexGuard<'_, Option<Overflow>> {
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
