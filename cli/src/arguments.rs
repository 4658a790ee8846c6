//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod blob;
mod cluster;
mod log;
mod placement;
mod serve;
mod state;
mod transfer;

pub(crate) use blob::{
    BlobCommand, ChunkingName, CollectArguments, GetArguments, GetTreeArguments, NameCommand,
    OverflowCommand, OverflowEnableArguments, PinAddArguments, PinArguments, PinCommand, PinTypes,
    PutArguments, PutTreeArguments, ReadSliceArguments, SliceArguments,
};
pub(crate) use cluster::ClusterCommand;
pub(crate) use log::{
    AppendArguments, CutOffArguments, FsckArguments, LogCommand, ReadArguments, RedactArguments,
    TailArguments, VerifyArguments,
};
pub(crate) use placement::{CreateArguments, MoveArguments, PlacementArguments, SetArguments};
pub(crate) use serve::{ConfigCommand, ConfigPlace, ServeArguments, TokenArguments};
pub(crate) use state::{
    MemoryCommands, MemoryFindArguments, TaskCommands, TaskListArguments, WatchCommand, WriteArguments,
};
pub(crate) use transfer::{ExportArguments, ImportArguments};

use crate::output::Format;

/// An event-sourced database: signed logs, SQL, one directory.
#[derive(Debug, Parser)]
#[command(name = "net-db", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 corrupt, \
    6 unavailable, 7 denied, 8 partial result, 130 interrupted.\n\n\
    Example:\n  net-db log append orders/audit '{\"total\":12}' --kind order.placed\n  \
    net-db sql -c 'select count(*) from events'")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Large values in a database's directory: `net-db blob` under a name of its own.
#[derive(Debug, Parser)]
#[command(name = "net-blob", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "The directory is that of --dir, else of NET_BLOB_DIR, else of NETDB_DIR.\n\n\
    Example:\n  net-blob put model.safetensors")]
pub(crate) struct BlobArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: BlobCommand,
}

const EVERYWHERE: &str = "Everywhere";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The data directory.
    #[arg(
        long,
        global = true,
        env = "NETDB_DIR",
        value_name = "PATH",
        default_value = "./netdb-data",
        help_heading = EVERYWHERE
    )]
    pub(crate) dir: PathBuf,
    /// How results are written [default: table on a terminal, else ndjson].
    #[arg(long, global = true, value_enum, help_heading = EVERYWHERE)]
    pub(crate) format: Option<Format>,
    /// Say nothing on standard error but errors.
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Refuse to write to a log with damage, instead of setting the damaged stretch aside.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates a data directory with a new identity.
    #[command(after_help = "Example:\n  net-db init --dir ./netdb-data")]
    Init,
    /// Imports events from NDJSON, plain or zstd; goes on where an earlier run ended.
    #[command(after_help = "Examples:\n  net-db import --channel flights flights.ndjson.zst\n  \
        producer | net-db import --channel visits --map kind=event,key=user,payload=body -")]
    Import(ImportArguments),
    /// Exports events as NDJSON that `import` reads back.
    #[command(after_help = "Example:\n  net-db export --channel flights flights.ndjson")]
    Export(ExportArguments),
    /// Appends to the log, reads it and verifies it.
    #[command(subcommand)]
    Log(LogCommand),
    /// Asks the log in SQL: one or more statements, or a prompt on a terminal.
    #[command(after_help = "Examples:\n  \
        net-db sql -c \"select kind, count(*) from events group by kind\"\n  net-db sql report.sql\n  net-db sql")]
    Sql(SqlArguments),
    /// Keeps large values: puts them, writes them, verifies them.
    #[command(subcommand)]
    Blob(BlobCommand),
    /// Keeps tasks: creates, changes and lists them.
    #[command(subcommand)]
    Task(TaskCommands),
    /// Keeps memories: stores, changes and finds them.
    #[command(subcommand)]
    Memory(MemoryCommands),
    /// Follows tasks or memories.
    #[command(subcommand)]
    Watch(WatchCommand),
    /// Serves the directory over HTTP until it is told to stop (SIGTERM, or Ctrl-C once).
    #[command(after_help = "Examples:\n  net-db serve\n  net-db serve --config net-db.toml --port-base 8700")]
    Serve(ServeArguments),
    /// Begins a cluster, joins one, and looks after it.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Shows settings, and makes tokens.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What `sql` takes.
#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// The statements.
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub(crate) command: Option<String>,
    /// A file of statements, or - for standard input; without it and without -c, a prompt on a terminal.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}
