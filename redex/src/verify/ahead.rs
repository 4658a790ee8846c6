//! Reading the segments of a log, each while the one before it is verified.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};

use base::{Disk, Index, LogId, OpenMode};

use crate::error::OpenError;
use crate::redaction;

/// A segment that is to be read.
pub(super) struct Wanted {
    pub path: PathBuf,
    pub number: u64,
    pub first_index: Index,
    /// Where it ends, if another one cut it off.
    pub ends_at: Option<u64>,
    pub last: bool,
}

/// Where segments are read from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub disk: &'a dyn Disk,
    pub log_dir: &'a std::path::Path,
    pub log: LogId,
}

impl Source<'_> {
    /// Gives each segment's bytes in turn to `verify`, until that returns `false`. The next one is read meanwhile by a
    /// thread of its own, so that two of them are in memory.
    pub(super) fn each(
        self,
        wanted: &[Wanted],
        mut verify: impl FnMut(&Wanted, &[u8]) -> Result<bool, OpenError>,
    ) -> Result<(), OpenError> {
        std::thread::scope(|scope| {
            // Nothing waits in between: whoever reads holds one segment, and whoever verifies another.
            let (filled, ready) = mpsc::sync_channel(0);
            let (back, spare) = mpsc::channel();
            let read_all = move || {
                for segment in wanted {
                    let read = self.read(segment, &spare);
                    let failed = read.is_err();
                    if filled.send(read).is_err() || failed {
                        return;
                    }
                }
            };
            let name = "netdb-verify-read".to_owned();
            let started = std::thread::Builder::new().name(name).spawn_scoped(scope, read_all);
            started.map_err(OpenError::io(self.log_dir))?;
            for segment in wanted {
                // Only a panic of the other thread leaves nothing to receive, and the scope passes that on.
                let Ok(read) = ready.recv() else { break };
                let bytes = read?;
                if !verify(segment, &bytes)? {
                    break;
                }
                // Behind the last segment nobody takes it.
                let _ = back.send(bytes);
            }
            Ok(())
        })
    }

    fn read(self, segment: &Wanted, spare: &Receiver<Vec<u8>>) -> Result<Vec<u8>, OpenError> {
        // A redaction may be halfway through, and opening would finish it. It is looked for before the bytes: if it ends
        // in between, they are patched with what they have.
        let due = redaction::due(self.disk, self.log_dir, self.log);
        let file = self.disk.open(&segment.path, OpenMode::Read).map_err(OpenError::io(&segment.path))?;
        let mut bytes = spare.try_recv().unwrap_or_default();
        base::read_to_end_into(&*file, &mut bytes, usize::MAX).map_err(OpenError::io(&segment.path))?;
        if let Some(end) = segment.ends_at.and_then(|end| usize::try_from(end).ok()) {
            bytes.truncate(end);
        }
        if let Some(redo) = due {
            redo.patch(segment.number, 0, &mut bytes);
        }
        Ok(bytes)
    }
}
