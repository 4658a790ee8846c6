//! Which channels a statement names, found before it is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ChannelName;
use datafusion::common::{ResolvedTableReference, TableReference};
use redex::ReadError;

use super::{
    CATALOG, CHANNELS, EVENTS, FORKS, INFORMATION_SCHEMA, MODELS, PUBLIC, SKIPPED, SYSTEM, SYSTEM_TABLES,
};
use crate::QueryError;
use crate::cut::{Channel, Cut, Wanted};
use crate::error::similar;

/// Names in `public` that belong to tables, those to come included, so that no statement changes its meaning
/// when they do. A channel of such a name is found in `channels`.
const RESERVED: [&str; 6] = [EVENTS, "tasks", "memories", "workflows", "blobs", "pins"];

/// The channels that a statement names; all of them if it asks what there is.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    channels: BTreeMap<String, Channel>,
}

/// What a name in a statement stands for.
enum Meaning {
    Table,
    Listing,
    Channel(ChannelName),
    Nothing,
}

impl Directory {
    /// Finds what `names` stand for. May block.
    ///
    /// # Errors
    ///
    /// [`QueryError::TableNotFound`] with the names that are most like the first one that stands for nothing.
    pub(crate) fn resolve(cut: &Cut, names: &[TableReference]) -> Result<Self, QueryError> {
        let mut directory = Self::default();
        let mut missing = None;
        let mut all = false;
        for name in names {
            let found = match meaning(cut, name) {
                Meaning::Table => true,
                Meaning::Nothing => false,
                Meaning::Listing => {
                    all = true;
                    true
                }
                Meaning::Channel(channel) => directory.look_up(cut, &channel).map_err(read_error)?,
            };
            if !found {
                missing = missing.or(Some(name));
            }
        }
        if all || missing.is_some() {
            let channels = cut.channels().map_err(read_error)?;
            directory
                .channels
                .extend(channels.into_iter().map(|channel| (channel.name.to_string(), channel)));
        }
        match missing {
            None => Ok(directory),
            Some(name) => Err(directory.not_found(cut, name)),
        }
    }

    /// Returns the channel of this name.
    pub(super) fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }

    /// Returns the channel of this name if nothing but a model's table can hide it in `public`.
    pub(super) fn plain(&self, name: &str) -> Option<&Channel> {
        self.channel(name).filter(|_| is_plain(name))
    }

    /// Returns the names of the channels that are listed: all but those of the database itself.
    pub(super) fn listed(&self) -> impl Iterator<Item = &str> {
        let own = |channel: &&Channel| !channel.name.is_system();
        self.channels.values().filter(own).map(|channel| channel.name.as_str())
    }

    fn look_up(&mut self, cut: &Cut, name: &ChannelName) -> Result<bool, ReadError> {
        let channel = cut.channel(name)?;
        let found = channel.is_some();
        self.channels.extend(channel.map(|channel| (name.to_string(), channel)));
        Ok(found)
    }

    fn not_found(&self, cut: &Cut, name: &TableReference) -> QueryError {
        let mut shown: BTreeMap<&str, String> =
            SYSTEM_TABLES.iter().map(|table| (*table, format!("{SYSTEM}.{table}"))).collect();
        for channel in self.listed() {
            let plain = is_plain(channel);
            shown.insert(
                channel,
                if plain { channel.to_owned() } else { format!("{CHANNELS}.\"{channel}\"") },
            );
        }
        let tables = cut.tables_of(PUBLIC).map(|table| table.table.name());
        shown.extend(tables.chain([EVENTS]).map(|table| (table, table.to_owned())));
        let alike = similar(name.table(), shown.keys().copied());
        let similar = alike.iter().filter_map(|name| shown.get(name.as_str()).cloned()).collect();
        QueryError::TableNotFound { name: name.to_string(), similar }
    }
}

fn read_error(source: ReadError) -> QueryError {
    QueryError::Read { source: Arc::new(source) }
}

/// Finds what a statement that uses `names` wants beside the logs.
pub(crate) fn wanted(names: &[TableReference]) -> Wanted {
    let mut wanted = Wanted::default();
    for name in names {
        let ResolvedTableReference { catalog, schema, table } = name.clone().resolve(CATALOG, PUBLIC);
        match (&*catalog, &*schema, &*table) {
            (CATALOG, SYSTEM, FORKS) => wanted.forks = true,
            (CATALOG, SYSTEM, MODELS) => wanted.models = true,
            (CATALOG, SYSTEM, SKIPPED) => wanted.skipped = true,
            (CATALOG, SYSTEM, table) => {
                wanted.system_tables.insert(table.to_owned());
            }
            (CATALOG, PUBLIC, table) => {
                wanted.tables.insert(table.to_owned());
            }
            _ => {}
        }
    }
    wanted
}

fn meaning(cut: &Cut, name: &TableReference) -> Meaning {
    let ResolvedTableReference { catalog, schema, table } = name.clone().resolve(CATALOG, PUBLIC);
    match (&*catalog, &*schema, &*table) {
        (CATALOG, INFORMATION_SCHEMA, _) => Meaning::Listing,
        (CATALOG, PUBLIC, EVENTS) => Meaning::Table,
        (CATALOG, SYSTEM, table) if SYSTEM_TABLES.contains(&table) => Meaning::Table,
        (CATALOG, PUBLIC | SYSTEM, table) if cut.table(&schema, table).is_some() => Meaning::Table,
        (CATALOG, PUBLIC, table) if is_plain(table) => channel(table),
        (CATALOG, CHANNELS, table) => channel(table),
        _ => Meaning::Nothing,
    }
}

fn channel(name: &str) -> Meaning {
    ChannelName::new(name).map_or(Meaning::Nothing, Meaning::Channel)
}

/// Tells whether a channel of this name stands in `public`, where no model's table has it: a name that needs no
/// quotes, and is not reserved.
pub(super) fn is_plain(name: &str) -> bool {
    is_name(name) && !RESERVED.contains(&name)
}

/// Tells whether a name needs no quotes: lower-case letters, digits and `_`, no digit first.
pub(crate) fn is_name(name: &str) -> bool {
    let letter = |c: u8| c.is_ascii_lowercase() || c == b'_';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn plain_names_need_no_quotes_and_hide_no_table() {
        for name in ["flights", "a_1", "_x", "system"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "Orders", "orders/audit", "1a", "a-b", "a.b", "events", "tasks", "pins"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
