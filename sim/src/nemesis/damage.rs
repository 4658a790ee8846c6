//! A machine's log loses something while it is off: a bit, an end, a file, or everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{CrashImage, Disk, OpenMode, SimulatedDisk};

use super::{restart, victim};
use crate::dice::Dice;
use crate::node::{DIRECTORY, LOG};
use crate::world::World;

/// Stops a machine, damages its log, and starts it again; one machine at a time, so that the others know what it had.
pub(super) async fn strike(world: Arc<World>, dice: Arc<Dice>) {
    let Ok(_alone) = world.damaging.try_lock() else { return };
    let Some(id) = victim(&world, &dice).map(|node| node.id) else { return };
    // The process ends, not the system: what others were told is on record.
    if !world.crash(id, CrashImage::All).await {
        return;
    }
    if let Some(disk) = world.disk(id) {
        world.count("damage");
        world.damage(id);
        let what = damage(&disk, &dice);
        world.trace.note(format_args!("the log of node {id} loses {}", what.unwrap_or_default()));
    }
    tokio::time::sleep(dice.time(Duration::from_millis(1)..Duration::from_secs(2))).await;
    restart(&world, id).await;
}

fn damage(disk: &SimulatedDisk, dice: &Dice) -> Option<String> {
    let dir = Path::new(DIRECTORY).join("logs").join(LOG);
    let files: Vec<_> = disk.files().into_iter().map(|(path, _)| path).collect();
    let own: Vec<_> = files.into_iter().filter(|path| path.parent() == Some(&dir)).collect();
    let is_segment = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "seg");
    let segments: Vec<_> = own.iter().filter(is_segment).cloned().collect();
    let path = dice.pick(&segments)?;
    let name = path.file_name()?.to_string_lossy();
    let bytes = disk.read(path)?;
    let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
    Some(match dice.below(6) {
        0 | 1 => {
            let bit = dice.below(used * 8);
            disk.flip_bit(path, bit);
            format!("bit {bit} of {name}")
        }
        2 => {
            let length = dice.below(used);
            let file = disk.open(path, OpenMode::Write).ok()?;
            file.set_length(length).ok()?;
            file.sync_data().ok()?;
            format!("what is behind byte {length} of {name}")
        }
        3 => {
            remove(disk, path);
            format!("the file {name}")
        }
        4 => {
            remove(disk, &dir.join("promised"));
            "what it promised".to_owned()
        }
        _ => {
            own.iter().for_each(|path| remove(disk, path));
            "everything".to_owned()
        }
    })
}

/// Removes a file for good. One that is not there need not be.
fn remove(disk: &SimulatedDisk, path: &Path) {
    let _ = disk.remove(path);
    let _ = path.parent().map(|dir| disk.sync_directory(dir));
}
