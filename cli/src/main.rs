//! The binary `net-db`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
