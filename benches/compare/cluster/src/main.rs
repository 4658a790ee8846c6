//! Three processes on one machine and the clients beside them: what is committed in a second, how long one append takes,
//! and how long nothing is committed after the leader was killed. Peers run one after the other in the same run.

#![expect(
    clippy::disallowed_methods,
    reason = "a command that measures what runs on a machine, with that machine's clock and disk"
)]

mod catch_up;
mod etcd;
mod idle;
mod jetstream;
mod kill;
mod load;
mod ours;
mod processes;
mod redis;
mod report;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use crate::load::{Shape, Target};
use crate::processes::Scratch;

#[derive(Debug, Parser)]
#[command(about = "Three nodes under load and under fire, beside etcd, NATS JetStream and Redis")]
struct Arguments {
    /// What to run: ours, one (a single node of ours), etcd, jetstream, jetstream-synced, redis, kill, kill-etcd, idle,
    /// catch-up, wire (what the transport alone sends).
    #[arg(required = true)]
    what: Vec<String>,
    /// The program `net-db`.
    #[arg(long, default_value = "net-db")]
    net_db: PathBuf,
    /// Where everything is kept meanwhile; on the disk that is to be measured.
    #[arg(long, default_value = "bench-data")]
    dir: PathBuf,
    /// How long each run takes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Runs of each shape; the median is told, with the least and the most.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Bytes of a payload.
    #[arg(long, value_delimiter = ',', default_value = "256")]
    bytes: Vec<usize>,
    /// Clients and requests outstanding of each, such as 64x16.
    #[arg(long, value_delimiter = ',', default_value = "1x1,64x1,64x16")]
    shapes: Vec<Shape>,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Channels of an idle cluster.
    #[arg(long, default_value_t = 1_000)]
    channels: usize,
    /// Has clients spread over all nodes, not on the leader.
    #[arg(long)]
    spread: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let within = Duration::from_secs_f64(arguments.seconds);
    println!(
        "| what | payload | clients x outstanding | per second | p50 | p99 | failed |\n|---|---|---|---|---|---|---|"
    );
    for what in &arguments.what {
        let scratch = Scratch::new(&arguments.dir);
        match what.as_str() {
            "kill" => kill::ours(&arguments.net_db, scratch, arguments.kills).await,
            "idle" => idle::ours(&arguments.net_db, scratch, arguments.channels, arguments.runs).await,
            "catch-up" => {
                for bytes in &arguments.bytes {
                    let scratch = Scratch::new(&arguments.dir);
                    catch_up::ours(&arguments.net_db, scratch, *bytes, arguments.seconds).await;
                }
            }
            "wire" => wire::measure(arguments.seconds).await,
            "wire-far" => wire::far().await,
            "kill-etcd" => kill::etcd(scratch, arguments.kills).await,
            _ => {
                let target: Arc<dyn Target> = match what.as_str() {
                    "ours" => {
                        Arc::new(ours::Ours::start(&arguments.net_db, scratch, 3, arguments.spread).await)
                    }
                    "one" => Arc::new(ours::Ours::start(&arguments.net_db, scratch, 1, false).await),
                    "etcd" => Arc::new(etcd::Etcd::start(scratch, 3).await),
                    "jetstream" => Arc::new(jetstream::JetStream::start(scratch, false).await),
                    "jetstream-synced" => Arc::new(jetstream::JetStream::start(scratch, true).await),
                    "redis" => Arc::new(redis::Redis::start(scratch).await),
                    other => panic!("there is no `{other}`: see --help"),
                };
                for bytes in &arguments.bytes {
                    for shape in &arguments.shapes {
                        let runs = load::measure(&target, *shape, *bytes, within, arguments.runs).await;
                        println!("{}", report::row(target.name(), *bytes, *shape, &runs));
                    }
                }
            }
        }
    }
}
