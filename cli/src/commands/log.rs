//! `net-db log ...`

mod append;
mod channels;
mod cut_off;
mod events;
mod fsck;
mod info;
mod place;
mod read;
mod redact;
mod space;
mod tail;
mod verify;

use crate::arguments::LogCommand;
use crate::context::Context;
use crate::exit::Failure;

pub(super) fn run(context: &Context, command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Append(arguments) => append::run(context, &arguments),
        LogCommand::Read(arguments) => read::run(context, arguments),
        LogCommand::Tail(arguments) => tail::run(context, &arguments),
        LogCommand::Redact(arguments) => redact::run(context, arguments),
        LogCommand::Create(arguments) => place::create(context, &arguments),
        LogCommand::Move(arguments) => place::go(context, &arguments),
        LogCommand::Set(arguments) => place::set(context, &arguments),
        LogCommand::Channels => channels::run(context),
        LogCommand::Info => info::run(context),
        LogCommand::Verify(arguments) => verify::run(context, arguments),
        LogCommand::Fsck(arguments) => fsck::run(context, &arguments),
        LogCommand::Space => space::run(context),
        LogCommand::CutOff(arguments) => cut_off::run(context, &arguments),
    }
}
