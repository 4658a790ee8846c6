//! The binary `net-blob`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run_blob()
}
