//! A machine is away for longer than the others keep what it lacks.

use std::sync::Arc;
use std::time::Duration;

use super::{image, restart};
use crate::dice::Dice;
use crate::world::World;

/// Takes the power of a machine that does not lead for some seconds; of one at a time.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Ok(_alone) = world.absent.try_lock() else { return };
    let leader = world.leader().map(|node| node.id);
    let others: Vec<_> = world.up().iter().map(|node| node.id).filter(|id| Some(*id) != leader).collect();
    let Some(id) = dice.pick(&others).copied() else { return };
    if !world.crash(id, image(&dice)).await {
        return;
    }
    world.count("absence");
    tokio::time::sleep(dice.time(Duration::from_secs(2)..Duration::from_secs(5))).await;
    restart(&world, id).await;
}
