//! The arguments of `sql`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// The statements to run, separated by `;`.
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file")]
    pub(crate) command: Option<String>,
    /// A file of statements, or `-` for standard input [default: a prompt on a terminal].
    #[arg(value_name = "FILE|-")]
    pub(crate) file: Option<PathBuf>,
}
