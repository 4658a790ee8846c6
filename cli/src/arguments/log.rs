//! The arguments of `log`.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use netdb::base::{ChannelName, Timestamp};
use netdb::redex::{Ack, Expect};

use super::{CreateArguments, MoveArguments, SetArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Appends one event.
    #[command(
        after_help = "Examples:\n  net-db log append orders '{\"total\":12}' --kind order.placed --key customer-7\n  \
        net-db log append orders - --expect 41 --idempotency-key 9f3a < order.json"
    )]
    Append(AppendArguments),
    /// Reads events of a channel.
    #[command(after_help = "Examples:\n  net-db log read orders --last 10\n  \
        net-db log read orders --since 2026-01-31T00:00:00Z --kind order.placed --format csv")]
    Read(ReadArguments),
    /// Reads events of a channel and then those that come, until interrupted.
    #[command(after_help = "Example:\n  net-db log tail orders --last 10")]
    Tail(TailArguments),
    /// Takes events out of a channel that was created erasable: their content goes, their places stay.
    #[command(after_help = "Example:\n  net-db log redact people 17..19 --reason 'request of 3 March'")]
    Redact(RedactArguments),
    /// Creates a channel, in `main` or in a log that keeps what is said here.
    #[command(after_help = "Examples:\n  net-db log create probes --keep-events 100000\n  \
        net-db log create visits --keep-age 30d --compression zstd\n  \
        net-db log create orders/audit --log audit")]
    Create(CreateArguments),
    /// Moves a channel to another log; what it has stays readable, its numbers go on.
    #[command(after_help = "Examples:\n  net-db log move probes --keep-events 100000\n  \
        net-db log move probes --log audit\n  net-db log move visits --log main")]
    Move(MoveArguments),
    /// Sets what a log keeps and how it is stored; without options it shows it.
    #[command(after_help = "Examples:\n  net-db log set main --keep-age 365d --compression zstd\n  \
        net-db log set audit --keep-all")]
    Set(SetArguments),
    /// Lists the channels of all logs.
    #[command(after_help = "Example:\n  net-db log channels --format json")]
    Channels,
    /// Describes the logs.
    #[command(after_help = "Example:\n  net-db log info")]
    Info,
    /// Checks every hash and the signatures of all logs; exit code 5 when something does not hold.
    #[command(after_help = "Example:\n  net-db log verify --all-signatures")]
    Verify(VerifyArguments),
    /// Says what is wrong with the files, what each finding means, and what becomes of it; exit code 5 for damage.
    #[command(after_help = "Example:\n  net-db log fsck --repair")]
    Fsck(FsckArguments),
    /// Shows what the bytes on disk are used for, and which can be had back.
    #[command(after_help = "Example:\n  net-db log space --format table")]
    Space,
    /// Lists files of entries that this node's replicas held, and that never were committed; with a file, writes its events.
    #[command(after_help = "Examples:\n  net-db log cut-off\n  \
        net-db log cut-off data/logs/shared-01/cut-off/0000000003.cut > lost.ndjson")]
    CutOff(CutOffArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CutOffArguments {
    /// One of the files; its events are written as `export` writes events.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArguments {
    /// The channel; it is created when it does not exist.
    #[arg(value_parser = own_channel)]
    pub(crate) channel: ChannelName,
    /// The content, or `-` to read it from standard input [default: empty].
    #[arg(value_name = "PAYLOAD|-", allow_negative_numbers = true)]
    pub(crate) payload: Option<String>,
    /// The name of the event's type.
    #[arg(long, default_value = "event")]
    pub(crate) kind: String,
    /// What the event is about.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// A header; may be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// When it happened, in RFC 3339.
    #[arg(long)]
    pub(crate) time: Option<Timestamp>,
    /// What the channel must be like: any, none (it does not exist), exists, or its next sequence number.
    #[arg(long, value_name = "any|none|exists|N", default_value = "any")]
    pub(crate) expect: Expect,
    /// Makes repeating the command harmless.
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) idempotency_key: Option<String>,
    /// How safe the event must be before the command ends.
    #[arg(long, value_name = "staged|written|durable", default_value = "durable")]
    pub(crate) ack: Ack,
}

#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    /// The channel.
    pub(crate) channel: ChannelName,
    /// Begin with this sequence number.
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// End before this sequence number.
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u64>,
    /// Only events recorded at this time or later, in RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Timestamp>,
    /// Only events recorded before this time, in RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,
    /// Only the newest N of the events that match.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Newest first.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only events of this kind; may be given several times.
    #[arg(long = "kind", value_name = "KIND")]
    pub(crate) kinds: Vec<String>,
    /// Only events about this key; may be given several times.
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// At most N events.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct TailArguments {
    /// The channel.
    pub(crate) channel: ChannelName,
    /// Begin with this sequence number [default: the first].
    #[arg(long, value_name = "N", conflicts_with = "last")]
    pub(crate) from: Option<u64>,
    /// Begin with the newest N events.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// End with the newest event instead of waiting for more.
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RedactArguments {
    /// The channel.
    #[arg(value_parser = own_channel)]
    pub(crate) channel: ChannelName,
    /// The sequence numbers: the first, and the one behind the last.
    #[arg(value_name = "FROM..TO", value_parser = seqs)]
    pub(crate) seqs: Range<u64>,
    /// Why; goes on record, and cannot be redacted.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Only this channel [default: all].
    pub(crate) channel: Option<ChannelName>,
    /// Check each signature instead of the last one of each incarnation.
    #[arg(long)]
    pub(crate) all_signatures: bool,
    /// Verify this proof of a fork instead; needs no directory.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["channel", "all_signatures"])]
    pub(crate) proof: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArguments {
    /// Do what opening for writing does: remove a torn end, set damage aside, write damaged copies anew.
    #[arg(long)]
    pub(crate) repair: bool,
}

fn seqs(text: &str) -> Result<Range<u64>, &'static str> {
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.filter(|range: &Range<u64>| !range.is_empty())
        .ok_or("write FROM..TO, such as 3..5 for events 3 and 4")
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a header as NAME=VALUE"),
    }
}

/// A channel that callers may write to.
pub(super) fn own_channel(name: &str) -> Result<ChannelName, String> {
    let channel: ChannelName =
        name.parse().map_err(|error: netdb::base::ChannelNameError| error.to_string())?;
    if channel.is_system() {
        return Err(format!("channel `{name}` belongs to the database itself: use a name outside `sys/`"));
    }
    Ok(channel)
}
