//! A process is stopped, and goes on.

use std::sync::Arc;
use std::time::Duration;

use super::victim;
use crate::dice::Dice;
use crate::world::World;

/// Stops a node for up to two seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(node) = victim(&world, &dice) else { return };
    world.count("pause");
    world.trace.note(format_args!("node {} pauses", node.id));
    node.gate.close(true);
    tokio::time::sleep(dice.time(Duration::from_millis(10)..Duration::from_secs(2))).await;
    world.trace.note(format_args!("node {} goes on", node.id));
    node.gate.close(false);
}
