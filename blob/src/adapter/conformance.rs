//! What every adapter must do, as checks that its tests run.
//!
//! # Examples
//!
//! ```
//! use blob::adapter::{MemoryAdapter, conformance};
//!
//! assert_eq!(conformance::faults(std::sync::Arc::new(MemoryAdapter::new()), None), []);
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use super::{BlobAdapter, MemoryAdapter, ObjectName, VerifiedAdapter};
use crate::BlobError;

mod flipping;
mod lists;
mod objects;
mod samples;
mod wholes;

use self::samples::Sample;

/// Changes what lies below an adapter under a name, behind the adapter's back.
pub type Damage<'a> = &'a dyn Fn(&ObjectName) -> io::Result<()>;

/// Something that an adapter does not do as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The fact that does not hold.
    pub fact: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fact, self.found)
    }
}

/// What a check ends with.
type Verdict = Result<(), Failed>;

/// Why a fact does not hold.
#[derive(Debug)]
struct Failed(String);

impl From<BlobError> for Failed {
    fn from(error: BlobError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Ends a check that does not hold, with what was found.
macro_rules! hold {
    ($condition:expr, $($found:tt)+) => {
        if !$condition {
            return Err(crate::adapter::conformance::Failed(format!($($found)+)));
        }
    };
}

use hold;

/// What checks work on.
struct Scene<'a> {
    /// The adapter by itself.
    adapter: Arc<dyn BlobAdapter>,
    verified: VerifiedAdapter,
    /// Has all samples.
    source: VerifiedAdapter,
    samples: Vec<Sample>,
    damage: Option<Damage<'a>>,
}

type Check = (&'static str, fn(&Scene<'_>) -> Verdict);

const CHECKS: [Check; 15] = [
    ("an adapter has an id and schemes", objects::has_a_name),
    ("what is missing is told as missing", objects::missing_is_missing),
    ("objects come back as they were stored, also of no bytes", objects::objects_round_trip),
    ("an object of 16 MiB comes back", objects::large_objects_round_trip),
    ("the content of another name is refused and not stored", objects::wrong_content_is_refused),
    ("an object that has another content is replaced", objects::other_content_is_replaced),
    ("removing says whether something was there", objects::removing_is_idempotent),
    ("objects may be stored at the same time", objects::stores_at_the_same_time),
    ("blobs of each form come back", wholes::blobs_round_trip),
    ("ranges are those of the content", wholes::ranges_are_exact),
    ("a blob without one of its parts is told as missing", wholes::missing_parts_are_missing),
    ("bits that flip on the way are found", wholes::flipped_bits_are_found),
    ("damage to what is stored is found, and mended by storing it again", wholes::damage_is_found),
    ("blobs are removed with their parts but for those that are kept", wholes::removing_keeps_what_is_kept),
    ("lists are in order and keep to prefix, bound and limit", lists::lists_are_exact),
];

/// Runs all checks, and returns what does not hold: nothing for an adapter that is as it must be.
///
/// The checks leave objects behind where the adapter cannot remove any; they need to be alone with it. With `damage`, they also
/// check that changes to what lies below it are found and mended.
pub fn faults(adapter: Arc<dyn BlobAdapter>, damage: Option<Damage<'_>>) -> Vec<Fault> {
    let source = VerifiedAdapter::new(Arc::new(MemoryAdapter::new()));
    let samples = match samples::all(&source) {
        Ok(samples) => samples,
        Err(error) => return vec![Fault { fact: "samples can be made", found: error.to_string() }],
    };
    let verified = VerifiedAdapter::new(Arc::clone(&adapter));
    let scene = Scene { adapter, verified, source, samples, damage };
    let mut faults = Vec::new();
    for (fact, check) in CHECKS {
        if let Err(Failed(found)) = check(&scene) {
            faults.push(Fault { fact, found });
        }
    }
    faults
}

#[cfg(test)]
mod tests;
