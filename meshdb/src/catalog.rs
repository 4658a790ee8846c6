//! The names that a statement can use: `public`, `channels` and `system`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::TableType;

use crate::cut::Cut;
use crate::result::Meter;
use crate::tables::events::{EventsTable, Scope};
use crate::tables::model::RowsTable;
use crate::tables::{channels, forks, incarnations, logs, models, quarantine, segments, skipped};

mod directory;

pub(crate) use directory::{Directory, is_name, wanted};

/// The one catalog.
pub(crate) const CATALOG: &str = "netdb";
/// The schema of names without one: `events`, the models, and the channels whose names are plain.
pub(crate) const PUBLIC: &str = "public";
/// The schema of all channels by their exact names.
pub(crate) const CHANNELS: &str = "channels";
/// The schema that describes the database.
pub(crate) const SYSTEM: &str = "system";
/// The engine's own schema, made of the others.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

/// The table of all events.
pub(crate) const EVENTS: &str = "events";
/// The tables of [`SYSTEM`].
pub(crate) const SYSTEM_TABLES: [&str; 8] =
    ["channels", FORKS, "incarnations", "logs", MODELS, "quarantine", "segments", SKIPPED];
/// What proves that a key signed two histories.
pub(crate) const FORKS: &str = "forks";
/// How models stand.
pub(crate) const MODELS: &str = "models";
/// What models left out.
pub(crate) const SKIPPED: &str = "skipped";

/// The tables of one statement. All of them show one cut.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    cut: Arc<Cut>,
    directory: Arc<Directory>,
    meter: Arc<Meter>,
}

impl Catalog {
    pub(crate) fn new(cut: Arc<Cut>, directory: Directory, meter: Arc<Meter>) -> Self {
        Self { cut, directory: Arc::new(directory), meter }
    }

    fn rows(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
        let table = self.cut.table(schema, name)?;
        Some(Arc::new(RowsTable::new(table.clone(), Arc::clone(&self.meter))))
    }

    fn events(&self, scope: Scope) -> Arc<dyn TableProvider> {
        Arc::new(EventsTable::new(Arc::clone(&self.cut), Arc::clone(&self.meter), scope))
    }
}

impl CatalogProviderList for Catalog {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as _)
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        [CHANNELS, PUBLIC, SYSTEM].map(str::to_owned).to_vec()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let kind = match name {
            PUBLIC => Kind::Public,
            CHANNELS => Kind::Channels,
            SYSTEM => Kind::System,
            _ => return None,
        };
        Some(Arc::new(Schema { kind, catalog: self.clone() }))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Public,
    Channels,
    System,
}

struct Schema {
    kind: Kind,
    catalog: Catalog,
}

impl Schema {
    fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let cut = &self.catalog.cut;
        let directory = &self.catalog.directory;
        let channel = match (self.kind, name) {
            (Kind::System, "channels") => return channels::table(cut).map(Some),
            (Kind::System, FORKS) => return forks::table(cut).map(Some),
            (Kind::System, "incarnations") => return incarnations::table(cut).map(Some),
            (Kind::System, "logs") => return logs::table(cut).map(Some),
            (Kind::System, MODELS) => return models::table(cut).map(Some),
            (Kind::System, "quarantine") => return quarantine::table(cut).map(Some),
            (Kind::System, "segments") => return segments::table(cut).map(Some),
            (Kind::System, SKIPPED) => return skipped::table(cut).map(Some),
            (Kind::System, _) => return Ok(self.catalog.rows(SYSTEM, name)),
            (Kind::Public, EVENTS) => return Ok(Some(self.catalog.events(Scope::All))),
            (Kind::Public, _) if cut.table(PUBLIC, name).is_some() => {
                return Ok(self.catalog.rows(PUBLIC, name));
            }
            (Kind::Public, _) => directory.plain(name),
            (Kind::Channels, _) => directory.channel(name),
        };
        Ok(channel.map(|channel| self.catalog.events(Scope::Channel(channel.clone()))))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        let listed = self.catalog.directory.listed();
        match self.kind {
            Kind::System => {
                let tables = self.catalog.cut.tables_of(SYSTEM).map(|table| table.table.name());
                tables.chain(SYSTEM_TABLES).map(str::to_owned).collect()
            }
            Kind::Channels => listed.map(str::to_owned).collect(),
            Kind::Public => {
                let tables = self.catalog.cut.tables_of(PUBLIC).map(|table| table.table.name());
                let plain = listed.filter(|name| directory::is_plain(name));
                // A table of rows hides the channel of its name.
                let names: BTreeSet<&str> = tables.chain(plain).chain([EVENTS]).collect();
                names.into_iter().map(str::to_owned).collect()
            }
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.find(name)
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        let (cut, directory) = (&self.catalog.cut, &self.catalog.directory);
        match self.kind {
            Kind::System => SYSTEM_TABLES.contains(&name) || cut.table(SYSTEM, name).is_some(),
            Kind::Channels => directory.channel(name).is_some(),
            Kind::Public => {
                name == EVENTS || cut.table(PUBLIC, name).is_some() || directory.plain(name).is_some()
            }
        }
    }
}
