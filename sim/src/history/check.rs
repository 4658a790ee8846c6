//! Says whether a history is one of a log that is in one order, and loses nothing that it acknowledged.
//!
//! Every event has a name of its own, so that the log's final content says where each append took effect, and the rest
//! follows without a search, in O(n log n).

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, History, Operation, Told, prefixes};

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Appends that were acknowledged.
    pub acknowledged: u64,
    /// Appends of which nobody knew what became of them.
    pub unknown: u64,
    /// Appends that were rejected.
    pub rejected: u64,
    /// Reads.
    pub reads: u64,
}

/// Something that took effect at a place of a channel: its first event, how many, and when.
struct Effect {
    first: u64,
    count: u64,
    begun: u64,
    /// `None` where nobody was told.
    ended: Option<u64>,
}

/// Checks a history.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn check(history: &History) -> Result<Checked, Vec<String>> {
    let mut faults = Vec::new();
    let mut checked = Checked::default();
    let places = places(history, &mut faults);
    let mut effects: BTreeMap<&str, Vec<Effect>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for operation in &history.operations {
        let Asked::Append { channel, events, expect } = &operation.asked else { continue };
        known.extend(events.iter().map(|event| (channel.as_str(), event.as_str())));
        match operation.told {
            Told::Appended(_) => checked.acknowledged += 1,
            Told::Rejected => checked.rejected += 1,
            Told::Unknown | Told::Read(..) => checked.unknown += 1,
        }
        match effect(operation, (channel, events, *expect), &places) {
            Ok(Some(effect)) => effects.entry(channel).or_default().push(effect),
            Ok(None) => {}
            Err(fault) => faults.push(fault),
        }
    }
    let strangers = places.keys().filter(|place| !known.contains(*place));
    faults
        .extend(strangers.map(|(channel, event)| format!("{channel} holds {event}, which nobody appended")));
    for (channel, effects) in &effects {
        faults.extend(order_faults(channel, effects));
    }
    for (channel, events) in &history.channels {
        let none = Vec::new();
        let effects = effects.get(channel.as_str()).unwrap_or(&none);
        let reads = history.operations.iter().filter(|operation| is_read_of(operation, channel)).collect();
        checked.reads += read_faults(channel, events, effects, reads, &mut faults);
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults) }
}

fn is_read_of(operation: &Operation, of: &str) -> bool {
    matches!(&operation.asked, Asked::Read { channel } if channel == of)
}

/// Returns where each event stands.
fn places<'a>(history: &'a History, faults: &mut Vec<String>) -> BTreeMap<(&'a str, &'a str), u64> {
    let mut places = BTreeMap::new();
    for (channel, events) in &history.channels {
        for (at, event) in (0_u64..).zip(events) {
            if let Some(before) = places.insert((channel.as_str(), event.as_str()), at) {
                faults.push(format!("{channel} holds {event} twice, at {before} and {at}"));
            }
        }
    }
    places
}

/// Returns where an append took effect; `None` when it did not.
fn effect(
    operation: &Operation,
    (channel, events, expect): (&String, &[String], Option<u64>),
    places: &BTreeMap<(&str, &str), u64>,
) -> Result<Option<Effect>, String> {
    let found: Vec<_> =
        events.iter().map(|event| places.get(&(channel.as_str(), event.as_str())).copied()).collect();
    let what = || format!("{} appended {events:?} to {channel} at node {}", operation.client, operation.node);
    let told = &operation.told;
    if found.iter().all(Option::is_none) {
        return match told {
            Told::Appended(at) => Err(format!("{}: acknowledged at {at}, and lost", what())),
            _ => Ok(None),
        };
    }
    if *told == Told::Rejected {
        return Err(format!("{}: rejected, and stands at {found:?}", what()));
    }
    let first = found.first().copied().flatten();
    let whole = first.is_some_and(|first| found.iter().zip(first..).all(|(at, wanted)| *at == Some(wanted)));
    let Some(first) = first.filter(|_| whole) else {
        return Err(format!("{}: in pieces, at {found:?}", what()));
    };
    match told {
        Told::Appended(at) if *at != first => Err(format!("{}: acknowledged at {at}, is at {first}", what())),
        _ if expect.is_some_and(|expect| expect != first) => {
            Err(format!("{}: expected at {expect:?}, is at {first}", what()))
        }
        _ => {
            let ended = operation.ended.filter(|_| matches!(told, Told::Appended(_)));
            Ok(Some(Effect { first, count: events.len() as u64, begun: operation.begun, ended }))
        }
    }
}

/// What was acknowledged before something else was asked stands before it.
fn order_faults(channel: &str, effects: &[Effect]) -> Vec<String> {
    let mut by_end: Vec<_> = effects.iter().filter(|effect| effect.ended.is_some()).collect();
    by_end.sort_by_key(|effect| effect.ended);
    let mut by_begin: Vec<_> = effects.iter().collect();
    by_begin.sort_by_key(|effect| effect.begun);
    let mut faults = Vec::new();
    let mut ended = by_end.into_iter().peekable();
    let mut highest = None;
    for effect in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < Some(effect.begun)) {
            highest = highest.max(Some(before.first));
        }
        if highest > Some(effect.first) {
            let first = effect.first;
            faults.push(format!("{channel}: {first} was asked for behind {highest:?} was acknowledged"));
        }
    }
    faults
}

/// Each read shows a beginning of the channel, with everything that was acknowledged before it was asked, and with nothing
/// that was asked after it was answered; later reads show no less. Returns how many were looked at.
fn read_faults(
    channel: &str,
    events: &[String],
    effects: &[Effect],
    mut reads: Vec<&Operation>,
    faults: &mut Vec<String>,
) -> u64 {
    let prefixes = prefixes(events.iter().map(String::as_str));
    let mut ended: Vec<_> = effects
        .iter()
        .filter_map(|effect| Some((effect.ended?, effect.first + effect.count)))
        .chain(reads.iter().filter_map(|read| match read.told {
            Told::Read(count, _) => Some((read.ended?, count)),
            _ => None,
        }))
        .collect();
    ended.sort_unstable();
    let mut begun: Vec<_> = effects.iter().map(|effect| (effect.begun, effect.first)).collect();
    begun.sort_unstable();
    // The lowest of those that were begun at or behind each.
    let mut lowest: Vec<u64> = begun.iter().map(|(_, first)| *first).collect();
    for at in (1..lowest.len()).rev() {
        lowest[at - 1] = lowest[at - 1].min(lowest[at]);
    }
    reads.sort_by_key(|read| read.begun);
    let mut looked_at = 0;
    let (mut at, mut least) = (0, 0);
    for read in reads {
        let (Told::Read(count, hash), Some(answered)) = (&read.told, read.ended) else { continue };
        looked_at += 1;
        while let Some((_, end)) = ended.get(at).filter(|(time, _)| *time < read.begun) {
            least = least.max(*end);
            at += 1;
        }
        let what = format!("{} read {count} of {channel} at node {}", read.client, read.node);
        let known = usize::try_from(*count).ok().and_then(|count| prefixes.get(count));
        if known != Some(hash) {
            faults.push(format!("{what}: no beginning of what it holds"));
        }
        if *count < least {
            faults.push(format!("{what}: {least} were acknowledged or read before"));
        }
        let later = begun.partition_point(|(time, _)| *time <= answered);
        if lowest.get(later).is_some_and(|first| first < count) {
            faults.push(format!("{what}: some were asked for later"));
        }
    }
    looked_at
}

#[cfg(test)]
mod tests;
