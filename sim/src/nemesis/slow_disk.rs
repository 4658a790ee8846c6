//! A disk takes long to sync.

use std::sync::Arc;
use std::time::Duration;

use super::victim;
use crate::dice::Dice;
use crate::world::World;

/// Has the syncs of one disk take up to a fifth of a second, for up to three seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(node) = victim(&world, &dice) else { return };
    let longest = 5_000 + dice.below(200_000);
    world.count("slow-disk");
    world.trace.note(format_args!("syncs of node {} take up to {longest} us", node.id));
    let before = node.sync_micros.send_replace(longest);
    tokio::time::sleep(dice.time(Duration::from_millis(100)..Duration::from_secs(3))).await;
    node.sync_micros.send_replace(before.min(1_500));
}
