//! What must hold of whatever a crash leaves.

use std::path::Path;

use base::{Seq, SimulatedDisk};
use redex::{
    Ack, EventInput, LogOptions, OpenError, RecoveryReport, Selection, Store, StoreReader, VerifyOptions,
};

use crate::ledger::{Ledger, Moments, read};
use crate::support::{DIR, World, channel};

/// Opens what a crash left, and goes on with it.
pub fn check(
    image: &SimulatedDisk,
    options: &LogOptions,
    ledger: &Ledger,
    moments: Moments,
) -> Result<(), String> {
    let world = World::on(image.clone(), 0xC4A5);
    let damaged = ledger.is_damaged(moments);
    verify(&world, damaged, "before opening")?;
    let read_only = if damaged { None } else { read_only(&world, options, ledger, moments)? };

    let store = open(&world, options)?;
    let recovery = store.recovery();
    if (!damaged && !recovery.quarantined.is_empty()) || !recovery.repaired.is_empty() {
        return Err(format!("a crash taken for damage: {recovery:?}"));
    }
    let log = store.main();
    let found = ledger.check(&log.reader().view(), moments)?;
    if read_only.is_some_and(|read_only| read_only != found) {
        return Err(format!("opening keeps {found} submissions, reading alone shows {read_only:?}"));
    }
    let selection = ledger.all(moments);
    if damaged && read(&log.reader().view(), &Selection::default()).is_ok() {
        return Err("reading over damage does not say so".to_owned());
    }
    let before = read(&log.reader().view(), &selection)?;
    let repeated = ledger.check_repeats(log, moments, found)?;

    for name in ledger.channels().into_iter().take(2).chain(["behind/the-crash"]) {
        let view = log.reader().view();
        let next = view.channel(&channel(name)).map_err(text)?.map_or(Seq(0), |info| info.next_seq);
        let event = EventInput::new("test.appended-behind", b"behind");
        let ticket = log.append(&channel(name), &[event]).map_err(text)?;
        let appended = ticket.wait(Ack::Durable).into_result().map_err(text)?;
        // What was damaged may have held the channel: its numbers are not given out again.
        let goes_on = match appended.at.first_seq() {
            Some(seq) if damaged => seq >= next,
            seq => seq == Some(next),
        };
        if !goes_on {
            return Err(format!("{name} goes on at {:?} instead of {next}", appended.at.first_seq()));
        }
    }
    let after = read(&log.reader().view(), &selection)?;
    if after.len() <= before.len() + repeated || !after.starts_with(&before) {
        return Err("appending changed what was there".to_owned());
    }
    store.close().map_err(text)?;
    drop(store);
    verify(&world, damaged, "behind a clean close")?;

    let store = open(&world, options)?;
    if *store.recovery() != RecoveryReport::default() {
        return Err(format!("not quiet behind a clean close: {:?}", store.recovery()));
    }
    if read(&store.main().reader().view(), &selection)? != after {
        return Err("closing and opening changed what was there".to_owned());
    }
    Ok(())
}

/// Opens what is left by a disk that broke its promises: it opens if it was `created`, says what is missing, shows
/// nothing that was not submitted, and goes on.
pub fn check_broken(
    image: &SimulatedDisk,
    options: &LogOptions,
    ledger: &Ledger,
    now: u64,
    created: bool,
) -> Result<(), String> {
    let world = World::on(image.clone(), 0xC4A5);
    // Whatever it finds, it answers.
    let _ = redex::verify(Path::new(DIR), &world.doors, &VerifyOptions::default());
    if let Ok(reader) = StoreReader::open(Path::new(DIR), &world.doors, options) {
        ledger.check_broken(&reader.main().view(), now).map_err(|fault| format!("read-only: {fault}"))?;
    }
    let store = match Store::open(Path::new(DIR), &world.doors, options) {
        Ok(store) => store,
        Err(_) if !created => return Ok(()),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    ledger.check_broken(&store.main().reader().view(), now)?;
    let event = EventInput::new("test.appended-behind", b"behind");
    let ticket = store.main().append(&channel("behind/the-crash"), &[event]).map_err(text)?;
    ticket.wait(Ack::Durable).into_result().map_err(text)?;
    store.close().map_err(text)?;
    drop(store);
    let store = open(&world, options)?;
    if *store.recovery() != RecoveryReport::default() {
        return Err(format!("not quiet behind a clean close: {:?}", store.recovery()));
    }
    let behind = Selection::channel(&channel("behind/the-crash"));
    let events = read(&store.main().reader().view(), &Selection { skip_holes: true, ..behind })?;
    if events.len() == 1 { Ok(()) } else { Err("what was appended behind the crash is lost".to_owned()) }
}

/// Tells whether the two files are there, and whole, without which a log cannot be told from another one.
pub fn is_created(image: &SimulatedDisk) -> bool {
    let whole = |path: &str, bytes: usize| {
        image.read(format!("{DIR}/{path}")).is_some_and(|found| {
            found.len() >= bytes && found.chunks(512).all(|sector| sector.iter().any(|byte| *byte != 0))
        })
    };
    whole("identity", 32) && whole("logs/main/superblock", 1024)
}

fn open(world: &World, options: &LogOptions) -> Result<Store, String> {
    Store::open(Path::new(DIR), &world.doors, options).map_err(|error| format!("does not open: {error}"))
}

/// Reads what a reader shows who may not put the log in order; `None` where there is no log yet.
fn read_only(
    world: &World,
    options: &LogOptions,
    ledger: &Ledger,
    moments: Moments,
) -> Result<Option<usize>, String> {
    match StoreReader::open(Path::new(DIR), &world.doors, options) {
        Ok(reader) => ledger.check(&reader.main().view(), moments).map(Some),
        Err(OpenError::NotInitialised { .. }) => Ok(None),
        Err(OpenError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("does not open for reading: {error}")),
    }
}

fn verify(world: &World, damaged: bool, when: &str) -> Result<(), String> {
    let options = VerifyOptions { all_signatures: true, ..VerifyOptions::default() };
    match redex::verify(Path::new(DIR), &world.doors, &options) {
        Ok(report) if damaged || report.faults.is_empty() => Ok(()),
        Ok(report) => Err(format!("faults {when}: {:?}", report.faults)),
        Err(OpenError::NotInitialised { .. }) => Ok(()),
        Err(OpenError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot be verified {when}: {error}")),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
