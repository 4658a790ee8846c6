//! Memories as a table.

use std::ops::ControlFlow;

use super::{MemoriesFold, MemoriesState, Memory, MemoryFilter, MemoryQuery};
use crate::{Column, Literal, Row, RowSink, RowsRequest, Tabular, TextList, Value, ValueType};

const ID: usize = 0;
const SOURCE: usize = 3;
const PINNED: usize = 4;

static COLUMNS: [Column; 8] = [
    Column::new("id", ValueType::U64, "what names it").key(),
    Column::new("content", ValueType::Text, "what is to be kept"),
    Column::new("tags", ValueType::Texts, "what it is about"),
    Column::new("source", ValueType::Text, "where it comes from").indexed(),
    Column::new("pinned", ValueType::Bool, "whether it is pinned").indexed(),
    Column::new("created", ValueType::Time, "when it was stored first"),
    Column::new("updated", ValueType::Time, "when it was changed last"),
    Column::new("version", ValueType::U64, "the number of the event that changed it last"),
];

impl Tabular for MemoriesFold {
    fn columns(&self) -> &[Column] {
        &COLUMNS
    }

    fn count(&self, state: &MemoriesState) -> usize {
        state.len()
    }

    fn rows(&self, state: &MemoriesState, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        let mut filter = MemoryFilter::new();
        if let Some(ids) = request.numbers(ID) {
            filter = filter.ids(ids);
        }
        if let Some(mut sources) = request.texts(SOURCE)
            && let (Some(source), None) = (sources.next(), sources.next())
        {
            filter = filter.source(source);
        }
        if let Some(wanted) = request.values(PINNED)
            && let (Some(Literal::Bool(pinned)), 1) = (wanted.first(), wanted.len())
        {
            filter = filter.pinned(*pinned);
        }
        MemoryQuery::from(filter).walk(state).try_for_each(|memory| sink(&**memory))
    }
}

impl Row for Memory {
    fn value(&self, column: usize) -> Value<'_> {
        match COLUMNS[column].name {
            "id" => self.id.into(),
            "content" => (&*self.content).into(),
            "tags" => Value::Texts(self),
            "source" => (&*self.source).into(),
            "pinned" => self.pinned.into(),
            "created" => self.created.into(),
            "updated" => self.updated.into(),
            _ => self.version.0.into(),
        }
    }
}

/// The tags.
impl TextList for Memory {
    fn each(&self, look: &mut dyn FnMut(&str)) {
        self.tags.iter().for_each(|tag| look(tag));
    }
}
