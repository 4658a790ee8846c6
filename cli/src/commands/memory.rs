//! `net-db memory`

use netdb::cortex::models::memories::MemoriesFold;
use netdb::{Memory, MemoryCommand, MemoryFilter, MemoryQuery, WriteOptions};

use crate::arguments::{MemoryCommands, MemoryFindArguments};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;
use crate::state::{self, Printed};
use records::json;

pub(super) fn run(context: &Context, command: MemoryCommands) -> Result<(), Failure> {
    match command {
        MemoryCommands::Store { content, id, tags, source, write } => {
            let open = state::open_writer(context, MemoriesFold)?;
            let id = id.map_or_else(|| open.free_id(), Ok)?;
            let tags = texts(&tags);
            let command = MemoryCommand::Store { id, content: &content, tags: &tags, source: &source };
            let written = open.model.write(&command, &state::options(&write))?;
            open.finish(context, id, &written)
        }
        MemoryCommands::Retag { id, tags, write } => {
            change(context, &MemoryCommand::Retag { id, tags: &texts(&tags) }, &state::options(&write))
        }
        MemoryCommands::Pin(one) => {
            change(context, &MemoryCommand::Pin { id: one.id }, &state::options(&one.write))
        }
        MemoryCommands::Unpin(one) => {
            change(context, &MemoryCommand::Unpin { id: one.id }, &state::options(&one.write))
        }
        MemoryCommands::Delete(one) => {
            change(context, &MemoryCommand::Delete { id: one.id }, &state::options(&one.write))
        }
        MemoryCommands::Get { id } => state::get(context, MemoriesFold, id),
        MemoryCommands::Find(arguments) => state::list(context, MemoriesFold, &query(&arguments)),
    }
}

fn change(context: &Context, command: &MemoryCommand<'_>, options: &WriteOptions<'_>) -> Result<(), Failure> {
    let open = state::open_writer(context, MemoriesFold)?;
    let written = open.model.write(command, options)?;
    open.finish(context, command.id(), &written)
}

/// Which memories were asked for.
pub(super) fn query(arguments: &MemoryFindArguments) -> MemoryQuery {
    let mut filter = MemoryFilter::new().all_tags(texts(&arguments.tags)).any_tag(texts(&arguments.any_tags));
    if let Some(text) = &arguments.contains {
        filter = filter.content_contains(text);
    }
    if let Some(source) = &arguments.source {
        filter = filter.source(source);
    }
    if arguments.pinned {
        filter = filter.pinned(true);
    }
    let mut query = MemoryQuery::from(filter).order(arguments.page.order);
    query.limit = arguments.page.limit;
    query
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

impl Printed for Memory {
    const NOUN: &'static str = "memory";
    const COLUMNS: &'static [&'static str] =
        &["id", "content", "tags", "source", "pinned", "created", "updated", "version"];

    fn cells(&self) -> Vec<Cell<'_>> {
        let mut tags = vec![b'['];
        for (place, tag) in self.tags.iter().enumerate() {
            if place > 0 {
                tags.push(b',');
            }
            json::push_string(&mut tags, tag);
        }
        tags.push(b']');
        vec![
            Cell::Number(self.id),
            Cell::Text((&*self.content).into()),
            Cell::Json(String::from_utf8_lossy(&tags).into_owned().into()),
            Cell::Text((&*self.source).into()),
            Cell::Json(if self.pinned { "true" } else { "false" }.into()),
            Cell::display(self.created),
            Cell::display(self.updated),
            state::version(self.version),
        ]
    }
}
