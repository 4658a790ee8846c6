//! `net-db sql`

#![allow(clippy::disallowed_methods, reason = "the script is the user's own file, not part of a database")]

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use crate::arguments::SqlArguments;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::limits::SCRIPT_BYTES_MAX;
use crate::sql;

pub(super) fn run(context: &Context, arguments: &SqlArguments) -> Result<(), Failure> {
    match (&arguments.command, &arguments.file) {
        (Some(text), _) => sql::run_script(context, text),
        (None, Some(file)) if file != Path::new("-") => {
            let name = file.display().to_string();
            let opened = File::open(file).map_err(|error| cannot_read(&name, &error))?;
            sql::run_script(context, &script(opened, &name)?)
        }
        (None, None) if io::stdin().is_terminal() => sql::run_prompt(context),
        _ => sql::run_script(context, &script(io::stdin(), "standard input")?),
    }
}

fn script(input: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = input.take(SCRIPT_BYTES_MAX + 1).read_to_string(&mut text);
    if read.map_err(|error| cannot_read(name, &error))? as u64 > SCRIPT_BYTES_MAX {
        let message = format!("{name} has more than {SCRIPT_BYTES_MAX} bytes of SQL");
        return Err(Failure::new(Code::Failed, message));
    }
    Ok(text)
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::system(error, format!("cannot read {name}"))
}
