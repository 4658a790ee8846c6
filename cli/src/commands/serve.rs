//! `net-db serve`

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use netdb::NetDb;
use netdb::base::Doors;
use netdb::redex::LogOptions;
use server::{Config, LogFormat, Server};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use super::config;
use crate::arguments::ServeArguments;
use crate::context::Context;
use crate::exit::{Code, Failure};

pub(super) fn run(context: &Context, arguments: &ServeArguments) -> Result<(), Failure> {
    let config = config::load(context, &arguments.place)?.config;
    log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system(&error, "cannot start threads"))?;
    runtime.block_on(serve(context, config))
}

async fn serve(context: &Context, config: Config) -> Result<(), Failure> {
    // The first interrupt stops in order; the second ends the process.
    let interrupted = Arc::new(Notify::new());
    let wake = Arc::clone(&interrupted);
    let _caught = context.interrupts.catch(move || wake.notify_one());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| Failure::system(&error, "cannot watch for signals"))?;
    let (directory, mut options) = (context.directory.clone(), LogOptions::default());
    options.strict = context.strict();
    let open = move |doors: Doors| {
        let builder = NetDb::builder().directory(directory).doors(doors).log_options(options);
        builder.with_tasks().with_memories().open()
    };
    let mut running = Server::start(config, context.doors.clone(), open).await?;
    let opened = tokio::select! {
        opened = running.opened() => opened.map(|()| true),
        () = interrupted.notified() => Ok(false),
        _ = terminate.recv() => Ok(false),
    };
    if let Ok(true) = opened {
        let (address, directory) = (running.http(), context.directory.display());
        context.note(format_args!("serving {directory} at {address}; Ctrl-C stops"));
        tokio::select! {
            () = interrupted.notified() => {}
            _ = terminate.recv() => {}
        }
    }
    let stopped = running.stop().await;
    opened?;
    let report = stopped?;
    if report.connections_cut > 0 {
        context.note(format_args!("{} connections were cut", report.connections_cut));
    }
    Ok(())
}

/// Begins to write log lines to standard error.
fn log(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::builder().parse(&config.log_filter).map_err(|error| {
        let message = format!("log.filter `{}`: {error}", config.log_filter);
        Failure::new(Code::Usage, message).hint("write it like info or server=debug")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    let for_people = match config.log_format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    if for_people {
        lines.init()
    } else {
        lines.json().flatten_event(true).init()
    }
    Ok(())
}
