//! A disk is full for a while.

use std::sync::Arc;
use std::time::Duration;

use super::{recover, victim};
use crate::dice::Dice;
use crate::world::World;

/// Leaves a disk a few kilobytes for up to two seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    let free = dice.below(64 << 10);
    world.count("disk-full");
    world.trace.note(format_args!("the disk of node {id} has {free} bytes left"));
    world.fill_up(id, Some(free));
    tokio::time::sleep(dice.time(Duration::from_millis(50)..Duration::from_secs(2))).await;
    world.fill_up(id, None);
    recover(&world, &dice, id).await;
}
