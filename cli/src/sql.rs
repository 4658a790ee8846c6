//! SQL from the command line and from a prompt.

mod command;
mod helper;
mod statements;
