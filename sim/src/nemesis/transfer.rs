//! The leadership is handed over.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::world::World;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(1);

/// Has the leader hand over to one of the others.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(leader) = world.leader() else { return };
    let voters = leader.group.standing().voters;
    let others: Vec<_> = voters.into_iter().filter(|node| node.0 != leader.id).collect();
    let Some(next) = dice.pick(&others) else { return };
    world.trace.note(format_args!("node {} is to hand over to {next}", leader.id));
    let mut dead = leader.dead.subscribe();
    let moved = tokio::select! {
        biased;
        _ = dead.wait_for(|dead| *dead) => return,
        moved = leader.group.transfer(*next, WITHIN) => moved,
    };
    if moved.is_ok() {
        world.count("transfer");
    }
    world.trace.note(format_args!("node {} hands over to {next}: {moved:?}", leader.id));
}
