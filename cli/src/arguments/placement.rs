//! Where a channel is to live, and what a log is to keep.

use std::time::Duration;

use clap::{Args, ValueEnum};
use netdb::base::NodeId;
use netdb::redex::{Compression, LogConfig, LogName, Retention};
use netdb::replication::{
    BandwidthClass, ConfigChange, Fraction, Placement, PlacementMetadata, ReplicationConfig, UnderCapacity,
};

/// What a log keeps, and how it is stored.
#[derive(Debug, Args)]
pub(crate) struct KeepArguments {
    /// Keep at least so many of the newest events.
    #[arg(long, value_name = "N")]
    pub(crate) keep_events: Option<u64>,
    /// Keep at most so many bytes of segment files, such as 64MiB.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) keep_bytes: Option<u64>,
    /// Keep events for at least so long, such as 36h or 90d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) keep_age: Option<Duration>,
    /// How new entries are stored.
    #[arg(long, value_enum)]
    pub(crate) compression: Option<Compressed>,
}

/// The ways to store entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compressed {
    /// As they are.
    None,
    /// A little shorter for little work.
    Lz4,
    /// Shorter for more work.
    Zstd,
}

impl Compressed {
    fn as_compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        }
    }
}

impl KeepArguments {
    /// Tells whether anything was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.keep_events.is_none()
            && self.keep_bytes.is_none()
            && self.keep_age.is_none()
            && self.compression.is_none()
    }

    /// A configuration with what was asked for in place of what it had.
    pub(crate) fn over(&self, config: LogConfig) -> LogConfig {
        let mut retention = config.retention.clone();
        retention.events = self.keep_events.or(retention.events);
        retention.bytes = self.keep_bytes.or(retention.bytes);
        retention.age = self.keep_age.or(retention.age);
        let compression = self.compression.map_or(config.compression, Compressed::as_compression);
        let mut changed = config;
        changed.retention = retention;
        changed.compression = compression;
        changed
    }
}

/// Where a channel is to live.
#[derive(Debug, Args)]
pub(crate) struct PlacementArguments {
    #[command(flatten)]
    pub(crate) keep: KeepArguments,
    /// In a log of its own.
    #[arg(long)]
    pub(crate) own: bool,
    /// In the log of this name; with --keep-.. or --compression it is made when there is none.
    #[arg(long, value_name = "NAME", conflicts_with = "own")]
    pub(crate) log: Option<LogName>,
}

/// What `create` takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The channel.
    #[arg(value_parser = super::log::own_channel)]
    pub(crate) channel: netdb::base::ChannelName,
    /// The form of the payloads, such as application/json.
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// So that its events can be redacted.
    #[arg(long)]
    pub(crate) erasable: bool,
    #[command(flatten)]
    pub(crate) replication: ReplicationArguments,
    #[command(flatten)]
    pub(crate) placement: PlacementArguments,
}

/// How nodes of a cluster hold a channel, in a log that consensus puts in order. Any of these asks for that.
#[derive(Debug, Default, Args)]
#[group(conflicts_with_all = ["content_type", "erasable", "own", "log", "compression"])]
pub(crate) struct ReplicationArguments {
    /// Held by so many nodes of the cluster, in a log that consensus puts in order; through the server.
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u8>,
    /// Held by these nodes, such as 1,2,4.
    #[arg(long, value_name = "NODES", value_delimiter = ',', conflicts_with = "replicas")]
    pub(crate) pinned: Option<Vec<u64>>,
    /// Held by exactly the nodes that hold this log or channel, wherever that goes.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["replicas", "pinned"])]
    pub(crate) colocate_with_strict: Option<String>,
    /// Held rather by nodes that hold this log or channel.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pinned", "colocate_with_strict"])]
    pub(crate) colocate_with: Option<String>,
    /// What it is for, in words for operators.
    #[arg(long, value_name = "TEXT")]
    pub(crate) intent: Option<String>,
    /// Milliseconds between two heartbeats of its leader.
    #[arg(long, value_name = "N")]
    pub(crate) heartbeat_ms: Option<u64>,
    /// The node that leads while it can.
    #[arg(long, value_name = "NODE")]
    pub(crate) leader_pinned: Option<u64>,
    /// What a replica does whose disk is full: withdraw or evict-oldest.
    #[arg(long, value_name = "WHAT", value_parser = one_of::<UnderCapacity>)]
    pub(crate) on_under_capacity: Option<UnderCapacity>,
    /// The part of a node's peak that brings replicas up which are behind, such as 0.25.
    #[arg(long, value_name = "FRACTION")]
    pub(crate) replication_budget_fraction: Option<Fraction>,
    /// Whether that goes before others or behind them: foreground or background.
    #[arg(long, value_name = "CLASS", value_parser = one_of::<BandwidthClass>)]
    pub(crate) default_bandwidth_class: Option<BandwidthClass>,
    /// The part of the budget that is for the background, such as 0.1.
    #[arg(long, value_name = "FRACTION")]
    pub(crate) background_fraction: Option<Fraction>,
}

/// Reads one of the names that a value can have.
fn one_of<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

impl ReplicationArguments {
    /// How the channel is to be replicated, keeping what was asked for; `None` where no replication was.
    pub(crate) fn config(&self, keep: &KeepArguments) -> Option<ReplicationConfig> {
        let placement = match (&self.pinned, &self.colocate_with_strict) {
            (Some(nodes), _) => Placement::Pinned(nodes.iter().copied().map(NodeId).collect()),
            (None, Some(_)) => Placement::ColocationStrict,
            (None, None) => Placement::Standard,
        };
        let change = ConfigChange {
            heartbeat_ms: self.heartbeat_ms,
            leader_pinned: self.leader_pinned.map(|leader| Some(NodeId(leader))),
            retention: None,
            on_under_capacity: self.on_under_capacity,
            replication_budget_fraction: self.replication_budget_fraction,
            default_bandwidth_class: self.default_bandwidth_class,
            background_fraction: self.background_fraction,
        };
        let placement_metadata = PlacementMetadata {
            colocate_with: self.colocate_with.clone(),
            colocate_with_strict: self.colocate_with_strict.clone(),
            intent: self.intent.clone(),
        };
        let nothing = self.replicas.is_none() && placement == Placement::Standard;
        if nothing && placement_metadata == PlacementMetadata::default() && change == ConfigChange::default()
        {
            return None;
        }
        let default = ReplicationConfig::default();
        let factor = self.replicas.unwrap_or(default.factor);
        let retention = keep.over(LogConfig::default()).retention;
        Some(change.over(&ReplicationConfig { factor, placement, placement_metadata, retention, ..default }))
    }
}

/// What `move` takes.
#[derive(Debug, Args)]
pub(crate) struct MoveArguments {
    /// The channel.
    #[arg(value_parser = movable_channel)]
    pub(crate) channel: netdb::base::ChannelName,
    #[command(flatten)]
    pub(crate) placement: PlacementArguments,
}

/// What `set` takes.
#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The log.
    #[arg(default_value = "main")]
    pub(crate) log: LogName,
    #[command(flatten)]
    pub(crate) keep: KeepArguments,
    /// Keep everything, but for the limits given beside it.
    #[arg(long)]
    pub(crate) keep_all: bool,
}

impl SetArguments {
    /// The configuration in place of the one that a log has.
    pub(crate) fn over(&self, mut config: LogConfig) -> LogConfig {
        if self.keep_all {
            config.retention = Retention::default();
        }
        self.keep.over(config)
    }
}

/// A channel that may live in any log.
fn movable_channel(name: &str) -> Result<netdb::base::ChannelName, String> {
    let channel = super::log::own_channel(name)?;
    if netdb::is_of_models(&channel) {
        return Err(format!("channel `{name}` is what state is folded from, and stays where it is"));
    }
    Ok(channel)
}

/// Reads bytes: a number, with a unit if it has one.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    with_unit(text, &units).ok_or_else(|| format!("`{text}` is no size: write it like 64MiB"))
}

/// Reads a duration: a number and its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let milliseconds =
        with_unit(text, &units).filter(|_| text.ends_with(|end: char| end.is_ascii_alphabetic()));
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is no duration: write it like 24h"))
}

/// Reads a whole number times its unit; without one it counts the first.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => units.first()?.1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Create {
        #[command(flatten)]
        arguments: CreateArguments,
    }

    fn create(flags: &str) -> Result<Option<ReplicationConfig>, clap::error::ErrorKind> {
        use clap::Parser as _;
        let line = ["create", "orders"].into_iter().chain(flags.split_whitespace());
        let parsed = Create::try_parse_from(line).map_err(|error| error.kind())?;
        Ok(parsed.arguments.replication.config(&parsed.arguments.placement.keep))
    }

    #[test]
    fn any_flag_of_replication_asks_for_it_and_goes_with_none_of_a_nodes_own_logs() {
        assert_eq!(create(""), Ok(None));
        assert_eq!(create("--own --keep-events 5"), Ok(None));
        let default = ReplicationConfig::default();
        assert_eq!(create("--replicas 5"), Ok(Some(ReplicationConfig { factor: 5, ..default.clone() })));
        let text = r#"{"factor":3,"heartbeat-ms":200,"placement":{"pinned":[1,2]},"leader-pinned":2,"placement-metadata":{"intent":"billing"},"on-under-capacity":"evict-oldest","replication-budget-fraction":0.25,"default-bandwidth-class":"background","background-fraction":0.1}"#;
        let flags = "--pinned 1,2 --heartbeat-ms 200 --leader-pinned 2 --intent billing --on-under-capacity evict-oldest --replication-budget-fraction 0.25 --default-bandwidth-class background --background-fraction 0.1";
        assert_eq!(serde_json::to_string(&create(flags).unwrap().unwrap()).unwrap(), text);
        let strict = create("--colocate-with-strict invoices").unwrap().unwrap();
        assert_eq!((strict.placement.clone(), strict.validate()), (Placement::ColocationStrict, Ok(())));
        let soft = create("--colocate-with invoices --replicas 2").unwrap().unwrap();
        assert_eq!((soft.factor, soft.validate()), (2, Ok(())));
        let keeps = create("--replicas 3 --keep-events 5").unwrap().unwrap();
        assert_eq!((keeps.factor, keeps.retention.events), (3, Some(5)));
        let conflict = Err(clap::error::ErrorKind::ArgumentConflict);
        for flags in [
            "--replicas 3 --own",
            "--intent x --compression lz4",
            "--heartbeat-ms 200 --erasable",
            "--replicas 3 --pinned 1",
            "--colocate-with a --colocate-with-strict b",
        ] {
            assert_eq!(create(flags), conflict, "{flags}");
        }
        for flags in
            ["--on-under-capacity give-up", "--background-fraction half", "--default-bandwidth-class x"]
        {
            assert_eq!(create(flags), Err(clap::error::ErrorKind::ValueValidation), "{flags}");
        }
    }

    #[test]
    fn sizes_and_durations_have_units() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        for wrong in ["", "MiB", "1.5MiB", "-1", "1 MiB", "64MB", "99999999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for wrong in ["", "7", "h", "1y", "1.5h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
