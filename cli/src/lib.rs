//! The command lines of NetDb. [`run`] is all of `net-db`, [`run_blob`] of `net-blob`; everything else is private.
//!
//! `arguments` says what can be asked, `commands` has a module for each verb, `exit` says how a command ends,
//! `output` writes results, and `import` and `export` are each other's inverse.

use std::process::ExitCode;

mod arguments;
mod commands;
mod context;
mod event;
mod exit;
mod export;
mod import;
mod interrupt;
mod limits;
mod output;
mod progress;
mod remote;
mod sql;
mod state;

use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
use tracing_subscriber::EnvFilter;

use arguments::{Arguments, BlobArguments, Command};
use context::Context;
use exit::{Code, Failure};

/// The environment variable that says what is logged to standard error.
const LOG_FILTER_VARIABLE: &str = "NETDB_LOG";

/// The environment variable that names the directory of `net-blob`, before that of `net-db`.
const BLOB_DIRECTORY_VARIABLE: &str = "NET_BLOB_DIR";

/// Runs the command that the process's arguments name and returns its exit code.
pub fn run() -> ExitCode {
    match Arguments::try_parse_from(std::env::args_os()) {
        Ok(arguments) => {
            // A server says in its configuration how it logs.
            if !matches!(arguments.command, Command::Serve(_)) {
                log_to_standard_error();
            }
            let context = Context::new(arguments.common);
            let result = commands::run(&context, arguments.command);
            end(result)
        }
        Err(error) => refuse(&error),
    }
}

/// Runs the command of `net-blob` that the process's arguments name and returns its exit code.
pub fn run_blob() -> ExitCode {
    let command = match std::env::var_os(BLOB_DIRECTORY_VARIABLE) {
        Some(_) => BlobArguments::command().mut_arg("dir", |dir| dir.env(BLOB_DIRECTORY_VARIABLE)),
        None => BlobArguments::command(),
    };
    let matches = command.try_get_matches_from(std::env::args_os());
    match matches.and_then(|matches| BlobArguments::from_arg_matches(&matches)) {
        Ok(arguments) => {
            log_to_standard_error();
            let context = Context::new(arguments.common);
            end(commands::run(&context, Command::Blob(arguments.command)))
        }
        Err(error) => refuse(&error),
    }
}

fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => Code::Ok.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                context::say(format_args!("net-db: error: {}", failure.message));
            }
            failure.code.into()
        }
    }
}

/// Prints what clap has to say: help on standard output, a mistake on standard error.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        context::say(format_args!("net-db: {}", error.render().to_string().trim_end()));
        return Code::Usage.into();
    }
    // Help that nobody reads to its end is no failure.
    let _ = error.print();
    Code::Ok.into()
}

fn log_to_standard_error() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .with_env_var(LOG_FILTER_VARIABLE)
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
