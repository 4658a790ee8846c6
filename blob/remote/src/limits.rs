//! Every limit of this crate, in one place. Objects have those of `blob::limits`.

/// Seconds after which what is staged in a directory belongs to nobody any more.
pub(crate) const STAGED_SECONDS_MAX: i64 = 24 * 60 * 60;
