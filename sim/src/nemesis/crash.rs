//! A machine loses its power, and gets it back.

use std::sync::Arc;
use std::time::Duration;

use super::{image, restart, victim};
use crate::dice::Dice;
use crate::world::World;

/// Takes the power of one machine for up to two seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    if !world.crash(id, image(&dice)).await {
        return;
    }
    world.count("crash");
    tokio::time::sleep(dice.time(Duration::from_millis(1)..Duration::from_secs(2))).await;
    restart(&world, id).await;
}
