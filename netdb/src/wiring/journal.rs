//! Names and pins of blobs as records of the node's keyed log `sys`.

use base::{ChannelName, ChannelNameError, Classify as _, ErrorKind};
use blob::{Change, Journal, Table, WiringError};
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, EventInput, Log, LogName, Placement, Store, StoreReader,
};

use crate::Error;

/// The keyed log of what belongs to the node itself.
const SYSTEM_LOG: &str = "sys";

/// Keeps each map of a blob store as a channel of the log `sys`: `sys/pins`, `sys/names`, `sys/leases`.
#[derive(Debug)]
pub(crate) struct SystemJournal {
    log: Log,
    channels: [(Table, ChannelName); 3],
}

impl SystemJournal {
    /// Opens the log in a node's directory, which is made where there is none.
    pub(crate) fn open(store: &Store) -> Result<Self, Error> {
        let name = LogName::new(SYSTEM_LOG)?;
        let log = store.create_keyed_log(&name)?;
        let mut channels = Vec::new();
        for table in Table::ALL {
            let channel = channel_of(table)?;
            store.create_channel(&channel, &ChannelConfig::default(), &Placement::Log(name.clone()))?;
            channels.push((table, channel));
        }
        let channels = channels.try_into().expect("one for each table");
        Ok(Self { log, channels })
    }

    fn channel(&self, table: Table) -> &ChannelName {
        let found = self.channels.iter().find(|(of, _)| *of == table);
        &found.expect("one for each table").1
    }
}

impl Journal for SystemJournal {
    fn write(&self, changes: &[Change<'_>]) -> Result<(), WiringError> {
        let events: Vec<_> = changes.iter().map(event_of).collect();
        let parts: Vec<_> = changes
            .iter()
            .zip(&events)
            .map(|(change, event)| ChannelEvents {
                channel: self.channel(change.table),
                events: std::slice::from_ref(event),
            })
            .collect();
        let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
        let ticket = self.log.submit(&request).map_err(|error| WiringError::new(kind_of(&error), error))?;
        let result = ticket.wait(Ack::Durable).into_result();
        result.map(|_| ()).map_err(|error| WiringError::new(kind_of(&error), error))
    }

    fn visit(&self, table: Table, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), WiringError> {
        let missing = || WiringError::new(ErrorKind::Internal, "the log `sys` is not keyed");
        let keyed = self.log.keyed().ok_or_else(missing)?;
        keyed.scan(self.channel(table), "").for_each(|record| visit(record.key, record.payload));
        Ok(())
    }
}

/// What stands in the log `sys`, for who does not write there.
#[derive(Debug)]
pub(crate) struct ReadJournal {
    reader: StoreReader,
}

impl ReadJournal {
    pub(crate) fn new(reader: &StoreReader) -> Self {
        Self { reader: reader.clone() }
    }
}

impl Journal for ReadJournal {
    fn write(&self, _: &[Change<'_>]) -> Result<(), WiringError> {
        let reason = Error::new(ErrorKind::Denied, "names and pins were opened to be read");
        Err(WiringError::new(ErrorKind::Denied, reason))
    }

    fn visit(&self, table: Table, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), WiringError> {
        let name = LogName::new(SYSTEM_LOG).map_err(|error| WiringError::new(error.kind(), error))?;
        let Some(log) = self.reader.log(&name) else { return Ok(()) };
        log.refresh().map_err(|error| WiringError::new(error.kind(), error))?;
        let channel = channel_of(table).map_err(|error| WiringError::new(error.kind(), error))?;
        let keyed = log.view().keyed();
        keyed.iter().for_each(|keyed| {
            keyed.scan(&channel, "").for_each(|record| visit(record.key, record.payload));
        });
        Ok(())
    }
}

fn channel_of(table: Table) -> Result<ChannelName, ChannelNameError> {
    ChannelName::new(&format!("{SYSTEM_LOG}/{}", table.as_str()))
}

fn kind_of(error: &impl base::Classify) -> ErrorKind {
    error.kind()
}

/// Returns the event that makes a change; one without payload deletes its key.
fn event_of<'a>(change: &Change<'a>) -> EventInput<'a> {
    let kind = match (change.table, change.value) {
        (Table::Pins, Some(_)) => "blob.pinned",
        (Table::Pins, None) => "blob.unpinned",
        (Table::Names, Some(_)) => "blob.named",
        (Table::Names, None) => "blob.unnamed",
        (Table::Leases, Some(_)) => "blob.leased",
        (Table::Leases, None) => "blob.released",
    };
    EventInput::new(kind, change.value.unwrap_or_default()).with_key(change.key)
}
