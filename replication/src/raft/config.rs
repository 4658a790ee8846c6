//! The configuration of a group: what openraft's defaults would do to a log that is the data.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// The times of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells that it is there. Default 100 ms.
    pub heartbeat: Duration,
    /// The shortest time that a follower waits before it stands for election, once the leader was not heard for
    /// `election_max`. Default 250 ms.
    pub election_min: Duration,
    /// The longest such time, and how long a leader counts as being there after it was heard. Default 350 ms.
    pub election_max: Duration,
    /// The longest time that a request to another node takes. Default 150 ms.
    pub request: Duration,
}

impl Timing {
    /// Returns the times that go with a heartbeat.
    ///
    /// A follower stands for election 6 to 7 heartbeats after the last that it heard. It asks the others first, so that
    /// one who is late alone disturbs nobody; the range is wide enough that two rarely stand at once.
    pub fn of(heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            election_min: heartbeat * 5 / 2,
            election_max: heartbeat * 7 / 2,
            request: heartbeat * 3 / 2,
        }
    }

    /// Checks that the times fit together.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`].
    pub(crate) fn check(&self) -> Result<(), TimeoutError> {
        config("group", self).map(drop)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::of(Duration::from_millis(100))
    }
}

/// Times that do not fit together; all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the group's times do not fit together: {}", faults.join("; "))]
pub struct TimeoutError {
    /// What is wrong, each naming its key.
    pub faults: Vec<String>,
}

/// Makes the configuration of a group.
///
/// The log is the data, so that nothing is purged but by retention, nobody is sent a snapshot because of being behind,
/// and no history is given up for a log that went back. A leader that restarts stands for election again: entries that
/// it had proposed and not synced may be committed by others under the numbers that it would give out again.
///
/// # Errors
///
/// [`TimeoutError`].
pub fn config(name: &str, timing: &Timing) -> Result<Arc<Config>, TimeoutError> {
    let mut faults = Vec::new();
    if timing.heartbeat.is_zero() {
        faults.push("heartbeat is zero: give a duration".to_owned());
    }
    if timing.election_min <= timing.heartbeat * 2 {
        faults.push("election-min is not above two heartbeats: one lost would end a leadership".to_owned());
    }
    if timing.election_max <= timing.election_min {
        faults.push("election-max is not above election-min: candidates would stand at once".to_owned());
    }
    if timing.request >= timing.election_min {
        faults.push("request is not below election-min: votes would arrive after their term".to_owned());
    }
    let config = Config {
        cluster_name: name.to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: u64::MAX,
        // A follower that did not answer: it may just not have opened its replica yet.
        backoff: "50ms".to_owned(),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        ..Config::default()
    };
    match config.validate() {
        _ if !faults.is_empty() => Err(TimeoutError { faults }),
        Ok(config) => Ok(Arc::new(config)),
        Err(fault) => Err(TimeoutError { faults: vec![fault.to_string()] }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g11_g12_the_log_is_neither_purged_nor_replaced_by_a_snapshot_by_default() {
        let config = config("g", &Timing::default()).expect("the defaults fit");
        assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
        assert_eq!(
            (config.max_in_snapshot_log_to_keep, config.replication_lag_threshold),
            (u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn g22_times_that_do_not_fit_are_refused_all_at_once() {
        assert!(config("g", &Timing::default()).is_ok());
        let same = Duration::from_millis(100);
        let timing = Timing { heartbeat: same, election_min: same, election_max: same, request: same };
        assert_eq!(config("g", &timing).expect_err("nothing fits").faults.len(), 3);
    }
}
