//! The arguments of `task`, `memory` and `watch`.

use clap::{Args, Subcommand};
use netdb::{SortBy, TaskStatus};

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommands {
    /// Creates a task.
    #[command(after_help = "Example:\n  net-db task create 'write the report'")]
    Create {
        /// What is to be done.
        title: String,
        /// What names it [default: one more than the greatest so far].
        #[arg(long, value_name = "N")]
        id: Option<u64>,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Gives a task another title.
    #[command(after_help = "Example:\n  net-db task rename 7 'write the short report'")]
    Rename {
        /// The task.
        id: u64,
        /// Its new title.
        title: String,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Completes a task.
    #[command(after_help = "Example:\n  net-db task complete 7")]
    Complete(OneArguments),
    /// Deletes a task.
    #[command(after_help = "Example:\n  net-db task delete 7")]
    Delete(OneArguments),
    /// Shows a task.
    #[command(after_help = "Example:\n  net-db task get 7")]
    Get {
        /// The task.
        id: u64,
    },
    /// Lists tasks.
    #[command(after_help = "Example:\n  net-db task list --status pending --order created-desc --limit 10")]
    List(TaskListArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommands {
    /// Stores a memory, or new content for one.
    #[command(
        after_help = "Example:\n  net-db memory store 'the key is under the mat' --tag home --source Ada"
    )]
    Store {
        /// What is to be kept.
        content: String,
        /// What names it [default: one more than the greatest so far].
        #[arg(long, value_name = "N")]
        id: Option<u64>,
        /// What it is about; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// Where it comes from.
        #[arg(long, default_value = "")]
        source: String,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Gives a memory other tags.
    #[command(after_help = "Example:\n  net-db memory retag 7 home keys")]
    Retag {
        /// The memory.
        id: u64,
        /// All its tags.
        tags: Vec<String>,
        #[command(flatten)]
        write: WriteArguments,
    },
    /// Pins a memory.
    #[command(after_help = "Example:\n  net-db memory pin 7")]
    Pin(OneArguments),
    /// Takes a memory's pin away.
    #[command(after_help = "Example:\n  net-db memory unpin 7")]
    Unpin(OneArguments),
    /// Deletes a memory.
    #[command(after_help = "Example:\n  net-db memory delete 7")]
    Delete(OneArguments),
    /// Shows a memory.
    #[command(after_help = "Example:\n  net-db memory get 7")]
    Get {
        /// The memory.
        id: u64,
    },
    /// Finds memories.
    #[command(after_help = "Example:\n  net-db memory find --tag home --contains key --order updated-desc")]
    Find(MemoryFindArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WatchCommand {
    /// Prints the tasks that match, and then each that changes, until interrupted.
    #[command(after_help = "Example:\n  net-db watch tasks --status pending")]
    Tasks(TaskListArguments),
    /// Prints the memories that match, and then each that changes, until interrupted.
    #[command(after_help = "Example:\n  net-db watch memories --tag home")]
    Memories(MemoryFindArguments),
}

#[derive(Debug, Args)]
pub(crate) struct OneArguments {
    /// Which one.
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) write: WriteArguments,
}

/// What every write takes.
#[derive(Debug, Default, Args)]
pub(crate) struct WriteArguments {
    /// Only if it has this version.
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
    /// Makes repeating the command harmless.
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TaskListArguments {
    /// Only those with this status: pending or completed.
    #[arg(long)]
    pub(crate) status: Option<TaskStatus>,
    /// Only those with this text in their title, in whatever case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryFindArguments {
    /// Only those with this tag; with several, those that have all of them.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Only those with one of these tags.
    #[arg(long = "any-tag", value_name = "TAG")]
    pub(crate) any_tags: Vec<String>,
    /// Only those with this text in their content, in whatever case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    /// Only those from this source.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Only those that are pinned.
    #[arg(long)]
    pub(crate) pinned: bool,
    #[command(flatten)]
    pub(crate) page: PageArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PageArguments {
    /// id, created or updated, the least first, or the same with -desc.
    #[arg(long, value_name = "ORDER", default_value = "id")]
    pub(crate) order: SortBy,
    /// At most N.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}
