//! State that can be written down and read again.

use serde_json::Value;

use crate::{Fold, FoldError};

/// A fold whose state has a form that describes itself: JSON in which every field has a name, so that later
/// versions can add some.
pub trait Portable: Fold {
    /// Returns the state's records.
    fn export(&self, state: &Self::State) -> Vec<Value>;

    /// Makes state of records that this version of the fold exported.
    ///
    /// # Errors
    ///
    /// [`FoldError`] for a record that is not one.
    fn import(&self, records: Vec<Value>) -> Result<Self::State, FoldError>;
}
