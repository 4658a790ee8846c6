//! The arguments of `blob`.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use netdb::base::Hash;
use netdb::blob::{Chunking, ContentSizes};

use super::placement::{duration, size};

#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    /// Puts a file, or standard input, as a blob.
    #[command(after_help = "Examples:\n  net-db blob put model.safetensors\n  \
        tar c photos | net-db blob put - --chunking content")]
    Put(PutArguments),
    /// Writes a blob, every byte of it verified.
    #[command(after_help = "Examples:\n  net-db blob get 3f1c...9a --out model.safetensors\n  \
        net-db blob get 3f1c...9a --range 0..4096 | xxd")]
    Get(GetArguments),
    /// Puts a directory with everything below it, and names it; files that are there already are not stored again.
    #[command(after_help = "Examples:\n  net-db blob put-tree photos --pin\n  \
        net-db blob put-tree linux --chunking content --name sources/linux")]
    PutTree(PutTreeArguments),
    /// Writes a directory that was put: all of it, verified, or nothing.
    #[command(after_help = "Example:\n  net-db blob get-tree 3f1c...9a --out photos")]
    GetTree(GetTreeArguments),
    /// Describes a blob.
    #[command(after_help = "Example:\n  net-db blob stat 3f1c...9a")]
    Stat(NamedBlob),
    /// Tells whether a blob is here: exit code 0, or 3.
    #[command(after_help = "Example:\n  net-db blob exists 3f1c...9a && echo here")]
    Exists(NamedBlob),
    /// Lists what was put.
    #[command(after_help = "Example:\n  net-db blob ls --format table")]
    Ls,
    /// Lists the chunks of a blob, or what is in a directory.
    #[command(after_help = "Example:\n  net-db blob tree 3f1c...9a")]
    Tree(NamedBlob),
    /// Tells which chunk of a blob holds a byte.
    #[command(after_help = "Example:\n  net-db blob path 3f1c...9a --offset 5000000")]
    Path(PathArguments),
    /// Writes a range of a blob with all that is needed to verify it from the blob's name alone.
    #[command(after_help = "Example:\n  net-db blob slice 3f1c...9a --range 0..65536 --out part.slice")]
    Slice(SliceArguments),
    /// Reads a slice that somebody made, without a database: what does not fit the name is refused, exit code 5.
    #[command(
        after_help = "Example:\n  net-db blob read-slice 3f1c...9a --range 0..65536 part.slice --out part"
    )]
    ReadSlice(ReadSliceArguments),
    /// Reads and verifies everything that is stored; exit code 5 when something is damaged.
    #[command(after_help = "Examples:\n  net-db blob verify\n  net-db blob verify --away")]
    Verify(VerifyArguments),
    /// Mends what is damaged and lies elsewhere as well, and names what is left; exit code 5 when something is.
    #[command(after_help = "Example:\n  net-db blob repair")]
    Repair,
    /// Has a blob stay until it is unpinned: `pin HASH` is short for `pin add HASH`.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    #[command(
        after_help = "Examples:\n  net-db blob pin 3f1c...9a --label 'model of May'\n  net-db blob pin ls --type all"
    )]
    Pin(PinArguments),
    /// Takes pins away, as `pin rm` does.
    #[command(after_help = "Example:\n  net-db blob unpin 3f1c...9a")]
    Unpin(Blobs),
    /// Names blobs; what has a name stays.
    #[command(subcommand)]
    Name(NameCommand),
    /// Takes the note back that a blob was put, so that it goes with the next collection unless something refers to it.
    #[command(after_help = "Example:\n  net-db blob rm 3f1c...9a")]
    Rm(Blobs),
    /// Collects what no pin, name, lease, event and recent put reaches.
    #[command(after_help = "Examples:\n  net-db blob gc --dry-run\n  net-db blob gc --retention 7d")]
    Gc(CollectArguments),
    /// Has cold chunks go to another place when the disk fills; they are fetched from there whenever they are read.
    #[command(subcommand)]
    Overflow(OverflowCommand),
    /// Tells what is counted of blobs: what there is, and, where a server runs, what was done since it began.
    #[command(after_help = "Example:\n  net-db blob metrics --format table")]
    Metrics,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OverflowCommand {
    /// Tells where chunks go, and how much of what there is lies there.
    #[command(after_help = "Example:\n  net-db blob overflow status --format table")]
    Status,
    /// Has chunks go elsewhere; what is not said stays as it was.
    #[command(after_help = "Examples:\n  net-db blob overflow enable file:///mnt/large\n  \
        net-db blob overflow enable 's3://bucket/prefix?region=eu-1' --quota 100GiB\n\n\
        Credentials of S3 come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.")]
    Enable(OverflowEnableArguments),
    /// Has no more chunks go; those that went are still fetched.
    #[command(after_help = "Example:\n  net-db blob overflow disable --take-back")]
    Disable(OverflowDisableArguments),
    /// Moves chunks now, until the use is below the low watermark: to be run every now and then.
    #[command(after_help = "Example:\n  net-db blob overflow run")]
    Run,
}

#[derive(Debug, Args)]
pub(crate) struct OverflowEnableArguments {
    /// Where they go: file:///directory or s3://bucket/prefix; each database takes a name of its own below it.
    #[arg(value_name = "URL")]
    pub(crate) place: Option<String>,
    /// The share of the disk, or of the quota, above which chunks begin to go [default: 0.85].
    #[arg(long, value_name = "SHARE")]
    pub(crate) high: Option<f64>,
    /// The share below which no more go [default: 0.70].
    #[arg(long, value_name = "SHARE")]
    pub(crate) low: Option<f64>,
    /// Chunks that are sent, read back and then freed together, at most [default: 16].
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pushes_per_tick: Option<usize>,
    /// What blobs may take here; otherwise it is the file system that is full or not.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) quota: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct OverflowDisableArguments {
    /// Takes everything back first, so that another place can be named.
    #[arg(long)]
    pub(crate) take_back: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    #[command(subcommand)]
    pub(crate) command: Option<PinCommand>,
    /// The names of blobs to pin.
    #[arg(value_name = "HASH", required = true, value_parser = hash)]
    pub(crate) hashes: Vec<Hash>,
    /// Only the objects of these names: of a larger blob the list of its parts, and not the parts.
    #[arg(long)]
    pub(crate) direct: bool,
    /// What they are pinned for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PinCommand {
    /// Pins blobs that are here as a whole.
    Add(PinAddArguments),
    /// Takes pins away; that there is none is told and no failure.
    Rm(Blobs),
    /// Lists pins in the order of their names, as they are read.
    Ls(PinListArguments),
    /// Has a recursive pin go from one blob to another, at once.
    Update(PinUpdateArguments),
    /// Reads and verifies everything that is pinned; exit code 5 when something is damaged or missing.
    Verify(PinVerifyArguments),
}

/// One blob or more.
#[derive(Debug, Args)]
pub(crate) struct Blobs {
    /// Their names.
    #[arg(value_name = "HASH", required = true, value_parser = hash)]
    pub(crate) hashes: Vec<Hash>,
}

#[derive(Debug, Args)]
pub(crate) struct PinAddArguments {
    #[command(flatten)]
    pub(crate) blobs: Blobs,
    /// Only the objects of these names: of a larger blob the list of its parts, and not the parts.
    #[arg(long)]
    pub(crate) direct: bool,
    /// What it is pinned for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PinListArguments {
    /// Which pins.
    #[arg(long = "type", value_enum, default_value = "all")]
    pub(crate) types: PinTypes,
}

/// Kinds of pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinTypes {
    /// Of one object alone.
    Direct,
    /// Of a blob with all its parts.
    Recursive,
    /// Parts of what is pinned recursively.
    Indirect,
    /// Direct and recursive ones.
    All,
}

#[derive(Debug, Args)]
pub(crate) struct PinUpdateArguments {
    /// The blob that is pinned.
    #[arg(value_parser = hash)]
    pub(crate) old: Hash,
    /// The blob that is to be.
    #[arg(value_parser = hash)]
    pub(crate) new: Hash,
    /// Leaves the old one pinned, too.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PinVerifyArguments {
    /// One blob [default: all that are pinned].
    #[arg(value_parser = hash)]
    pub(crate) hash: Option<Hash>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NameCommand {
    /// Gives a name to a blob, and takes it from what had it before.
    #[command(after_help = "Example:\n  net-db blob name set models/current 3f1c...9a")]
    Set(NameSetArguments),
    /// Takes a name away.
    Rm(NameArguments),
    /// Tells what a name stands for.
    Get(NameArguments),
    /// Lists names.
    Ls(NameListArguments),
}

#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// The name.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct NameSetArguments {
    /// The name: any text without control characters.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
}

#[derive(Debug, Args)]
pub(crate) struct NameListArguments {
    /// Only those that begin so.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Fetches and verifies what lies elsewhere, too.
    #[arg(long)]
    pub(crate) away: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CollectArguments {
    /// What was put less long ago stays.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) retention: Duration,
    /// Room is short: what was put less than 10 minutes ago stays, and nothing else for its age.
    #[arg(long, conflicts_with = "retention")]
    pub(crate) disk_pressure: bool,
    /// Removes nothing, and tells what would go.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Collects although logs lost entries for good; what only these referred to goes.
    #[arg(long)]
    pub(crate) beside_holes: bool,
}

/// A blob by its name.
#[derive(Debug, Args)]
pub(crate) struct NamedBlob {
    /// Its name.
    #[arg(value_parser = hash)]
    pub(crate) hash: Hash,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// The file, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Where chunks end: each 4 MiB, or where the content says, so that versions of a file have chunks in common.
    #[arg(long, value_enum, default_value = "fixed")]
    pub(crate) chunking: ChunkingName,
    /// Pins it.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Gives it a name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PutTreeArguments {
    /// The directory.
    // Not `dir`, which is that of the database.
    #[arg(value_name = "DIR")]
    pub(crate) tree: PathBuf,
    /// Where chunks end: each 4 MiB, or where the content says, so that versions of a file have chunks in common.
    #[arg(long, value_enum, default_value = "fixed")]
    pub(crate) chunking: ChunkingName,
    /// Leaves symbolic links out that lead out of the directory; otherwise they are refused.
    #[arg(long)]
    pub(crate) skip_unsafe: bool,
    /// Pins it.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Gives it a name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GetTreeArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// The directory that it becomes, which must not be there; it appears once it is whole.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Names that it may have, with those in its directories.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000_000)]
    pub(crate) entries_max: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ChunkingName {
    Fixed,
    Content,
}

impl ChunkingName {
    pub(crate) fn chunking(self) -> Chunking {
        match self {
            Self::Fixed => Chunking::Fixed,
            Self::Content => Chunking::Content(ContentSizes::default()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// The file that it is written to, which appears once it is whole [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Goes on where a try before ended, in FILE.partial, once that was verified.
    #[arg(long, requires = "out", conflicts_with = "range")]
    pub(crate) resume: bool,
    /// These bytes of it only, such as 4096..8192; the end may be left out.
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,
}

#[derive(Debug, Args)]
pub(crate) struct SliceArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// Which bytes of it, such as 4096..8192.
    #[arg(long, value_name = "FROM..TO", value_parser = closed_range)]
    pub(crate) range: Range<u64>,
    /// The file that is written [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReadSliceArguments {
    #[command(flatten)]
    pub(crate) slice: SliceArguments,
    /// The slice, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PathArguments {
    #[command(flatten)]
    pub(crate) blob: NamedBlob,
    /// The byte, from 0.
    #[arg(long)]
    pub(crate) offset: u64,
}

fn hash(text: &str) -> Result<Hash, String> {
    Hash::from_hex(text)
        .ok_or_else(|| "a blob is named by 64 hexadecimal digits: `net-db blob ls` lists them".to_owned())
}

/// Reads a range that has an end.
fn closed_range(text: &str) -> Result<Range<u64>, String> {
    match range(text)? {
        range if range.end == u64::MAX => Err(format!("`{text}` has no end: write FROM..TO")),
        range => Ok(range),
    }
}

/// Reads a range; one without an end ends at the largest number.
fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range: write FROM..TO, or FROM..");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let range = number(from)?..if to.is_empty() { u64::MAX } else { number(to)? };
    if range.start <= range.end { Ok(range) } else { Err(wrong()) }
}
