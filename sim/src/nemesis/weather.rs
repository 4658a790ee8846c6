//! The network delays, loses, repeats and reorders.

use std::sync::Arc;
use std::time::Duration;

use net::Weather;

use crate::dice::Dice;
use crate::wires::fair;
use crate::world::World;

/// Makes the weather bad for up to three seconds.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let least = dice.time(Duration::from_micros(100)..Duration::from_millis(20));
    let most = least + dice.time(Duration::from_millis(1)..Duration::from_millis(120));
    let weather = Weather { delay: least..most, lost: dice.below(300), repeated: dice.below(100) };
    world.count("weather");
    world.trace.note(format_args!("{weather:?}"));
    world.wires.set_weather(weather);
    tokio::time::sleep(dice.time(Duration::from_millis(100)..Duration::from_secs(3))).await;
    world.wires.set_weather(fair());
}
