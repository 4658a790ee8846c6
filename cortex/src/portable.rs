//! State that can be written down and read again.

use base::Hash;
use serde_json::Value;

use crate::table::Record;
use crate::{FoldError, RecordFold, Table};

/// A fold whose records have a form that describes itself: JSON in which every field has a name, so that later
/// versions can add some.
pub trait Portable: RecordFold {
    /// Returns an id in bytes, different ones for different ids.
    fn key(&self, id: <Self::Row as Record>::Id) -> Vec<u8>;

    /// Returns the form of a record.
    fn export(&self, record: &Self::Row) -> Value;

    /// Makes a record of the form that this version of the fold gave it. What records have in common can be taken
    /// from those that were read before it.
    ///
    /// # Errors
    ///
    /// [`FoldError`] for what is no such form.
    fn import(&self, form: Value, before: &Table<Self::Row>) -> Result<Self::Row, FoldError>;
}

/// Returns the forms of all records, by id.
pub fn export_all<F: Portable>(fold: &F, state: &F::State) -> Vec<Value> {
    state.iter().map(|record| fold.export(record)).collect()
}

/// Makes state of the forms of its records.
///
/// # Errors
///
/// As [`Portable::import`].
pub fn import_all<F: Portable>(
    fold: &F,
    forms: impl IntoIterator<Item = Value>,
) -> Result<F::State, FoldError> {
    let mut state = Table::default();
    for form in forms {
        let record = fold.import(form, &state)?;
        state.put(record);
    }
    Ok(state)
}

/// Returns a hash of all records in their forms: equal for equal states, wherever and in whatever way they were made.
///
/// Covers the name and the version of the fold, the number of records, and the form of each by id, with its length.
/// Takes time in proportion to the state.
pub fn state_hash<F: Portable>(fold: &F, state: &F::State) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("netdb cortex 2026-11 state");
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(fold.name().as_bytes());
    add(&fold.version().to_le_bytes());
    add(&(state.len() as u64).to_le_bytes());
    for record in state.iter() {
        let mut form = fold.export(record);
        form.sort_all_objects();
        add(form.to_string().as_bytes());
    }
    hasher.finalize().into()
}
