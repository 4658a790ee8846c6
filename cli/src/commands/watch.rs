//! `net-db watch`

use netdb::cortex::models::memories::MemoriesFold;
use netdb::cortex::models::tasks::TasksFold;

use crate::arguments::WatchCommand;
use crate::context::Context;
use crate::exit::Failure;
use crate::state;

pub(super) fn run(context: &Context, command: WatchCommand) -> Result<(), Failure> {
    match command {
        WatchCommand::Tasks(arguments) => state::watch(context, TasksFold, super::task::query(arguments)),
        WatchCommand::Memories(arguments) => {
            state::watch(context, MemoriesFold, super::memory::query(&arguments))
        }
    }
}
