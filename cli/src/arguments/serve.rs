//! The arguments of `serve` and `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use server::Role;

/// Where settings come from, beside the environment.
#[derive(Debug, Args)]
pub(crate) struct ConfigPlace {
    /// The configuration file [default: net-db.toml in the data directory, if it is there].
    #[arg(long, env = "NETDB_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The address of HTTP, such as 127.0.0.1:7700.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen_http: Option<String>,
    /// The address of the mesh, over UDP, such as 10.0.0.1:7701; of use in a cluster.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen_mesh: Option<String>,
    /// The first of the ports of listeners that have no address of their own [default: 7700].
    #[arg(long, value_name = "N")]
    pub(crate) port_base: Option<String>,
    /// How log lines are written: auto, human or json.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) place: ConfigPlace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows each setting with its value and where that comes from.
    #[command(after_help = "Example:\n  net-db config show --format table")]
    Show(ConfigPlace),
    /// Makes a token, and says what to put into the configuration file for it.
    #[command(after_help = "Example:\n  net-db config token grafana --role read")]
    Token(TokenArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// What names it in log lines.
    pub(crate) name: String,
    /// What its holder may do: read, write or admin.
    #[arg(long, default_value = "read")]
    pub(crate) role: Role,
}
