//! The command line of the simulation.

use std::process::ExitCode;

use sim::run::{Wanted, catch_panics, run};

fn main() -> ExitCode {
    catch_panics();
    let seed: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let to: u64 = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(seed + 1);
    let mut bad = false;
    for seed in seed..to {
    let wanted = Wanted { keeps_lines: std::env::args().nth(3).is_some(), ..Wanted::default() };
    match run(seed, &wanted) {
        Ok(report) => {
            for line in &report.lines { println!("{line}"); }
            println!("{} {} n{} ops {} committed {} term {} sim {:?} healed {:?} looks {} {:?} {}", seed, report.transport.as_str(), report.nodes, report.history.operations.len(), report.committed, report.term, report.simulated, report.healed_within, report.looks, report.faults, report.trace);
            for v in report.violations.iter().take(5) { bad = true; println!("  VIOLATION {v}"); }
        }
        Err(cause) => { println!("{seed} {cause}"); bad = true; }
    }
    }
    ExitCode::from(u8::from(bad))
}
