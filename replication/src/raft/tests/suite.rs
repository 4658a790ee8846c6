//! Openraft's suite for stores, on the three disks.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::machine::Machine;
use super::*;

/// Makes stores on disks of one kind, with a flusher thread, as in production.
struct Builder<F>(F);

impl<F, G> StoreBuilder<TypeConfig, LogStore, Machine, G> for Builder<F>
where
    F: Fn() -> (G, Arc<dyn Disk>, std::path::PathBuf) + Send + Sync,
    G: Send + Sync,
{
    async fn build(&self) -> Result<(G, LogStore, Machine), StorageError<TypeConfig>> {
        let (guard, disk, dir) = (self.0)();
        let doors = Doors { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom), disk };
        let mut options = LogOptions::default();
        options.segment_bytes = 16 << 10;
        let log = ReplicaLog::open(&dir, &identity(), &doors, &options).unwrap();
        Ok((guard, LogStore::new(log), Machine::default()))
    }
}

#[test]
fn the_suite_passes_in_memory() {
    TypeConfig::run(async {
        let build = || ((), Arc::new(MemoryDisk::new()) as Arc<dyn Disk>, DIR.into());
        Suite::test_all(Builder(build)).await.unwrap();
    });
}

#[test]
fn the_suite_passes_on_a_simulated_disk() {
    TypeConfig::run(async {
        let build = || ((), Arc::new(SimulatedDisk::new()) as Arc<dyn Disk>, DIR.into());
        Suite::test_all(Builder(build)).await.unwrap();
    });
}

#[test]
fn the_suite_passes_on_the_disk_of_this_machine() {
    TypeConfig::run(async {
        let build = || {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_owned();
            (directory, Arc::new(SystemDisk) as Arc<dyn Disk>, path)
        };
        Suite::test_all(Builder(build)).await.unwrap();
    });
}
