//! A cluster in one thread, over a simulated network, disk and time: a seed is a history.
//!
//! A [`run`](run::run) makes a [`world`] of machines, each a [`node`] with quinn or messages in memory, openraft, the log
//! and its fold; has a [`nemesis`] or several do harm while [`client`]s append and read; heals everything; and compares
//! what it finds with what clients were told ([`history`]) and with what always holds ([`invariant`]).

#[cfg(not(tokio_unstable))]
compile_error!("build within `sim/`, whose `.cargo/config.toml` says how, or by `sim/run`");

pub mod client;
pub mod clock;
pub mod command;
pub mod dice;
pub mod entropy;
pub mod history;
pub mod invariant;
pub mod known;
pub mod moment;
pub mod nemesis;
pub mod node;
pub mod run;
pub mod trace;
pub mod wires;
pub mod world;
