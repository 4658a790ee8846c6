//! All machines lose their power at once.

use std::sync::Arc;
use std::time::Duration;

use super::{image, restart};
use crate::dice::Dice;
use crate::world::World;

/// Takes the power of all machines, and gives it back to one after the other.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    // At once: no machine sees another one go.
    let crashes = world.ids().into_iter().map(|id| {
        let (world, image) = (Arc::clone(&world), image(&dice));
        async move { world.crash(id, image).await.then_some(id) }
    });
    let mut gone = Vec::new();
    for crash in crashes.map(tokio::spawn).collect::<Vec<_>>() {
        gone.extend(crash.await.ok().flatten());
    }
    world.count("power-loss");
    tokio::time::sleep(dice.time(Duration::from_millis(1)..Duration::from_millis(500))).await;
    for id in gone {
        tokio::time::sleep(dice.time(Duration::ZERO..Duration::from_millis(300))).await;
        restart(&world, id).await;
    }
}
