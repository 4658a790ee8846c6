//! Others vote.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::NodeId;

use crate::dice::Dice;
use crate::node::member;
use crate::world::World;

/// How long a change may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Has the leader give votes to some of the nodes; the others stay learners.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Some(leader) = world.leader() else { return };
    let all: Vec<_> = world.ids().into_iter().collect();
    let voters: BTreeSet<_> = all.iter().copied().filter(|_| dice.happens(700)).map(NodeId).collect();
    if voters.len() < 2 {
        return;
    }
    let learners: BTreeSet<_> = all.iter().copied().map(NodeId).filter(|id| !voters.contains(id)).collect();
    let known = leader.group.standing().members;
    let missing = all.iter().copied().map(member).filter(|(id, _)| !known.contains_key(id)).collect();
    world.trace.note(format_args!("node {} is to have {voters:?} vote", leader.id));
    let mut dead = leader.dead.subscribe();
    let change = async {
        leader.group.add_learners(&missing).await?;
        leader.group.set_voters(&voters, &learners).await
    };
    let changed = tokio::select! {
        biased;
        _ = dead.wait_for(|dead| *dead) => return,
        changed = tokio::time::timeout(WITHIN, change) => changed,
    };
    if let Ok(Ok(())) = changed {
        world.count("membership");
    }
    world.trace.note(format_args!("membership: {changed:?}"));
}
