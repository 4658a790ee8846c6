//! A wall clock leaps.

use std::sync::Arc;

use super::victim;
use crate::dice::Dice;
use crate::world::World;

/// Nanoseconds of an hour.
const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Has the wall of a machine leap by up to two hours, forward or back.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    let span = dice.below(u64::try_from(4 * HOUR_NANOS).unwrap_or(0));
    let by = i64::try_from(span).unwrap_or(0) - 2 * HOUR_NANOS;
    world.count("clock-jump");
    world.trace.note(format_args!("the wall of node {id} leaps by {} s", by / 1_000_000_000));
    world.leap(id, by);
}
