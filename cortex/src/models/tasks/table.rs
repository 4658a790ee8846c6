//! Tasks as a table.

use std::ops::ControlFlow;

use super::{Task, TaskFilter, TaskQuery, TasksFold, TasksState};
use crate::{Column, Row, RowSink, RowsRequest, Tabular, Value, ValueType};

const ID: usize = 0;
const STATUS: usize = 2;

static COLUMNS: [Column; 6] = [
    Column::new("id", ValueType::U64, "what names it").key(),
    Column::new("title", ValueType::Text, "what is to be done"),
    Column::new("status", ValueType::Text, "pending or completed").indexed(),
    Column::new("created", ValueType::Time, "when it was created"),
    Column::new("updated", ValueType::Time, "when it was changed last"),
    Column::new("version", ValueType::U64, "the number of the event that changed it last"),
];

impl Tabular for TasksFold {
    fn columns(&self) -> &[Column] {
        &COLUMNS
    }

    fn count(&self, state: &TasksState) -> usize {
        state.len()
    }

    fn rows(&self, state: &TasksState, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        let mut filter = TaskFilter::new();
        if let Some(ids) = request.numbers(ID) {
            filter = filter.ids(ids);
        }
        if let Some(mut statuses) = request.texts(STATUS)
            && let (Some(Ok(status)), None) = (statuses.next().map(str::parse), statuses.next())
        {
            filter = filter.status(status);
        }
        TaskQuery::from(filter).walk(state).try_for_each(|task| sink(&**task))
    }
}

impl Row for Task {
    fn value(&self, column: usize) -> Value<'_> {
        match COLUMNS[column].name {
            "id" => self.id.into(),
            "title" => (&*self.title).into(),
            "status" => self.status.as_str().into(),
            "created" => self.created.into(),
            "updated" => self.updated.into(),
            _ => self.version.0.into(),
        }
    }
}
