//! SQL from the command line and from a prompt.

mod answer;
mod command;
mod helper;
mod prompt;
mod session;
mod statements;

use crate::context::Context;
use crate::exit::Failure;
use session::Session;
use statements::Statements;

/// Runs the statements of a text, each ended by `;` but for the last, up to the first that fails.
pub(crate) fn run_script(context: &Context, text: &str) -> Result<(), Failure> {
    let mut session = Session::open(context)?;
    for statement in Statements::of(text).all() {
        session.run(statement)?;
    }
    Ok(())
}

/// Reads statements from the terminal and runs them.
pub(crate) fn run_prompt(context: &Context) -> Result<(), Failure> {
    prompt::run(&mut Session::open(context)?)
}
