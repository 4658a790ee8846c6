//! A way is cut in one direction.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::world::World;

/// Cuts the way from one node to another, or from one to all others, for up to three seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let ids: Vec<_> = world.ids().into_iter().collect();
    let (Some(from), Some(to)) = (dice.pick(&ids).copied(), dice.pick(&ids).copied()) else { return };
    let others = ids.iter().filter(|id| **id != from);
    let ways = match dice.happens(300) {
        true => others.map(|to| (from, *to)).collect(),
        false => [(from, to)].into(),
    };
    world.count("one-way");
    world.trace.note(format_args!("cut: {ways:?}"));
    world.wires.cut(&ways);
    tokio::time::sleep(dice.time(Duration::from_millis(50)..Duration::from_secs(3))).await;
    world.wires.mend(&ways);
}
