//! `net-db task`

use netdb::cortex::models::tasks::TasksFold;
use netdb::{Guard, Task, TaskCommand, TaskFilter, TaskQuery, WriteOptions};

use crate::arguments::{TaskCommands, TaskListArguments};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;
use crate::state::{self, Printed};

pub(super) fn run(context: &Context, command: TaskCommands) -> Result<(), Failure> {
    match command {
        TaskCommands::Create { title, id, write } => {
            let open = state::open_writer(context, TasksFold)?;
            let id = id.map_or_else(|| open.free_id(), Ok)?;
            let guard = Some(write.if_version.map_or(Guard::Absent, Guard::Version));
            let options = WriteOptions { guard, ..state::options(&write) };
            let written = open.model.write(&TaskCommand::Create { id, title: &title }, &options)?;
            open.finish(context, id, &written)
        }
        TaskCommands::Rename { id, title, write } => {
            change(context, &TaskCommand::Rename { id, title: &title }, &state::options(&write))
        }
        TaskCommands::Complete(one) => {
            change(context, &TaskCommand::Complete { id: one.id }, &state::options(&one.write))
        }
        TaskCommands::Delete(one) => {
            change(context, &TaskCommand::Delete { id: one.id }, &state::options(&one.write))
        }
        TaskCommands::Get { id } => state::get(context, TasksFold, id),
        TaskCommands::List(arguments) => state::list(context, TasksFold, &query(arguments)),
    }
}

fn change(context: &Context, command: &TaskCommand<'_>, options: &WriteOptions<'_>) -> Result<(), Failure> {
    let open = state::open_writer(context, TasksFold)?;
    let written = open.model.write(command, options)?;
    open.finish(context, command.id(), &written)
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
