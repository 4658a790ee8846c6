//! What can be set about a log and about a channel.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LogName;
use crate::limits::{CONTENT_TYPE_BYTES_MAX, ENTRY_BYTES_MAX, KEYED_BYTES_MAX};

/// The configuration that a channel is created with; it never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ChannelConfig {
    /// The form of the payloads, such as `application/json`; at most 255 bytes. Information for readers: the
    /// log does not look into payloads. Default: unset.
    pub content_type: Option<String>,
    /// Whether events are committed to one by one, so that [`Log::redact`](crate::Log::redact) can take them out
    /// again. Each takes 32 bytes more and a hash of its own, and its entry is not compressed. Default: no.
    pub erasable: bool,
}

impl ChannelConfig {
    /// Makes a configuration that names the form of the payloads.
    pub fn with_content_type(content_type: &str) -> Self {
        Self { content_type: Some(content_type.to_owned()), ..Self::default() }
    }

    /// Makes the configuration of a channel whose events can be redacted.
    pub fn of_erasable() -> Self {
        Self { erasable: true, ..Self::default() }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let bytes = self.content_type.as_ref().map_or(0, String::len);
        (bytes > CONTENT_TYPE_BYTES_MAX)
            .then(|| format!("content-type has {bytes} bytes: at most {CONTENT_TYPE_BYTES_MAX} are allowed"))
    }
}

/// How much of its past a log keeps. It gives up whole segments, the oldest first, when any of the limits says so;
/// never the newest segment, and nothing that somebody holds. Numbers are not given out again.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Retention {
    /// Events that are kept at least; of those before, segments without any other go. Default: all.
    pub events: Option<u64>,
    /// Bytes of segment files that are kept at most; the newest segment stays in any case. Default: any number.
    pub bytes: Option<u64>,
    /// Time for which events are kept at least, by the log's clock. Default: for ever.
    pub age: Option<Duration>,
}

impl Retention {
    /// Keeps so many of the newest events.
    pub fn of_events(events: u64) -> Self {
        Self { events: Some(events), ..Self::default() }
    }

    /// Keeps so many bytes of segment files.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..Self::default() }
    }

    /// Keeps events for so long.
    pub fn of_age(age: Duration) -> Self {
        Self { age: Some(age), ..Self::default() }
    }

    /// Tells whether everything is kept.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// How the entries of a log are stored. Hashes and signatures are over what was written, whatever way it is stored; each
/// frame says its own, so that a log may have several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// By LZ4: little work, for payloads that repeat themselves.
    Lz4,
    /// By zstd at a low level: fewer bytes for more work.
    Zstd,
}

/// What a log keeps and how it is stored, as it was set when the log was created: it holds whenever the log is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogConfig {
    /// How much of its past the log keeps. Default: everything.
    pub retention: Retention,
    /// How its entries are stored. Default: as they are.
    pub compression: Compression,
    /// Whether the log takes one channel only. So it is in any case where so many events are kept: which channel's
    /// events were to go, if there were several, nobody could tell. Default: no.
    pub one_channel: bool,
}

impl LogConfig {
    /// A log that keeps so much.
    pub fn keeping(retention: Retention) -> Self {
        Self { retention, ..Self::default() }
    }

    /// The same, stored in another way.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// The same, for one channel.
    #[must_use]
    pub fn for_one_channel(self) -> Self {
        Self { one_channel: true, ..self }
    }

    /// Tells whether the log takes one channel only.
    pub fn takes_one_channel(&self) -> bool {
        self.one_channel || self.retention.events.is_some()
    }

    /// Returns what makes the configuration useless.
    pub(crate) fn fault(&self) -> Option<String> {
        let longest = Duration::from_nanos(u64::MAX);
        self.retention
            .age
            .filter(|age| *age > longest)
            .map(|_| format!("age is above {} s", longest.as_secs()))
    }

    /// The options of a log that is opened with this configuration.
    pub(crate) fn applied_to(&self, options: &LogOptions) -> LogOptions {
        let (retention, compression) = (self.retention.clone(), self.compression);
        LogOptions { retention, compression, ..options.clone() }
    }
}

/// Where a channel lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// In the log `main`, with most others.
    #[default]
    Main,
    /// In a log that there is.
    Log(LogName),
    /// In a log of this configuration, which is made when there is none: a log of its own where it takes one channel
    /// only, else one that is shared by all channels placed with an equal configuration. The default configuration is
    /// that of `main`.
    With(LogConfig),
}

/// Who runs the flusher of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlusherMode {
    /// A thread, started when it is first needed.
    #[default]
    Thread,
    /// The caller, through [`Log::flush_step`](crate::Log::flush_step): for simulation.
    Manual,
}

/// What can be set about a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogOptions {
    /// Bytes at which a segment is sealed. Default 32 MiB. More: fewer files, longer scans of the newest
    /// segment at open. Less: more files, each with a copy of the log state.
    pub segment_bytes: u64,
    /// Bytes that may be staged before an append has to write. Default 32 MiB. More: longer bursts without
    /// waiting, more memory. Less: earlier back-pressure.
    pub staged_bytes_max: u64,
    /// Longest time that bytes stay unsynced. Default 100 ms. More: fewer syncs of unwaited appends. Less: a
    /// smaller window that a power failure can take.
    pub sync_within: Duration,
    /// Longest time between signatures while appends are written without a sync. Default 5 ms. More: less
    /// signing, longer unsigned tails behind a crash. Less: the reverse.
    pub sign_within: Duration,
    /// Largest leap of the wall clock, against the monotonic one, that appends go on over. Default 24 h, since
    /// a suspended machine leaps by as long as it slept.
    pub clock_leap_max: Duration,
    /// Bytes of index blocks, frames and pages of events that reads keep in memory. Default 64 MiB. More: single events
    /// that were looked up before are found in memory. Less: each costs its entry again.
    pub cache_bytes: u64,
    /// Bytes that the newest records of all keys of a keyed log may take. Default 256 MiB, at most that. More: more
    /// keys. Less: smaller state frames, each segment of such a log begins with two of them.
    pub keyed_bytes_max: u64,
    /// How much of its past the log keeps. Default: everything.
    pub retention: Retention,
    /// How new entries are stored; what does not get shorter is stored as it is. Default: as they are.
    pub compression: Compression,
    /// Whether opening for writing refuses a log with damage instead of setting the damaged stretch aside and
    /// going on behind it. Default: no.
    pub strict: bool,
    /// Who runs the flusher. Not a setting of a file.
    #[serde(skip)]
    pub flusher: FlusherMode,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            staged_bytes_max: 32 << 20,
            sync_within: Duration::from_millis(100),
            sign_within: Duration::from_millis(5),
            clock_leap_max: Duration::from_secs(24 * 60 * 60),
            cache_bytes: 64 << 20,
            keyed_bytes_max: KEYED_BYTES_MAX,
            retention: Retention::default(),
            compression: Compression::None,
            strict: false,
            flusher: FlusherMode::Thread,
        }
    }
}

impl LogOptions {
    /// Returns every fault, each naming its key.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.segment_bytes < 16 << 10 {
            faults.push(format!("segment-bytes is {}: at least 16 KiB are needed", self.segment_bytes));
        }
        if self.staged_bytes_max == 0 || self.staged_bytes_max > 64 * ENTRY_BYTES_MAX as u64 {
            faults.push(format!("staged-bytes-max is {}: give 1 byte to 2 GiB", self.staged_bytes_max));
        }
        if self.keyed_bytes_max > KEYED_BYTES_MAX {
            faults.push(format!("keyed-bytes-max is {}: at most 256 MiB are allowed", self.keyed_bytes_max));
        }
        if self.sync_within.is_zero() {
            faults.push("sync-within is zero: give a duration, or wait for each append".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_at_once() {
        let options = LogOptions {
            segment_bytes: 1,
            staged_bytes_max: 0,
            sync_within: Duration::ZERO,
            ..LogOptions::default()
        };
        assert_eq!(options.validate().len(), 3);
        assert!(LogOptions::default().validate().is_empty());
    }
}
