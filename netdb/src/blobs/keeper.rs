//! What is done with blobs from time to time: collecting, and moving cold chunks where they overflow to.

use std::time::Duration;

use base::Signal;
use blob::{CollectOptions, Collection};

use super::Blobs;
use crate::Error;

/// How often it is looked at the disk, where the settings of overflow do not say.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A keeper that has just begun collects after so long at the latest: processes that are restarted often collect, too.
const FIRST_AFTER: Duration = Duration::from_secs(3_600);

/// When a [`Keeper`] collects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeepOptions {
    /// How often what nobody needs is collected. Default: 24 h. `None`: only when room is short.
    pub collect_every: Option<Duration>,
    /// What was put less long ago stays. Default: 24 h.
    pub floor: Duration,
    /// The share of the disk, or of the quota, from which on room is short. Default: 0.85.
    pub pressure: f64,
    /// What was put less long ago stays even when room is short; a collection for want of room is begun that long after the
    /// last one. Default: 10 min.
    pub pressure_floor: Duration,
    /// Bytes that blobs may take here, unless the settings of overflow say it. Default: none; then it is the file system that
    /// is full or not.
    pub quota: Option<u64>,
}

impl Default for KeepOptions {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3_600);
        let pressure_floor = Duration::from_secs(600);
        Self { collect_every: Some(day), floor: day, pressure: 0.85, pressure_floor, quota: None }
    }
}

/// Collects now and then, sooner when room is short, and moves cold chunks where the blobs overflow to. A collection takes
/// half of the time at most, step by step beside everybody else.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use netdb::{KeepOptions, Keeper};
///
/// let db = netdb::NetDb::in_memory()?;
/// let mut keeper = Keeper::new(db.blobs()?, KeepOptions::default());
/// // There is nothing to do yet. `keep` goes on until a signal is raised.
/// assert!(keeper.step()? <= Duration::from_secs(30));
/// # db.close()?;
/// # Ok::<(), netdb::Error>(())
/// ```
#[derive(Debug)]
pub struct Keeper {
    blobs: Blobs,
    options: KeepOptions,
    collection: Option<Collection>,
    /// When the next collection is due.
    due: Option<Duration>,
    /// Until when no collection is begun for want of room.
    pressed_until: Duration,
    /// When the disk is looked at again.
    look_at: Duration,
}

impl Keeper {
    /// Begins; nothing is done yet.
    pub fn new(blobs: Blobs, options: KeepOptions) -> Self {
        let now = blobs.clock.monotonic();
        let due = options.collect_every.map(|every| now + every.min(FIRST_AFTER));
        Self { blobs, options, collection: None, due, pressed_until: Duration::ZERO, look_at: now }
    }

    /// Does a little, and returns how long to wait until the next time.
    ///
    /// # Errors
    ///
    /// As [`Blobs::begin_collection`] and [`Blobs::tick_overflow`]. It can go on after an error: what failed is tried again when
    /// its time comes.
    pub fn step(&mut self) -> Result<Duration, Error> {
        let begun = self.blobs.clock.monotonic();
        if self.collection.is_some() {
            self.collect_step()?;
            // Others get as much of the disk as this.
            return Ok(self.blobs.clock.monotonic().saturating_sub(begun));
        }
        let is_due = self.due.is_some_and(|due| due <= begun);
        if !is_due && begun < self.look_at {
            return Ok(self.wait(begun));
        }
        self.look_at = begun + LOOK_EVERY;
        let settings = self.blobs.overflow_settings()?;
        let quota = settings.as_ref().and_then(|settings| settings.quota).or(self.options.quota);
        let disk = self.blobs.store().disk_use(quota)?;
        let is_pressed = disk.ratio() >= self.options.pressure && self.pressed_until <= begun;
        if is_due || is_pressed {
            let floor = if is_pressed { self.options.pressure_floor } else { self.options.floor };
            tracing::info!(share = disk.ratio(), is_pressed, "blobs are collected");
            return self.begin(begun, CollectOptions { floor, ..CollectOptions::default() });
        }
        if let Some(settings) = settings.filter(|settings| settings.config.enabled) {
            self.look_at = begun + settings.config.tick;
            self.blobs.tick_overflow()?;
        }
        Ok(self.wait(self.blobs.clock.monotonic()))
    }

    /// Goes on until the signal is raised. Errors are logged. Blocks.
    pub fn keep(mut self, stop: &Signal) {
        let clock = std::sync::Arc::clone(&self.blobs.clock);
        loop {
            let wait = self.step().unwrap_or_else(|error| {
                tracing::warn!(%error, "blobs could not be looked after");
                LOOK_EVERY
            });
            if clock.wait(stop, Some(clock.monotonic() + wait)) {
                return;
            }
        }
    }

    fn begin(&mut self, now: Duration, options: CollectOptions) -> Result<Duration, Error> {
        // Whatever comes of it, it is not begun again at once.
        self.due = self.options.collect_every.map(|every| now + every);
        self.pressed_until = now + self.options.pressure_floor;
        self.collection = Some(self.blobs.begin_collection(options)?);
        Ok(Duration::ZERO)
    }

    fn collect_step(&mut self) -> Result<(), Error> {
        let Some(mut collection) = self.collection.take() else { return Ok(()) };
        if collection.step()? {
            self.collection = Some(collection);
            return Ok(());
        }
        let collected = collection.collected();
        tracing::info!(
            removed = collected.removed,
            freed_bytes = collected.freed_bytes,
            missing = collected.missing.len(),
            "blobs were collected"
        );
        let now = self.blobs.clock.monotonic();
        self.due = self.options.collect_every.map(|every| now + every);
        self.pressed_until = now + self.options.pressure_floor;
        // Whether there is room now decides what goes elsewhere.
        self.look_at = now;
        Ok(())
    }

    fn wait(&self, now: Duration) -> Duration {
        let next = self.due.map_or(self.look_at, |due| due.min(self.look_at));
        next.saturating_sub(now)
    }
}
