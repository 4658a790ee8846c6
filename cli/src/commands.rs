//! The commands, a module for each verb.

mod blob;
mod cluster;
mod config;
mod export;
mod import;
mod init;
mod log;
mod memory;
mod serve;
mod sql;
mod task;
mod watch;

use crate::arguments::Command;
use crate::context::Context;
use crate::exit::Failure;

/// Runs one command.
pub(crate) fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Init => init::run(context),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Export(arguments) => export::run(context, &arguments),
        Command::Log(command) => log::run(context, command),
        Command::Blob(command) => blob::run(context, command),
        Command::Sql(arguments) => sql::run(context, &arguments),
        Command::Task(command) => task::run(context, command),
        Command::Memory(command) => memory::run(context, command),
        Command::Watch(command) => watch::run(context, command),
        Command::Serve(arguments) => serve::run(context, &arguments),
        Command::Cluster(command) => cluster::run(context, command),
        Command::Config(command) => config::run(context, command),
    }
}
