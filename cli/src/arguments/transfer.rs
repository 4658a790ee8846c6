//! The arguments of `import` and `export`.

use std::path::PathBuf;

use clap::Args;
use netdb::base::ChannelName;

use crate::import::Mapping;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The channel of records that name none in `netdbchannel`.
    #[arg(long, value_name = "CHANNEL", value_parser = super::log::own_channel)]
    pub(crate) channel: Option<ChannelName>,
    /// What this import is recognised by when it is run again [default: channel and path; for standard
    /// input the hash of its first 64 KiB].
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) id: Option<String>,
    /// Import everything anew, whatever earlier runs imported.
    #[arg(long)]
    pub(crate) again: bool,
    /// The fields that hold kind, key, time and payload, such as `kind=event,key=user` [default:
    /// kind=type,key=subject,time=time,payload=data].
    #[arg(long, value_name = "TARGET=FIELD,..")]
    pub(crate) map: Option<Mapping>,
    /// The file to read, or `-` for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Only this channel [default: all but those of the database itself].
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<ChannelName>,
    /// Begin with this sequence number of the channel.
    #[arg(long, value_name = "N", requires = "channel")]
    pub(crate) from: Option<u64>,
    /// End before this sequence number of the channel.
    #[arg(long, value_name = "N", requires = "channel")]
    pub(crate) to: Option<u64>,
    /// The file to write, replaced as a whole at the end; `-` for standard output.
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub(crate) file: PathBuf,
}
