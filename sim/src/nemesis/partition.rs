//! The network falls apart in two.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::world::World;

/// Cuts all ways between some nodes and the others, for up to three seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let (one, other): (Vec<u64>, Vec<u64>) = world.ids().into_iter().partition(|_| dice.happens(400));
    let pairs = one.iter().flat_map(|one| other.iter().map(|other| (*one, *other)));
    let ways: BTreeSet<_> = pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect();
    if ways.is_empty() {
        return;
    }
    world.count("partition");
    world.trace.note(format_args!("{one:?} and {other:?} are cut off from each other"));
    world.wires.cut(&ways);
    tokio::time::sleep(dice.time(Duration::from_millis(50)..Duration::from_secs(3))).await;
    world.wires.mend(&ways);
}
