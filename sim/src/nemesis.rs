//! What goes wrong: each does one thing to the world for a while, takes it back, and counts it.

mod absence;
mod clock_jump;
mod crash;
mod damage;
mod disk_full;
mod membership;
mod one_way;
mod partition;
mod pause;
mod power_loss;
mod slow_disk;
mod sync_error;
mod transfer;
mod weather;
mod write_error;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::CrashImage;

use crate::dice::Dice;
use crate::node::Node;
use crate::world::World;

/// A fault that is under way; ready when it is over.
pub type Strike = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that goes wrong.
#[derive(Clone, Copy)]
pub struct Nemesis {
    /// What it is called.
    pub name: &'static str,
    /// Has it go wrong once; ends when it is over.
    pub strike: fn(Arc<World>, Arc<Dice>) -> Strike,
}

impl fmt::Debug for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Returns what goes wrong beside where logs give up their beginning.
pub fn absence() -> Nemesis {
    Nemesis { name: "absence", strike: |world, dice| Box::pin(absence::strike(world, dice)) }
}

/// Returns all that go wrong anywhere.
pub fn all() -> Vec<Nemesis> {
    vec![
        Nemesis { name: "crash", strike: |world, dice| Box::pin(crash::strike(world, dice)) },
        Nemesis { name: "power-loss", strike: |world, dice| Box::pin(power_loss::strike(world, dice)) },
        Nemesis { name: "partition", strike: |world, dice| Box::pin(partition::strike(world, dice)) },
        Nemesis { name: "one-way", strike: |world, dice| Box::pin(one_way::strike(world, dice)) },
        Nemesis { name: "weather", strike: |world, dice| Box::pin(weather::strike(world, dice)) },
        Nemesis { name: "pause", strike: |world, dice| Box::pin(pause::strike(world, dice)) },
        Nemesis { name: "disk-full", strike: |world, dice| Box::pin(disk_full::strike(world, dice)) },
        Nemesis { name: "sync-error", strike: |world, dice| Box::pin(sync_error::strike(world, dice)) },
        Nemesis { name: "write-error", strike: |world, dice| Box::pin(write_error::strike(world, dice)) },
        Nemesis { name: "slow-disk", strike: |world, dice| Box::pin(slow_disk::strike(world, dice)) },
        Nemesis { name: "membership", strike: |world, dice| Box::pin(membership::strike(world, dice)) },
        Nemesis { name: "transfer", strike: |world, dice| Box::pin(transfer::strike(world, dice)) },
        Nemesis { name: "damage", strike: |world, dice| Box::pin(damage::strike(world, dice)) },
        Nemesis { name: "clock-jump", strike: |world, dice| Box::pin(clock_jump::strike(world, dice)) },
    ]
}

/// Returns any node that is up, the leader every second time.
fn victim(world: &World, dice: &Dice) -> Option<Arc<Node>> {
    match dice.happens(500) {
        true => world.leader(),
        false => dice.pick(&world.up()).cloned(),
    }
}

/// Says what a crash leaves of what was not synced.
fn image(dice: &Dice) -> CrashImage {
    let seed = dice.below(u64::MAX);
    let few = usize::try_from(dice.below(8)).unwrap_or(0);
    match dice.below(9) {
        0 => CrashImage::None,
        1 => CrashImage::All,
        2 => CrashImage::Prefix { operations: few },
        3 => CrashImage::Reordered { seed },
        4 => CrashImage::SizeBeforeData { writes: few },
        5 => CrashImage::DataBeforeSize { operations: few },
        6 => CrashImage::LostRenames,
        7 => CrashImage::LostRemovals,
        _ => CrashImage::Sectors { seed },
    }
}

/// Starts a machine again; one that does not start is noticed.
async fn restart(world: &World, id: u64) {
    if let Err(cause) = world.start(id).await {
        match world.is_harmed(id) {
            true => world.count("failed-start"),
            false => world.violate(format!("node {id} does not start: {cause}")),
        }
    }
}

/// Waits until a machine's disk was needed, and restarts the machine if its group stopped over that.
async fn recover(world: &World, dice: &Dice, id: u64) {
    let Some(node) = world.node(id) else { return };
    if node.group.standing().role == replication::Role::Idle {
        world.count("stopped-by-disk");
        drop(node);
        if world.crash(id, image(dice)).await {
            restart(world, id).await;
        }
    }
}
