//! `net-db import`

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};

use netdb::base::ChannelName;
use netdb::redex::Store;

use crate::arguments::ImportArguments;
use crate::context::{Context, Target};
use crate::exit::{Code, Failure};
use crate::import::{Ended, Producer, Rest, Sink, Source, Together, Writer};
use crate::progress::Progress;

/// The log of channels that nobody placed elsewhere.
const MAIN: &str = "main";

pub(super) fn run(context: &Context, arguments: ImportArguments) -> Result<(), Failure> {
    let channel = arguments.channel;
    let source = Source::open(&arguments.file, channel.as_ref())?;
    let name = source.name.clone();
    let id = arguments.id.as_ref().unwrap_or(&source.id);

    let target = context.open_target()?;
    let producer = if arguments.again { Producer::again(&target, id) } else { Producer::newest(&target, id) };
    let producer = producer?;
    let together = together(&target)?;
    let rest = Rest::behind(&producer, source, arguments.map.unwrap_or_default(), channel, together)?;
    if rest.records_before > 0 {
        context.note(format_args!("{} records of {name} were imported before", rest.records_before));
    }

    let sink = match &target {
        Target::Here(store) => Sink::Here(store),
        Target::There(remote) => Sink::There(remote),
    };
    let mut writer = Writer::new(sink, &producer.id, rest.records_before);
    let mut progress = Progress::new(context);
    let ended = rest.import(context, &mut writer, |records| {
        progress.show(|_| format!("{records} records are durable"));
    });
    progress.clear();
    let durable = writer.durable_records();
    // The reading thread may still have the store when it was interrupted.
    let closed = match &target {
        Target::Here(store) => store.close(),
        Target::There(_) => Ok(()),
    };
    let result = match ended {
        Ok(ended) => closed.map_err(Failure::from).and_then(|()| verdict(ended, &name, durable)),
        Err(failure) => Err(failure.context(&name).hint(how_to_go_on(durable))),
    };
    writeln!(io::stdout(), "acknowledged {durable}")?;
    result
}

/// Tells which channels may be in one batch; everything may where there is one log.
fn together(target: &Target) -> Result<Option<Together>, Failure> {
    let store = match target {
        Target::Here(store) => Store::clone(store),
        Target::There(remote) => return Ok(together_there(remote.channels()?)),
    };
    let id = |store: &Store, channel: &ChannelName| store.log_of(channel).reader().id();
    Ok((store.logs().len() > 1).then(|| {
        Box::new(move |one: &ChannelName, other: &ChannelName| id(&store, one) == id(&store, other)) as _
    }))
}

/// The same, by the channels that a server told of; others come to live in `main`.
fn together_there(channels: Vec<(String, String)>) -> Option<Together> {
    let elsewhere: BTreeMap<String, String> = channels.into_iter().filter(|(_, log)| log != MAIN).collect();
    let log = |known: &BTreeMap<String, String>, channel: &ChannelName| known.get(channel.as_str()).cloned();
    (!elsewhere.is_empty()).then(|| {
        Box::new(move |one: &ChannelName, other: &ChannelName| log(&elsewhere, one) == log(&elsewhere, other))
            as _
    })
}

fn verdict(ended: Ended, name: &str, durable: u64) -> Result<(), Failure> {
    match ended {
        Ended::Input => Ok(()),
        Ended::Bad { line, reason } => {
            let message = format!("{name}, line {line}: {reason}");
            Err(Failure::new(Code::Failed, message)
                .hint(format_args!("mend or complete the line; {}", how_to_go_on(durable))))
        }
        Ended::Interrupted => {
            Err(Failure::new(Code::Interrupted, format!("{name}: interrupted")).hint(how_to_go_on(durable)))
        }
    }
}

fn how_to_go_on(durable: u64) -> impl fmt::Display {
    format!("{durable} records are durable, run the same command again to go on behind them")
}
