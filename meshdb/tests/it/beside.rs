//! Tables of what stands beside the logs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Classify as _, ErrorKind, Position};
use cortex::{Column, ModelTable, PinnedTable, Row, RowSink, RowsRequest, Value, ValueType};
use meshdb::{BesideError, BesideSchema, BesideTable, ModelTableError, QueryError};

use crate::fixture::Fixture;
use crate::models::accounts::{Accounts, Bank};

const COLUMNS: [Column; 2] = [
    Column::new("shelf", ValueType::U64, "where it stands").key(),
    Column::new("thing", ValueType::Text, "what it is").or_null(),
];

/// Things on shelves, more of them each time somebody looks.
struct Shelves {
    schema: BesideSchema,
    name: &'static str,
    opened: Arc<AtomicUsize>,
    fault: Option<BesideError>,
}

impl Shelves {
    fn new(schema: BesideSchema, name: &'static str) -> Self {
        Self { schema, name, opened: Arc::default(), fault: None }
    }
}

impl BesideTable for Shelves {
    fn schema(&self) -> BesideSchema {
        self.schema
    }

    fn table(&self) -> &str {
        self.name
    }

    fn columns(&self) -> &[Column] {
        &COLUMNS
    }

    fn open(&self) -> Result<Arc<dyn PinnedTable>, BesideError> {
        let opened = self.opened.fetch_add(1, Ordering::Relaxed);
        self.fault.clone().map_or(Ok(Arc::new(Rows(2 + opened as u64))), Err)
    }
}

struct Rows(u64);

impl PinnedTable for Rows {
    fn position(&self) -> Option<Position> {
        None
    }

    /// Not quite right.
    fn count(&self) -> usize {
        1
    }

    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        let wanted: Option<Vec<u64>> = request.numbers(0).map(Iterator::collect);
        let shelves = (0..self.0).filter(|shelf| wanted.as_ref().is_none_or(|wanted| wanted.contains(shelf)));
        shelves.into_iter().try_for_each(|shelf| sink(&Shelf(shelf)))
    }
}

struct Shelf(u64);

impl Row for Shelf {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => self.0.into(),
            _ => (self.0 > 0).then(|| format!("box {}", self.0)).into(),
        }
    }
}

fn with(tables: Vec<Shelves>) -> Fixture {
    let mut fixture = Fixture::new();
    let tables = tables.into_iter().map(|table| Arc::new(table) as Arc<dyn BesideTable>).collect();
    fixture.gateway = fixture.gateway.clone().with_tables(tables).unwrap();
    fixture
}

fn shown(fixture: &Fixture, sql: &str) -> String {
    let batches = fixture.run(sql).unwrap();
    let mut text = Vec::new();
    if let Some(first) = batches.first() {
        meshdb::output::table(&first.schema(), &batches, &mut text).unwrap();
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn rows_beside_the_logs_are_asked_like_others_and_only_by_who_names_them() {
    let (public, system) =
        (Shelves::new(BesideSchema::Public, "shelves"), Shelves::new(BesideSchema::System, "shelves"));
    let (opened, of_system) = (Arc::clone(&public.opened), Arc::clone(&system.opened));
    let fixture = with(vec![public, system]);
    fixture.run("select * from events").unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 0);
    // The count of rows is counted, not believed.
    assert!(shown(&fixture, "select count(*) as n from shelves").contains("| 2"));
    assert!(shown(&fixture, "select count(*) as n from shelves").contains("| 3"));
    assert_eq!((opened.load(Ordering::Relaxed), of_system.load(Ordering::Relaxed)), (2, 0));
    let found = shown(&fixture, "select thing from system.shelves where shelf = 1");
    assert!(found.contains("box 1") && !found.contains("box 0"), "{found}");
    assert_eq!((opened.load(Ordering::Relaxed), of_system.load(Ordering::Relaxed)), (2, 1));
    let plan = shown(&fixture, "explain select thing from shelves where shelf = 1");
    assert!(plan.contains("shelf=[1]") && !plan.contains("position="), "{plan}");
    let tables = shown(&fixture, "show tables");
    assert_eq!(tables.matches("shelves").count(), 2, "{tables}");
    assert!(matches!(fixture.run("select * from system.boxes"), Err(QueryError::TableNotFound { .. })));
}

#[test]
fn what_cannot_be_opened_is_an_error_of_its_kind_and_nothing_else_is_affected() {
    let mut table = Shelves::new(BesideSchema::Public, "shelves");
    table.fault = Some(BesideError { kind: ErrorKind::Unavailable, reason: "the room is locked".into() });
    let fixture = with(vec![table]);
    let error = fixture.run("select * from shelves").unwrap_err();
    assert_eq!(error.to_string(), "table `shelves` cannot be read: the room is locked");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    fixture.run("select * from events").unwrap();
    fixture.run("describe shelves").unwrap();
}

#[test]
fn a_name_that_is_taken_is_refused_in_its_schema_only() {
    let add = |fixture: Fixture, schema, name| {
        fixture.gateway.with_tables(vec![Arc::new(Shelves::new(schema, name)) as _]).map(drop)
    };
    let (public, system) = (BesideSchema::Public, BesideSchema::System);
    for (schema, name) in [(public, "events"), (system, "logs"), (system, "forks"), (public, "Shelves")] {
        let refused = add(Fixture::new(), schema, name);
        assert!(matches!(refused, Err(ModelTableError::Name { .. })), "{name}: {refused:?}");
    }
    add(Fixture::new(), public, "logs").unwrap();
    add(Fixture::new(), system, "events").unwrap();
    let twice = add(with(vec![Shelves::new(public, "shelves")]), public, "shelves");
    assert!(matches!(twice, Err(ModelTableError::Twice { .. })), "{twice:?}");

    let bank = Bank::new();
    let refused = add(bank.fixture, public, "accounts");
    assert!(matches!(refused, Err(ModelTableError::Twice { .. })), "{refused:?}");
    let bank = Bank::hidden(Accounts::named("accounts"), cortex::ErrorPolicy::Stop, cortex::RunMode::Manual);
    let gateway = bank.fixture.gateway.with_tables(vec![Arc::new(Shelves::new(public, "accounts")) as _]);
    let model: Arc<dyn ModelTable> = Arc::new(bank.accounts.clone());
    let refused = gateway.unwrap().with_models(bank.runner, vec![model]).map(drop);
    assert!(matches!(refused, Err(ModelTableError::Twice { .. })), "{refused:?}");
}
