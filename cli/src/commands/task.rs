//! `net-db task`

use netdb::cortex::models::tasks::TasksFold;
use netdb::{Guard, Seq, Task, TaskCommand, TaskFilter, TaskQuery, WriteOptions};
use serde_json::{Value, json};

use crate::arguments::{TaskCommands, TaskListArguments, WriteArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::remote::Remote;
use crate::state::{self, Opened, Printed};

/// Where a server has tasks.
const PATH: &str = "/v1/tasks";

pub(super) fn run(context: &Context, command: TaskCommands) -> Result<(), Failure> {
    match command {
        TaskCommands::Create { title, id, write } => {
            let open = match state::open_writer(context, TasksFold)? {
                Opened::Here(open) => open,
                Opened::There(remote) => {
                    let body = json!({ "title": title, "id": id });
                    return state::change_there::<Task>(context, &remote, PATH, &write, Some(&body));
                }
            };
            let id = id.map_or_else(|| open.free_id(), Ok)?;
            let guard = Some(write.if_version.map_or(Guard::Absent, Guard::Version));
            let options = WriteOptions { guard, ..state::options(&write) };
            let written = open.model.write(&TaskCommand::Create { id, title: &title }, &options)?;
            open.finish(context, id, &written)
        }
        TaskCommands::Rename { id, title, write } => {
            change(context, &TaskCommand::Rename { id, title: &title }, &write)
        }
        TaskCommands::Complete(one) => change(context, &TaskCommand::Complete { id: one.id }, &one.write),
        TaskCommands::Delete(one) => change(context, &TaskCommand::Delete { id: one.id }, &one.write),
        TaskCommands::Get { id } => state::get(context, TasksFold, id),
        TaskCommands::List(arguments) => state::list(context, TasksFold, &query(arguments)),
    }
}

fn change(context: &Context, command: &TaskCommand<'_>, write: &WriteArguments) -> Result<(), Failure> {
    match state::open_writer(context, TasksFold)? {
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
    command: &TaskCommand<'_>,
    write: &WriteArguments,
) -> Result<(), Failure> {
    let (verb, body) = match command {
        TaskCommand::Delete { id } => {
            return state::delete_there::<Task>(context, remote, &format!("{PATH}/{id}"), write);
        }
        TaskCommand::Rename { title, .. } => ("rename", Some(json!({ "title": title }))),
        TaskCommand::Complete { .. } => ("complete", None),
        TaskCommand::Create { .. } | TaskCommand::Replace { .. } => {
            return Err(Failure::new(Code::Failed, "a task is created by `create`: report this"));
        }
    };
    let path = format!("{PATH}/{}/{verb}", command.id());
    state::change_there::<Task>(context, remote, &path, write, body.as_ref())
}

/// Which tasks were asked for.
pub(super) fn query(arguments: TaskListArguments) -> TaskQuery {
    let mut filter = TaskFilter::new();
    if let Some(status) = arguments.status {
        filter = filter.status(status);
    }
    if let Some(text) = &arguments.contains {
        filter = filter.title_contains(text);
    }
    let mut query = TaskQuery::from(filter).order(arguments.page.order);
    query.limit = arguments.page.limit;
    query
}

impl Printed for Task {
    const NOUN: &'static str = "task";
    const COLUMNS: &'static [&'static str] = &["id", "title", "status", "created", "updated", "version"];

    fn read(told: &Value) -> Option<Self> {
        let created = told["created"].as_str()?.parse().ok()?;
        let mut task = Self::new(told["id"].as_u64()?, told["title"].as_str()?, created);
        task.status = told["status"].as_str()?.parse().ok()?;
        task.updated = told["updated"].as_str()?.parse().ok()?;
        task.version = Seq(told["version"].as_u64()?);
        Some(task)
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Number(self.id),
            Cell::Text((&*self.title).into()),
            Cell::Text(self.status.as_str().into()),
            Cell::display(self.created),
            Cell::display(self.updated),
            state::version(self.version),
        ]
    }
}
