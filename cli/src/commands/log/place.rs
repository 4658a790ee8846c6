//! `net-db log create`, `net-db log move` and `net-db log set`

use netdb::base::ChannelName;
use netdb::redex::{ChannelConfig, LogConfig, LogName, Placement, Store};
use netdb::replication::ReplicationConfig;

use crate::arguments::{CreateArguments, MoveArguments, PlacementArguments, SetArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::remote::{Remote, in_path};

pub(super) fn create(context: &Context, arguments: &CreateArguments) -> Result<(), Failure> {
    let channel = &arguments.channel;
    if let Some(config) = arguments.replication.config(&arguments.placement.keep) {
        return create_replicated(context, channel, &config);
    }
    let mut config = match &arguments.content_type {
        Some(content_type) => ChannelConfig::with_content_type(content_type),
        None => ChannelConfig::default(),
    };
    config.erasable = arguments.erasable;
    let store = context.open_writer()?;
    let placement = placement(&store, &arguments.placement)?;
    let created = store.create_channel(channel, &config, &placement)?;
    let log = store.log_of(channel).reader().name().to_owned();
    store.close()?;
    let outcome = if created.already { "existed" } else { "created" };
    context.record(&[
        ("channel", Cell::display(channel)),
        ("log", Cell::Text(log.into())),
        ("outcome", Cell::Text(outcome.into())),
    ])?;
    Ok(())
}

fn create_replicated(
    context: &Context,
    channel: &ChannelName,
    config: &ReplicationConfig,
) -> Result<(), Failure> {
    let remote = Remote::find(context).ok_or_else(|| {
        let message = "a replicated channel is created through a node of a cluster, and no server runs here";
        Failure::new(Code::Unavailable, message).hint("start it with `net-db serve`")
    })?;
    let path = format!("/v1/channels/{}", in_path(channel.as_str()));
    let told = remote.put(&path, &serde_json::json!(config))?;
    let log = told["log"].as_str().unwrap_or_default().to_owned();
    context.record(&[("channel", Cell::display(channel)), ("log", Cell::Text(log.into()))])?;
    Ok(())
}

pub(super) fn go(context: &Context, arguments: &MoveArguments) -> Result<(), Failure> {
    let (channel, asked) = (&arguments.channel, &arguments.placement);
    if asked.keep.is_empty() && !asked.own && asked.log.is_none() {
        let nowhere = "where to is not said: give `--log NAME`, `--own`, or what is to be kept";
        return Err(Failure::new(Code::Usage, nowhere));
    }
    // A directory that is not there has no channel to move.
    context.open_reader()?;
    let store = context.open_writer()?;
    let name = |store: &Store| store.log_of(channel).reader().name().to_owned();
    let from = name(&store);
    let placement = placement(&store, asked)?;
    store.move_channel(channel, &placement)?;
    let to = name(&store);
    let next = store.reader().view().channel(channel)?.map(|history| history.next_seq().0);
    store.close()?;
    context.record(&[
        ("channel", Cell::display(channel)),
        ("from", Cell::Text(from.into())),
        ("to", Cell::Text(to.into())),
        ("next_seq", next.map_or(Cell::Null, Cell::Number)),
    ])?;
    Ok(())
}

pub(super) fn set(context: &Context, arguments: &SetArguments) -> Result<(), Failure> {
    let store = context.open_writer()?;
    let known = store.config(&arguments.log);
    let changes = arguments.keep_all || !arguments.keep.is_empty();
    let config = arguments.over(known.unwrap_or_default());
    if changes {
        store.set_config(&arguments.log, &config)?;
    } else if store.config(&arguments.log).is_none() {
        return Err(Failure::new(Code::NotFound, format!("there is no log `{}`", arguments.log))
            .hint("`net-db log info` lists those that are there"));
    }
    store.close()?;
    Ok(context.record(&described(&arguments.log, &config))?)
}

fn described(log: &LogName, config: &LogConfig) -> [(&'static str, Cell<'static>); 5] {
    let number = |limit: Option<u64>| limit.map_or(Cell::Null, Cell::Number);
    let retention = &config.retention;
    [
        ("log", Cell::display(log)),
        ("keep_events", number(retention.events)),
        ("keep_bytes", number(retention.bytes)),
        ("keep_age_seconds", number(retention.age.map(|age| age.as_secs()))),
        ("compression", Cell::Text(compression(config).into())),
    ]
}

fn compression(config: &LogConfig) -> &'static str {
    match config.compression {
        netdb::redex::Compression::Lz4 => "lz4",
        netdb::redex::Compression::Zstd => "zstd",
        _ => "none",
    }
}

/// Returns where a channel is to live; makes the log if it was named with a configuration.
fn placement(store: &Store, asked: &PlacementArguments) -> Result<Placement, Failure> {
    let config = asked.keep.over(LogConfig::default());
    match &asked.log {
        Some(log) => {
            if !asked.keep.is_empty() {
                if log.is_main() {
                    let main = "the log `main` is set by `net-db log set`, not by placing a channel there";
                    return Err(Failure::new(Code::Usage, main));
                }
                store.create_log(log, &config)?;
            }
            Ok(Placement::Log(log.clone()))
        }
        None if asked.own => Ok(Placement::With(config.for_one_channel())),
        None => Ok(Placement::With(config)),
    }
}
