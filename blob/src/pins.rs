//! What is to stay: pins, names and leases.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{Clock, Hash, Timestamp};

use crate::journal::{Change, Journal, Table};
use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX};
use crate::{BlobError, BlobStore};

/// The version of the values in the journal.
const VERSION: u8 = 1;
/// Locks for changes to keys; changes to different keys rarely wait for each other.
const STRIPES: usize = 64;

/// Pins, names and leases of a store. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Pins {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: BlobStore,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    /// Held while a key changes, in the journal and here. Lock order: these, by their place, then `maps`.
    stripes: [Mutex<()>; STRIPES],
    maps: Mutex<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    /// Changes to pins since they were read.
    pin_changes: u64,
    pins: BTreeMap<Hash, Pin>,
    names: BTreeMap<Box<str>, Named>,
    leases: BTreeMap<Hash, Timestamp>,
}

/// How much of a blob a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinMode {
    /// The object of that name alone: of a larger blob the list of its parts, and not the parts.
    Direct,
    /// All of it.
    Recursive,
}

impl PinMode {
    /// Returns the name used in output: `direct` or `recursive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Recursive => "recursive",
        }
    }
}

/// Why a blob stays until somebody takes the pin away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// How much of it.
    pub mode: PinMode,
    /// What somebody wrote on it.
    pub label: Option<Box<str>>,
    /// Since when.
    pub pinned_at: Timestamp,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The blob.
    pub hash: Hash,
    /// Since when.
    pub named_at: Timestamp,
}

/// What is left alone by a collection, and everything below the first list.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub recursive: Vec<Hash>,
    pub direct: Vec<Hash>,
}

impl Pins {
    /// Reads what a journal has of a store.
    ///
    /// # Errors
    ///
    /// [`BlobError::Wiring`] where it cannot be read; [`BlobError::UnsupportedVersion`] and [`BlobError::Decode`] for what
    /// stands in it.
    pub fn open(
        store: BlobStore,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BlobError> {
        let mut maps = Maps::default();
        for table in Table::ALL {
            let mut failed = None;
            journal.visit(table, &mut |key, value| {
                if let Err(error) = maps.take(table, key, value) {
                    failed.get_or_insert(error);
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        let (stripes, maps) = ([const { Mutex::new(()) }; STRIPES], Mutex::new(maps));
        Ok(Self { shared: Arc::new(Shared { store, journal, clock, stripes, maps }) })
    }

    /// Returns the store that they are of.
    pub fn store(&self) -> &BlobStore {
        &self.shared.store
    }

    /// Pins a blob that is here as a whole; that it is pinned so is as good, and a new label replaces the old one.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] for it or, recursively, a part of it; [`BlobError::Pinned`] for a direct pin of what is pinned
    /// recursively; [`BlobError::TooLong`] for the label; [`BlobError::Wiring`].
    pub fn pin(&self, hash: &Hash, mode: PinMode, label: Option<&str>) -> Result<Pin, BlobError> {
        check_length("a label", label.unwrap_or_default(), LABEL_BYTES_MAX)?;
        let _held = self.hold_whole(hash, mode)?;
        let _changing = self.change(hash);
        let pinned_at = self.shared.clock.now();
        let mut pin = Pin { mode, label: label.map(Box::from), pinned_at };
        if let Some(before) = self.get(hash) {
            if before.mode == PinMode::Recursive && mode == PinMode::Direct {
                return Err(BlobError::Pinned { hash: *hash });
            }
            if before.mode == mode && (label.is_none() || before.label == pin.label) {
                return Ok(before);
            }
            pin.label = pin.label.or(before.label);
        }
        self.write(&[(Table::Pins, &hash.to_string(), Some(pin.encode()))])?;
        let mut maps = self.maps();
        maps.pins.insert(*hash, pin.clone());
        maps.pin_changes += 1;
        Ok(pin)
    }

    /// Takes a pin away; tells whether there was one. What it alone kept goes with a later collection.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Wiring`].
    pub fn unpin(&self, hash: &Hash) -> Result<bool, BlobError> {
        let _changing = self.change(hash);
        if self.get(hash).is_none() {
            return Ok(false);
        }
        self.write(&[(Table::Pins, &hash.to_string(), None)])?;
        let mut maps = self.maps();
        maps.pin_changes += 1;
        Ok(maps.pins.remove(hash).is_some())
    }

    /// Has a recursive pin go from one blob to another, with its label; what both have in common was never unpinned.
    /// `keep` pins the new one beside the old one.
    ///
    /// *Durability*: both or nothing survive a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotPinned`] where the old one is not pinned recursively; otherwise as [`pin`](Self::pin).
    pub fn update(&self, old: &Hash, new: &Hash, keep: bool) -> Result<(), BlobError> {
        let _held = self.hold_whole(new, PinMode::Recursive)?;
        let (first, second) = (stripe(old).min(stripe(new)), stripe(old).max(stripe(new)));
        let _changing = self.stripe(first);
        let _changing = (first != second).then(|| self.stripe(second));
        let before = self.get(old).filter(|pin| pin.mode == PinMode::Recursive);
        let before = before.ok_or(BlobError::NotPinned { hash: *old })?;
        if old == new {
            return Ok(());
        }
        let pin = Pin { pinned_at: self.shared.clock.now(), ..before };
        let (old_key, new_key) = (old.to_string(), new.to_string());
        let mut changes = vec![(Table::Pins, &*new_key, Some(pin.encode()))];
        if !keep {
            changes.push((Table::Pins, &*old_key, None));
        }
        self.write(&changes)?;
        let mut maps = self.maps();
        maps.pin_changes += 1;
        maps.pins.insert(*new, pin);
        if !keep {
            maps.pins.remove(old);
        }
        Ok(())
    }

    /// Returns the pin of a blob; `None` where it has none of its own.
    pub fn get(&self, hash: &Hash) -> Option<Pin> {
        self.maps().pins.get(hash).cloned()
    }

    /// Returns how many pins there are.
    pub fn len(&self) -> usize {
        self.maps().pins.len()
    }

    /// Tells whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.maps().pins.is_empty()
    }

    /// Returns pins in the order of their hashes, `count` of those behind `after`: a listing is read page by page, and holds
    /// nothing up.
    pub fn list(&self, after: Option<&Hash>, count: usize) -> Vec<(Hash, Pin)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        let maps = self.maps();
        let pins = maps.pins.range((from, Bound::Unbounded)).take(count);
        pins.map(|(hash, pin)| (*hash, pin.clone())).collect()
    }

    /// Gives a name to a blob that is here as a whole, and takes it from what had it before.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] for it or a part of it; [`BlobError::TooLong`] for the name; [`BlobError::Wiring`].
    pub fn set_name(&self, name: &str, hash: &Hash) -> Result<Option<Named>, BlobError> {
        check_length("a name", name, NAME_BYTES_MAX)?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(BlobError::Name { name: name.to_owned() });
        }
        let _held = self.hold_whole(hash, PinMode::Recursive)?;
        let _changing = self.change(&Hash::of(name.as_bytes()));
        let named = Named { hash: *hash, named_at: self.shared.clock.now() };
        self.write(&[(Table::Names, name, Some(named.encode()))])?;
        Ok(self.maps().names.insert(name.into(), named))
    }

    /// Takes a name away, and returns what it stood for.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Wiring`].
    pub fn remove_name(&self, name: &str) -> Result<Option<Named>, BlobError> {
        let _changing = self.change(&Hash::of(name.as_bytes()));
        if self.name(name).is_none() {
            return Ok(None);
        }
        self.write(&[(Table::Names, name, None)])?;
        Ok(self.maps().names.remove(name))
    }

    /// Returns what a name stands for.
    pub fn name(&self, name: &str) -> Option<Named> {
        self.maps().names.get(name).copied()
    }

    /// Returns names in their order, `count` of those that begin with `prefix` and stand behind `after`.
    pub fn names(&self, prefix: &str, after: Option<&str>, count: usize) -> Vec<(String, Named)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let maps = self.maps();
        let names = maps.names.range::<str, _>((from, Bound::Unbounded));
        let names = names.take_while(|(name, _)| name.starts_with(prefix)).take(count);
        names.map(|(name, named)| (name.to_string(), *named)).collect()
    }

    /// Keeps a blob that is here for so long, also beyond this process; a later end counts instead of an earlier one.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] for it or a part of it; [`BlobError::Wiring`].
    pub fn lease(&self, hash: &Hash, time: Duration) -> Result<Timestamp, BlobError> {
        let _held = self.hold_whole(hash, PinMode::Recursive)?;
        let _changing = self.change(hash);
        let until = self.shared.clock.now().plus(time);
        if let Some(before) = self.leased_until(hash).filter(|before| *before >= until) {
            return Ok(before);
        }
        self.write(&[(Table::Leases, &hash.to_string(), Some(encode_lease(until)))])?;
        self.maps().leases.insert(*hash, until);
        Ok(until)
    }

    /// Ends a lease; tells whether there was one.
    ///
    /// # Errors
    ///
    /// [`BlobError::Wiring`].
    pub fn release(&self, hash: &Hash) -> Result<bool, BlobError> {
        let _changing = self.change(hash);
        if self.leased_until(hash).is_none() {
            return Ok(false);
        }
        self.write(&[(Table::Leases, &hash.to_string(), None)])?;
        Ok(self.maps().leases.remove(hash).is_some())
    }

    /// Returns until when a blob is leased.
    pub fn leased_until(&self, hash: &Hash) -> Option<Timestamp> {
        self.maps().leases.get(hash).copied()
    }

    /// Ends what leases have expired.
    pub(crate) fn release_expired(&self, now: Timestamp) -> Result<(), BlobError> {
        let expired: Vec<Hash> = {
            let maps = self.maps();
            maps.leases.iter().filter(|(_, until)| **until <= now).map(|(hash, _)| *hash).collect()
        };
        for hash in expired {
            let _changing = self.change(&hash);
            // It may have been prolonged meanwhile.
            if self.leased_until(&hash).is_some_and(|until| until <= now) {
                self.write(&[(Table::Leases, &hash.to_string(), None)])?;
                self.maps().leases.remove(&hash);
            }
        }
        Ok(())
    }

    /// Returns what a collection leaves alone for what is pinned, named and leased.
    pub(crate) fn kept(&self, now: Timestamp) -> Kept {
        let maps = self.maps();
        let mut kept = Kept::default();
        for (hash, pin) in &maps.pins {
            match pin.mode {
                PinMode::Direct => kept.direct.push(*hash),
                PinMode::Recursive => kept.recursive.push(*hash),
            }
        }
        kept.recursive.extend(maps.names.values().map(|named| named.hash));
        let leased = maps.leases.iter().filter(|(_, until)| **until > now);
        kept.recursive.extend(leased.map(|(hash, _)| *hash));
        kept
    }

    /// Counts changes to pins.
    pub(crate) fn changes(&self) -> u64 {
        self.maps().pin_changes
    }

    /// Returns all pins.
    pub(crate) fn pinned(&self) -> Vec<(Hash, PinMode)> {
        self.maps().pins.iter().map(|(hash, pin)| (*hash, pin.mode)).collect()
    }

    /// Holds a blob, of which everything is here that is to be kept.
    fn hold_whole(&self, hash: &Hash, mode: PinMode) -> Result<crate::Held, BlobError> {
        let held = self.shared.store.objects().hold(hash)?;
        if mode == PinMode::Recursive
            && let Some(missing) = self.shared.store.missing_part(hash)?
        {
            return Err(BlobError::NotFound { hash: missing });
        }
        Ok(held)
    }

    fn write(&self, changes: &[(Table, &str, Option<Vec<u8>>)]) -> Result<(), BlobError> {
        let changes: Vec<_> = changes
            .iter()
            .map(|(table, key, value)| Change { table: *table, key, value: value.as_deref() })
            .collect();
        Ok(self.shared.journal.write(&changes)?)
    }

    fn change(&self, key: &Hash) -> MutexGuard<'_, ()> {
        self.stripe(stripe(key))
    }

    fn stripe(&self, stripe: usize) -> MutexGuard<'_, ()> {
        self.shared.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.shared.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn take(&mut self, table: Table, key: &str, value: &[u8]) -> Result<(), BlobError> {
        if let Some(&found) = value.first().filter(|version| **version != VERSION) {
            let known = VERSION.into();
            return Err(BlobError::UnsupportedVersion { what: "a pin or name", found: found.into(), known });
        }
        let malformed = |malformed: Malformed| BlobError::Decode {
            what: format!("{} of `{key}` ({malformed})", table.as_str()),
        };
        match table {
            Table::Pins => drop(self.pins.insert(hash_of(key)?, Pin::decode(value).map_err(malformed)?)),
            Table::Names => {
                self.names.insert(key.into(), Named::decode(value).map_err(malformed)?);
            }
            Table::Leases => {
                self.leases.insert(hash_of(key)?, decode_lease(value).map_err(malformed)?);
            }
        }
        Ok(())
    }
}

impl Pin {
    /// u8 version, u8 mode: 1 direct, 2 recursive, i64 since when in nanoseconds, the label.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u8(match self.mode {
            PinMode::Direct => 1,
            PinMode::Recursive => 2,
        });
        out.put_i64(self.pinned_at.as_nanos());
        out.put(self.label.as_deref().unwrap_or_default().as_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        cursor.u8("version")?;
        let mode = match cursor.u8("mode")? {
            1 => PinMode::Direct,
            2 => PinMode::Recursive,
            _ => return Err(Malformed::new("mode")),
        };
        let pinned_at = Timestamp::from_nanos(cursor.i64("time")?);
        let label = cursor.text(cursor.remaining(), "label")?;
        Ok(Self { mode, label: (!label.is_empty()).then(|| label.into()), pinned_at })
    }
}

impl Named {
    /// u8 version, [32] hash, i64 since when in nanoseconds.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put(self.hash.as_bytes());
        out.put_i64(self.named_at.as_nanos());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        cursor.u8("version")?;
        let hash = Hash::from_bytes(cursor.array("hash")?);
        let named_at = Timestamp::from_nanos(cursor.i64("time")?);
        cursor.finish("length")?;
        Ok(Self { hash, named_at })
    }
}

/// u8 version, i64 until when in nanoseconds.
pub(crate) fn encode_lease(until: Timestamp) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.put_i64(until.as_nanos());
    out
}

pub(crate) fn decode_lease(bytes: &[u8]) -> Result<Timestamp, Malformed> {
    let mut cursor = Cursor::new(bytes);
    cursor.u8("version")?;
    let until = Timestamp::from_nanos(cursor.i64("time")?);
    cursor.finish("length")?;
    Ok(until)
}

fn hash_of(key: &str) -> Result<Hash, BlobError> {
    blake3::Hash::from_hex(key)
        .map(Hash::from)
        .map_err(|_| BlobError::Decode { what: format!("hash `{key}`") })
}

fn stripe(key: &Hash) -> usize {
    usize::from(key.as_bytes()[0]) % STRIPES
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), BlobError> {
    match text.len() <= max {
        true => Ok(()),
        false => Err(BlobError::TooLong { what, bytes: text.len(), max }),
    }
}
