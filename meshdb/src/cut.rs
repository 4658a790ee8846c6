//! The cut: one position in every log, pinned when a statement begins.

use std::sync::Arc;

use base::ChannelName;
use redex::{ChannelInfo, LogReader, LogView, ReadError, StoreReader};

/// Where a gateway finds the logs that exist when a statement begins.
///
/// # Contract
///
/// Logs of one origin have different names. Called once for each statement, on a thread that may block.
pub trait LogSource: Send + Sync + 'static {
    /// Returns all logs.
    fn logs(&self) -> Vec<LogReader>;
}

impl LogSource for Vec<LogReader> {
    fn logs(&self) -> Vec<LogReader> {
        self.clone()
    }
}

impl LogSource for StoreReader {
    fn logs(&self) -> Vec<LogReader> {
        StoreReader::logs(self).to_vec()
    }
}

/// A log as one statement sees it.
#[derive(Debug)]
pub(crate) struct PinnedLog {
    pub name: String,
    pub id: String,
    /// The origin in hexadecimal.
    pub origin: String,
    pub view: LogView,
}

/// All logs as one statement sees them.
#[derive(Debug)]
pub(crate) struct Cut {
    pub logs: Vec<Arc<PinnedLog>>,
}

/// A channel and the logs that hold parts of it, oldest creation first.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub name: ChannelName,
    pub parts: Vec<ChannelPart>,
}

/// What one log holds of a channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelPart {
    pub log: Arc<PinnedLog>,
    pub info: ChannelInfo,
}

impl Cut {
    /// Pins every log where it is visible now. May block.
    pub(crate) fn pin(source: &dyn LogSource) -> Result<Self, ReadError> {
        let logs = source.logs().iter().map(pin).collect::<Result<_, _>>()?;
        Ok(Self { logs })
    }

    /// Looks a channel up. May block.
    pub(crate) fn channel(&self, name: &ChannelName) -> Result<Option<Channel>, ReadError> {
        let mut parts = Vec::new();
        for log in &self.logs {
            let info = log.view.channel(name)?;
            parts.extend(info.map(|info| ChannelPart { log: Arc::clone(log), info }));
        }
        Ok(Channel::of(parts))
    }

    /// Returns all channels, sorted by name. May block.
    pub(crate) fn channels(&self) -> Result<Vec<Channel>, ReadError> {
        let mut parts = Vec::new();
        for log in &self.logs {
            let infos = log.view.channels()?.into_iter();
            parts.extend(infos.map(|info| ChannelPart { log: Arc::clone(log), info }));
        }
        parts.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let same = |a: &ChannelPart, b: &ChannelPart| a.info.name == b.info.name;
        Ok(parts.chunk_by(same).filter_map(|parts| Channel::of(parts.to_vec())).collect())
    }
}

impl Channel {
    fn of(mut parts: Vec<ChannelPart>) -> Option<Self> {
        parts.sort_by_key(|part| part.info.created_at);
        let name = parts.first()?.info.name.clone();
        Some(Self { name, parts })
    }
}

fn pin(reader: &LogReader) -> Result<Arc<PinnedLog>, ReadError> {
    reader.refresh()?;
    Ok(Arc::new(PinnedLog {
        name: reader.name().to_owned(),
        id: reader.id().to_string(),
        origin: reader.origin().to_string(),
        view: reader.view(),
    }))
}
