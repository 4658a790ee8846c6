//! `net-db memory`

use std::sync::Arc;

use netdb::cortex::models::memories::MemoriesFold;
use netdb::{Guard, Memory, MemoryCommand, MemoryFilter, MemoryQuery, Seq, WriteOptions};
use serde_json::{Value, json};

use crate::arguments::{MemoryCommands, MemoryFindArguments, WriteArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::remote::Remote;
use crate::state::{self, Opened, Printed};
use records::json as json_text;

/// Where a server has memories.
const PATH: &str = "/v1/memories";

pub(super) fn run(context: &Context, command: MemoryCommands) -> Result<(), Failure> {
    match command {
        MemoryCommands::Store { content, id, tags, source, write } => {
            let open = match state::open_writer(context, MemoriesFold)? {
                Opened::Here(open) => open,
                Opened::There(remote) => {
                    let body = json!({ "content": content, "id": id, "tags": tags, "source": source });
                    return state::change_there::<Memory>(context, &remote, PATH, &write, Some(&body));
                }
            };
            // An id that seemed free is not to take another one's place.
            let is_free = id.is_none().then_some(Guard::Absent);
            let guard = write.if_version.map(Guard::Version).or(is_free);
            let options = WriteOptions { guard, ..state::options(&write) };
            let id = id.map_or_else(|| open.free_id(), Ok)?;
            let tags = texts(&tags);
            let command = MemoryCommand::Store { id, content: &content, tags: &tags, source: &source };
            let written = open.model.write(&command, &options)?;
            open.finish(context, id, &written)
        }
        MemoryCommands::Retag { id, tags, write } => {
            change(context, &MemoryCommand::Retag { id, tags: &texts(&tags) }, &write)
        }
        MemoryCommands::Pin(one) => change(context, &MemoryCommand::Pin { id: one.id }, &one.write),
        MemoryCommands::Unpin(one) => change(context, &MemoryCommand::Unpin { id: one.id }, &one.write),
        MemoryCommands::Delete(one) => change(context, &MemoryCommand::Delete { id: one.id }, &one.write),
        MemoryCommands::Get { id } => state::get(context, MemoriesFold, id),
        MemoryCommands::Find(arguments) => state::list(context, MemoriesFold, &query(&arguments)),
    }
}

fn change(context: &Context, command: &MemoryCommand<'_>, write: &WriteArguments) -> Result<(), Failure> {
    match state::open_writer(context, MemoriesFold)? {
        Opened::Here(open) => {
            let written = open.model.write(command, &state::options(write))?;
            open.finish(context, command.id(), &written)
        }
        Opened::There(remote) => change_there(context, &remote, command, write),
    }
}

fn change_there(
    context: &Context,
    remote: &Remote,
    command: &MemoryCommand<'_>,
    write: &WriteArguments,
) -> Result<(), Failure> {
    let (verb, body) = match command {
        MemoryCommand::Delete { id } => {
            return state::delete_there::<Memory>(context, remote, &format!("{PATH}/{id}"), write);
        }
        MemoryCommand::Retag { tags, .. } => ("retag", Some(json!({ "tags": tags }))),
        MemoryCommand::Pin { .. } => ("pin", None),
        MemoryCommand::Unpin { .. } => ("unpin", None),
        MemoryCommand::Store { .. } => {
            return Err(Failure::new(Code::Failed, "a memory is stored by `store`: report this"));
        }
    };
    let path = format!("{PATH}/{}/{verb}", command.id());
    state::change_there::<Memory>(context, remote, &path, write, body.as_ref())
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

    fn read(told: &Value) -> Option<Self> {
        let created = told["created"].as_str()?.parse().ok()?;
        let mut memory = Self::new(told["id"].as_u64()?, told["content"].as_str()?, created);
        let tags = told["tags"].as_array()?.iter();
        memory.tags = tags.map(|tag| tag.as_str().map(Arc::from)).collect::<Option<_>>()?;
        memory.source = told["source"].as_str()?.into();
        memory.pinned = told["pinned"].as_bool()?;
        memory.updated = told["updated"].as_str()?.parse().ok()?;
        memory.version = Seq(told["version"].as_u64()?);
        Some(memory)
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let mut tags = vec![b'['];
        for (place, tag) in self.tags.iter().enumerate() {
            if place > 0 {
                tags.push(b',');
            }
            json_text::push_string(&mut tags, tag);
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
