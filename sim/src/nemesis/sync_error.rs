//! A sync fails.

use std::sync::Arc;
use std::time::Duration;

use base::Fault;

use super::{recover, victim};
use crate::dice::Dice;
use crate::world::World;

/// EIO.
pub(super) const FAILED: i32 = 5;

/// Has one of the next operations of a disk, or all of the next few, fail: among them are syncs.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    let count = 1 + dice.below(4);
    world.count("sync-error");
    world.trace.note(format_args!("the next {count} operations of the disk of node {id} fail"));
    (0..count).for_each(|behind| world.fail(id, behind, Fault::Error(FAILED)));
    tokio::time::sleep(dice.time(Duration::from_millis(50)..Duration::from_secs(1))).await;
    recover(&world, &dice, id).await;
}
