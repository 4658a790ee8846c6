//! A write fails, or takes only a part.

use std::sync::Arc;
use std::time::Duration;

use base::Fault;

use super::sync_error::FAILED;
use super::{recover, victim};
use crate::dice::Dice;
use crate::world::World;

/// Has one of the next operations of a disk fail or be cut short.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    let behind = dice.below(12);
    let fault = match dice.happens(500) {
        true => Fault::Short { bytes: dice.below(600) },
        false => Fault::Error(FAILED),
    };
    world.count("write-error");
    world.trace.note(format_args!("operation {behind} of the disk of node {id} from now on: {fault:?}"));
    world.fail(id, behind, fault);
    tokio::time::sleep(dice.time(Duration::from_millis(50)..Duration::from_secs(1))).await;
    recover(&world, &dice, id).await;
}
