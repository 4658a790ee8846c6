//! Each kind of fault happens, and is survived.

use std::collections::BTreeMap;

use sim::nemesis;
use sim::run::{Wanted, plan, run};
use sim::wires::Transport;

/// Runs seeds with one nemesis over both transports, and returns how often each fault happened.
fn faults(name: &str, seeds: std::ops::Range<u64>) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for seed in seeds {
        let transport = if seed % 2 == 0 { Transport::Quic } else { Transport::Memory };
        let wanted =
            Wanted { nemeses: vec![name.to_owned()], transport: Some(transport), ..Wanted::default() };
        let report = run(seed, &wanted).unwrap();
        assert_eq!(report.violations, [""; 0], "{name}, seed {seed}");
        assert!(report.committed > 10, "{name}, seed {seed}: {report:?}");
        for (fault, count) in report.faults {
            *all.entry(fault).or_default() += count;
        }
    }
    all
}

#[test]
fn every_nemesis_strikes_and_what_it_does_is_survived() {
    for nemesis in nemesis::all() {
        let found = faults(nemesis.name, 0..2);
        assert!(found.get(nemesis.name).is_some_and(|count| *count > 0), "{} {found:?}", nemesis.name);
    }
    let rain = faults("weather", 2..6);
    for fault in ["lost", "repeated", "overtaken"] {
        assert!(rain.get(fault).is_some_and(|count| *count > 0), "{fault}: {rain:?}");
    }
}

#[test]
fn half_of_the_seeds_give_up_their_beginning_and_nodes_go_on_with_snapshots() {
    let keep = |seed: &u64| plan(*seed, None).keeps.is_some();
    let count = (0..1_000).filter(keep).count();
    assert!((450..550).contains(&count), "{count}");
    let mut all = BTreeMap::<String, u64>::new();
    for seed in (0..40).filter(keep) {
        let report = run(seed, &Wanted::default()).unwrap();
        assert_eq!(report.violations, [""; 0], "seed {seed}");
        for (fault, count) in report.faults {
            *all.entry(fault).or_default() += count;
        }
    }
    for (fault, least) in [("trims", 20), ("given-up", 40), ("snapshots", 5), ("absence", 5)] {
        assert!(all.get(fault).is_some_and(|count| *count >= least), "{fault}: {all:?}");
    }
}

#[test]
fn without_any_fault_everything_is_decided() {
    for seed in 100..104 {
        let wanted = Wanted { nemeses: vec!["clock-jump".to_owned()], ..Wanted::default() };
        let report = run(seed, &wanted).unwrap();
        let open = |operation: &&sim::history::Operation| operation.told == sim::history::Told::Unknown;
        assert_eq!(report.violations, [""; 0]);
        assert_eq!(report.history.operations.iter().filter(open).count(), 0, "seed {seed}");
    }
}
