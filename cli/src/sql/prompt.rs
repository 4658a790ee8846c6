//! The prompt: lines in, statements out.

use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use super::command::{HELP, PromptCommand};
use super::helper::PromptHelper;
use super::session::Session;
use super::statements::Statements;
use crate::context::say;
use crate::exit::{Code, Failure};

const PROMPT: &str = "netdb> ";
/// What `\\d` asks.
const TABLES: &str = "select table_schema as schema, table_name as \"table\" from information_schema.tables \
     where table_schema <> 'information_schema' order by 1, 2";
const HISTORY_FILE: &str = ".netdb_history";

type PromptEditor = Editor<PromptHelper, DefaultHistory>;

/// Whether the prompt goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Quit,
}

/// Reads and runs statements until the user leaves. A statement that fails is told, and the prompt goes on.
pub(super) fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor = PromptEditor::with_config(config).map_err(|error| cannot_prompt(&error))?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none at the first time.
        let _ = editor.load_history(history);
    }
    say(format_args!("`\\?` for help, `\\q` to leave"));
    let result = read_and_run(session, &mut editor);
    if let Some(history) = &history
        && let Err(cause) = editor.save_history(history)
    {
        tracing::warn!(%cause, file = %history.display(), "history not saved");
    }
    result
}

fn read_and_run(session: &mut Session<'_>, editor: &mut PromptEditor) -> Result<(), Failure> {
    loop {
        editor.set_helper(Some(PromptHelper { names: session.names() }));
        match editor.readline(PROMPT) {
            Ok(input) => {
                if act(session, &input)? == Next::Quit {
                    return Ok(());
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(cannot_prompt(&error)),
        }
    }
}

/// Does what was typed. Fails only when the output is gone.
fn act(session: &mut Session<'_>, input: &str) -> Result<Next, Failure> {
    match PromptCommand::parse(input) {
        None => {
            for statement in Statements::of(input).all() {
                told(session.run(statement))?;
            }
        }
        Some(PromptCommand::Tables) => told(session.run(TABLES))?,
        Some(PromptCommand::Describe(table)) => told(session.run(&format!("describe {table}")))?,
        Some(PromptCommand::Timing) => {
            session.timing = !session.timing;
            say(format_args!("timing is {}", if session.timing { "on" } else { "off" }));
        }
        Some(PromptCommand::Quit) => return Ok(Next::Quit),
        Some(PromptCommand::Help) => say(format_args!("{HELP}")),
        Some(PromptCommand::Unknown(command)) => say(format_args!("unknown command `{command}`: try `\\?`")),
    }
    Ok(Next::Go)
}

fn told(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.code == Code::Ok => Err(failure),
        Err(failure) if failure.message.is_empty() => Ok(()),
        Err(failure) => {
            say(format_args!("error: {}", failure.message));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map(|home| PathBuf::from(home).join(HISTORY_FILE))
}

fn cannot_prompt(error: &ReadlineError) -> Failure {
    Failure::new(Code::Failed, format!("cannot read from the terminal: {error}"))
}
