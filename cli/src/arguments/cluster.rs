//! The arguments of `cluster`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Subcommand;
use netdb::base::NodeId;
use netdb::net::Ticket;
use netdb::redex::LogName;

use super::placement::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Begins a cluster: this directory becomes its first node. Needs no server; `serve` takes part.
    #[command(after_help = "Example:\n  net-db cluster init && net-db serve")]
    Init,
    /// Makes a ticket, by which a node can join, through the server of the node that began the cluster.
    #[command(after_help = "Example:\n  net-db cluster invite --valid-for 15m")]
    Invite {
        /// How long it is valid, such as 15m or 24h.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
        valid_for: Duration,
        /// Lets any number of nodes join, not one.
        #[arg(long)]
        many: bool,
    },
    /// Makes this directory a node of the cluster that the ticket is of. Needs no server; `serve` takes part.
    #[command(
        after_help = "Example:\n  net-db cluster join netdb1:.. --listen-mesh 10.0.0.2:7701 && net-db serve --listen-mesh 10.0.0.2:7701"
    )]
    Join {
        /// The ticket.
        ticket: Ticket,
        /// Where this node will listen for others: as `serve` will be told.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7701")]
        listen_mesh: SocketAddr,
        /// Where others find it, when not there.
        #[arg(long, value_name = "ADDRESS")]
        advertise: Option<SocketAddr>,
        /// What the node calls itself.
        #[arg(long, value_name = "NAME", default_value = "node")]
        name: String,
    },
    /// Takes this node out of its cluster, for ever, through its server; what it holds goes to others.
    Leave,
    /// Takes a node out of the cluster, for ever; what it holds goes to others.
    #[command(after_help = "Example:\n  net-db cluster remove 3")]
    Remove {
        /// The node's number.
        #[arg(value_parser = node)]
        node: NodeId,
    },
    /// Shows members and replicated logs, as this node sees them.
    Status,
    /// Has another node lead a log; asked of the server that leads it.
    #[command(after_help = "Example:\n  net-db cluster transfer replicated-1 2")]
    Transfer {
        /// The log.
        log: LogName,
        /// Who is to lead.
        #[arg(value_parser = node)]
        node: NodeId,
    },
    /// Has other nodes hold a log.
    #[command(after_help = "Example:\n  net-db cluster move replicated-1 1 2 4")]
    Move {
        /// The log.
        log: LogName,
        /// Who is to hold it.
        #[arg(required = true, value_parser = node)]
        nodes: Vec<NodeId>,
    },
    /// Has a log replicated otherwise, for all channels in it; without anything to change, shows how it is.
    #[command(
        after_help = "Example:\n  net-db cluster configure replicated-1 heartbeat-ms=200 leader-pinned=2\n\nKeys: heartbeat-ms, leader-pinned (a node, or null), retention, on-under-capacity, replication-budget-fraction,\ndefault-bandwidth-class, background-fraction"
    )]
    Configure {
        /// The log.
        log: LogName,
        /// What is to be otherwise.
        #[arg(value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, serde_json::Value)>,
    },
}

/// Reads a key and its value; a value that is no JSON is a text.
fn setting(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` sets nothing: write it like heartbeat-ms=200"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((key.to_owned(), value))
}

fn node(text: &str) -> Result<NodeId, String> {
    text.parse().map(NodeId).map_err(|_| format!("`{text}` is no node: give its number"))
}
