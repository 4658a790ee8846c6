//! The device without a log: what one sync costs whoever calls it with nothing around it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use netdb_benches::Result;
use netdb_benches::harness::{Latency, Sample, nanoseconds};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use netdb_benches::tail::PAUSE;

const BLOCK_BYTES: usize = 4096;

/// Blocks of the file; as large as a segment of ours.
const BLOCKS: u64 = 8192;

/// Overwrites blocks in order in a file that was filled and synced before, each with one `write` and one
/// `fdatasync`, with the pauses of our tail's workload; gives the microseconds of both together.
pub(crate) fn synced_write(setting: &Setting) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let path = scratch.path().join("blocks");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    for _ in 0..BLOCKS {
        file.write_all(&[0; BLOCK_BYTES])?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut nanos = Vec::new();
    while begun.elapsed() < setting.duration {
        let number = nanos.len() as u64;
        let block = [number as u8 | 1; BLOCK_BYTES];
        let before = begun.elapsed();
        file.write_all_at(&block, number % BLOCKS * BLOCK_BYTES as u64)?;
        file.sync_data()?;
        nanos.push(nanoseconds(begun.elapsed() - before));
        std::thread::sleep(PAUSE);
    }
    if file.metadata()?.len() != BLOCKS * BLOCK_BYTES as u64 {
        return Err("the file has grown".into());
    }
    let latency = Latency::of(&mut nanos).ok_or("nothing was written")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}
