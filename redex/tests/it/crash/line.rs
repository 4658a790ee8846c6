//! One image in a line of text, so that it can be checked again.

use std::fmt;

use base::CrashImage;

use super::workload::{Moment, Workload, record};
use super::{check, generated, workloads};
use crate::ledger::Moments;
use crate::support::World;

/// A way to survive, as it stands in a line: policy and two numbers.
pub struct Line(pub CrashImage);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CrashImage::Prefix { operations } => write!(f, "prefix {operations} 0"),
            CrashImage::Sectors { seed } => write!(f, "sectors {seed} 0"),
            CrashImage::Reordered { seed } => write!(f, "reordered {seed} 0"),
            CrashImage::SizeBeforeData { writes } => write!(f, "size {writes} 0"),
            CrashImage::DataBeforeSize { operations } => write!(f, "data {operations} 0"),
            CrashImage::LyingSyncs { syncs, seed } => write!(f, "lying {seed} {syncs}"),
            CrashImage::LostRenames => f.write_str("rename 0 0"),
            CrashImage::LostRemovals => f.write_str("unlink 0 0"),
            CrashImage::All => f.write_str("all 0 0"),
            _ => f.write_str("none 0 0"),
        }
    }
}

/// Reads an operation and a way to survive it back.
fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(u64, CrashImage)> {
    let ordinal = words.next()?.parse().ok()?;
    let (policy, seed, count) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let whole = usize::try_from(seed).ok()?;
    let survivors = match policy {
        "prefix" => CrashImage::Prefix { operations: whole },
        "sectors" => CrashImage::Sectors { seed },
        "reordered" => CrashImage::Reordered { seed },
        "size" => CrashImage::SizeBeforeData { writes: whole },
        "data" => CrashImage::DataBeforeSize { operations: whole },
        "lying" => CrashImage::LyingSyncs { syncs: count, seed },
        "rename" => CrashImage::LostRenames,
        "unlink" => CrashImage::LostRemovals,
        "all" => CrashImage::All,
        _ => CrashImage::None,
    };
    Some((ordinal, survivors))
}

fn workload(name: &str) -> Workload {
    if let Some(seed) = name.strip_prefix("generated-") {
        return generated::workload(seed.parse().expect("a seed"));
    }
    workloads::all().into_iter().find(|workload| workload.name == name).expect("a known workload")
}

fn at(moments: &[Moment], ordinal: u64) -> Moment {
    moments.iter().find(|moment| moment.ordinal == ordinal).expect("a moment").clone()
}

/// Checks the image of one line: workload and its seed, operation and what survives, and for a crash within a
/// recovery again operation and what survives.
pub fn replay(line: &str) {
    let line = line.split(':').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let workload = workload(words.next().expect("a workload's name"));
    let trace = workload.run(words.next().expect("a seed").parse().expect("a number"));
    let (outer, survivors) = parse(&mut words).expect("operation, policy and two numbers");
    let mut image = at(&trace.moments, outer).snapshot.image(&survivors);
    while let Some((ordinal, survivors)) = parse(&mut words) {
        let moments = record(&image);
        drop(World::on(image.clone(), 7).open_with(&workload.options));
        image.on_operation(None);
        image = at(&moments.lock().unwrap(), ordinal).snapshot.image(&survivors);
    }
    for step in &workload.steps {
        println!("{step:?}");
    }
    println!("met {:?}", trace.met.errors);
    for (path, bytes) in image.files() {
        println!("{:>9} bytes {}", bytes, path.display());
    }
    let checked = match survivors {
        CrashImage::LyingSyncs { .. } => {
            let created = check::is_created(&image);
            check::check_broken(&image, &workload.options, &trace.ledger, outer, created)
        }
        _ => check::check(&image, &workload.options, &trace.ledger, Moments::at(outer)),
    };
    assert_eq!(checked, Ok(()));
}
