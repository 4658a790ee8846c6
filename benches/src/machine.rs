//! What the figures were taken on.

use std::path::Path;
use std::process::Command;

use base::Clock;

/// The machine and the tree, as a reader of the figures has to know them.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Processor model.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Kernel name and version.
    pub kernel: String,
    /// The file system that runs write to.
    pub file_system: String,
}

impl Machine {
    /// Looks at the machine; what cannot be found out is `unknown`.
    pub fn look(dir: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
        let mounts = read("/proc/self/mounts");
        let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.div_ceil(1 << 20),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            file_system: file_system(&mounts, &real).unwrap_or_else(unknown),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processor, cores, memory_gib, kernel, file_system } = self;
        write!(f, "{processor}, {cores} cores, {memory_gib} GiB, {kernel}, {file_system}")
    }
}

/// Returns the commit that the tree stands at, marked when the tree differs from it; `unknown` outside of one.
pub fn commit() -> String {
    let tree = env!("CARGO_MANIFEST_DIR");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(tree).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A table that was added before does not make a tree another one.
    let changes = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":/",
        ":(exclude,top)benches/RESULTS.md",
    ]);
    match (git(&["rev-parse", "--short=10", "HEAD"]), changes) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        _ => unknown(),
    }
}

/// Returns the time by the system clock, to the minute, in UTC.
pub fn date() -> String {
    let now = base::SystemClock.now().to_string();
    match now.get(..16) {
        Some(minute) => format!("{} UTC", minute.replace('T', " ")),
        None => now,
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Finds the file system of a path: the deepest mount point above it, and among equals the newest.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let mut found: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let point = Path::new(point);
        let depth = point.components().count();
        if path.starts_with(point) && found.is_none_or(|(deepest, _)| depth >= deepest) {
            found = Some((depth, kind));
        }
    }
    found.map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_point_tells_the_file_system() {
        let mounts = "a / ext4 rw 0 0\nb /data xfs rw 0 0\nc /data/fast tmpfs rw 0 0\n";
        let find = |path: &str| file_system(mounts, Path::new(path)).unwrap();
        assert_eq!(find("/data/x"), "xfs");
        assert_eq!(find("/data/fast/x"), "tmpfs");
        assert_eq!(find("/database"), "ext4");
    }

    #[test]
    fn the_date_is_to_the_minute() {
        let date = date();
        assert!(date.ends_with(" UTC") && date.len() == 20, "{date}");
    }
}
