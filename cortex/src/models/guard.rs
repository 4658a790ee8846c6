//! What a write demands of the record that it is about.

use base::Seq;
use serde::{Deserialize, Serialize};

use crate::Applied;

/// What must hold of a record for a write to have an effect. The fold decides: the event is in the log either way,
/// and its outcome says whether it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// There is no such record.
    Absent,
    /// The record has this version: the number of the event that changed it last.
    Version(u64),
}

impl Guard {
    /// Returns why a guarded write has no effect on a record of a version (`None`: there is none).
    pub(crate) fn refuses(guard: Option<Self>, version: Option<Seq>) -> Option<Applied> {
        match (guard?, version) {
            (Self::Absent, None) => None,
            (Self::Absent, Some(version)) => Some(Applied::Exists { version }),
            (Self::Version(_), None) => Some(Applied::NotFound),
            (Self::Version(expected), Some(actual)) if actual.0 == expected => None,
            (Self::Version(expected), Some(actual)) => {
                Some(Applied::Conflict { expected: Seq(expected), actual })
            }
        }
    }
}
