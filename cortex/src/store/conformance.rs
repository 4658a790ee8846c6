//! What every [`StateStore`] does, as code: each implementation runs it in its tests.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base::SeededRandom;

use super::{StateBatch, StateChange, StateStore};

/// Checks stores that `make` gives, each of them empty.
///
/// # Panics
///
/// When a store does something else than the contract says.
pub fn check(make: &mut dyn FnMut() -> Box<dyn StateStore>) {
    an_empty_store_has_nothing(&*make());
    spaces_are_apart_and_keys_are_bytes(&*make());
    changes_of_a_batch_apply_in_their_order(&*make());
    a_scan_is_in_order_and_ends_when_told(&*make());
    a_scan_sees_one_moment(&*make());
    for seed in 0..8 {
        it_agrees_with_a_naive_twin(&*make(), seed);
    }
}

fn get(store: &dyn StateStore, space: &str, key: &[u8]) -> Option<Vec<u8>> {
    store.get(space, key).expect("a key can be read")
}

fn all(store: &dyn StateStore, space: &str, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let visited = store.scan(space, from, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    visited.expect("a space can be scanned");
    found
}

fn commit(store: &dyn StateStore, batch: StateBatch) {
    store.commit(batch).expect("a batch can be committed");
}

fn an_empty_store_has_nothing(store: &dyn StateStore) {
    assert_eq!(get(store, "a", b"1"), None);
    assert_eq!(all(store, "a", b""), []);
    assert!(store.spaces().expect("spaces can be listed").is_empty());
    commit(store, StateBatch::new());
    let mut batch = StateBatch::new();
    batch.remove("a", b"1");
    batch.clear("b");
    commit(store, batch);
    store.sync().expect("an empty store can be synced");
    assert!(store.spaces().expect("spaces can be listed").is_empty());
}

fn spaces_are_apart_and_keys_are_bytes(store: &dyn StateStore) {
    let keys: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", &[0xff], &[0xff, 0xff]];
    let mut batch = StateBatch::new();
    for (place, key) in keys.iter().enumerate() {
        batch.put("a", key, vec![u8::try_from(place).expect("few keys")]);
        batch.put("a/b", key, Vec::new());
    }
    batch.put("ab", b"", b"ab".to_vec());
    batch.put("large", b"k", vec![7; 3 << 20]);
    commit(store, batch);
    let expected: Vec<_> = keys.iter().zip(0..).map(|(key, place)| (key.to_vec(), vec![place])).collect();
    assert_eq!(all(store, "a", b""), expected);
    assert_eq!(get(store, "a/b", b"a"), Some(Vec::new()), "an empty value is one");
    assert_eq!(all(store, "ab", b""), [(Vec::new(), b"ab".to_vec())]);
    assert_eq!(get(store, "large", b"k").map(|value| value.len()), Some(3 << 20));
    let mut batch = StateBatch::new();
    batch.clear("a");
    commit(store, batch);
    assert_eq!(all(store, "a", b""), []);
    assert_eq!(all(store, "a/b", b"").len(), keys.len(), "a space is not the prefix of another");
    assert_eq!(store.spaces().expect("spaces can be listed"), ["a/b", "ab", "large"]);
}

fn changes_of_a_batch_apply_in_their_order(store: &dyn StateStore) {
    let mut batch = StateBatch::new();
    batch.put("a", b"1", b"old".to_vec());
    batch.put("a", b"1", b"new".to_vec());
    batch.put("a", b"2", b"gone".to_vec());
    batch.remove("a", b"2");
    batch.put("a", b"3", b"cleared".to_vec());
    batch.clear("a");
    batch.put("a", b"4", b"kept".to_vec());
    batch.remove("a", b"4");
    batch.put("a", b"4", b"again".to_vec());
    commit(store, batch);
    assert_eq!(all(store, "a", b""), [(b"4".to_vec(), b"again".to_vec())]);
}

fn a_scan_is_in_order_and_ends_when_told(store: &dyn StateStore) {
    let mut batch = StateBatch::new();
    for number in (0..1_000_u64).rev() {
        batch.put("a", &number.to_be_bytes(), number.to_string().into_bytes());
    }
    commit(store, batch);
    let numbers: Vec<_> =
        all(store, "a", &990_u64.to_be_bytes()).into_iter().map(|(_, value)| value).collect();
    assert_eq!(numbers, (990..1_000).map(|number| number.to_string().into_bytes()).collect::<Vec<_>>());
    assert_eq!(all(store, "a", &[0xff]), []);
    let mut seen = 0;
    let visited = store.scan("a", b"", &mut |_, _| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    visited.expect("a space can be scanned");
    assert_eq!(seen, 3);
}

fn a_scan_sees_one_moment(store: &dyn StateStore) {
    let mut batch = StateBatch::new();
    for key in 0..100_u8 {
        batch.put("a", &[key], b"before".to_vec());
    }
    commit(store, batch);
    let mut seen = 0;
    let visited = store.scan("a", b"", &mut |key, value| {
        assert_eq!(value, b"before");
        let mut batch = StateBatch::new();
        batch.put("a", &[199 - key[0]], b"after".to_vec());
        batch.remove("a", &[99 - key[0]]);
        commit(store, batch);
        seen += 1;
        ControlFlow::Continue(())
    });
    visited.expect("a space can be scanned");
    assert_eq!(seen, 100);
}

/// Random batches beside maps, compared behind each.
fn it_agrees_with_a_naive_twin(store: &dyn StateStore, seed: u64) {
    let random = SeededRandom::new(seed);
    let mut twin: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
    for _ in 0..200 {
        let mut batch = StateBatch::new();
        for _ in 0..random.below(12) {
            let space = ["x", "y", "z"][usize::try_from(random.below(3)).expect("a small number")];
            let key = random.below(40).to_be_bytes();
            match random.below(20) {
                0 => batch.clear(space),
                1..6 => batch.remove(space, &key),
                _ => batch.put(space, &key, random.below(1 << 40).to_be_bytes().to_vec()),
            }
        }
        for change in batch.clone().into_changes() {
            match change {
                StateChange::Put { space, key, value } => {
                    twin.entry(space).or_default().insert(key, value);
                }
                StateChange::Remove { space, key } => {
                    twin.entry(space).or_default().remove(&key);
                }
                StateChange::Clear { space } => twin.entry(space).or_default().clear(),
            }
        }
        commit(store, batch);
        if random.below(4) == 0 {
            store.sync().expect("a store can be synced");
        }
        for (space, pairs) in &twin {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(all(store, space, b""), pairs, "seed {seed}");
        }
    }
}

/// Checks a store that `open` opens again and again, at the same place, which is empty at first: what was synced is
/// there, and of what was not, whole batches in their order.
///
/// # Panics
///
/// When a store does something else than the contract says.
pub fn check_reopening(open: &mut dyn FnMut() -> Box<dyn StateStore>) {
    const BATCHES: u64 = 64;
    for synced in [0, BATCHES / 2, BATCHES] {
        let store = open();
        let mut batch = StateBatch::new();
        batch.clear("a");
        batch.clear("b");
        commit(&*store, batch);
        for number in 1..=BATCHES {
            let mut batch = StateBatch::new();
            for space in ["a", "b"] {
                batch.put(space, b"newest", number.to_be_bytes().to_vec());
                batch.put(space, &number.to_be_bytes(), vec![1; 1_000]);
            }
            commit(&*store, batch);
            if number == synced {
                store.sync().expect("a store can be synced");
            }
        }
        drop(store);
        let store = open();
        let newest = get(&*store, "a", b"newest");
        assert_eq!(newest, get(&*store, "b", b"newest"), "half a batch is there");
        let newest = newest.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("8 bytes")));
        assert!((synced..=BATCHES).contains(&newest), "{newest} of {synced} synced batches are there");
        for space in ["a", "b"] {
            let pairs = all(&*store, space, b"").len() as u64;
            assert_eq!(pairs, newest + u64::from(newest > 0), "a batch is there without those before it");
        }
    }
}
