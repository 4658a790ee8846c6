use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::node::{Branch, CHILDREN_MAX, CHILDREN_MIN, Leaf, Node};
use super::{OrderedMap, OrderedSet};

/// What the walk of `check` learns about a subtree.
struct Survey {
    entries: usize,
    leaves: usize,
    height: usize,
}

impl<K: Ord, V> OrderedMap<K, V> {
    /// Asserts order, depth, separators, counts and fill; gives the number of leaves.
    fn check(&self) -> usize {
        let survey = check_node(&self.root, None, None, true);
        assert_eq!(survey.entries, self.len);
        assert!(self.keys().is_sorted_by(|low, high| low < high), "keys out of order");
        survey.leaves
    }
}

fn check_node<K: Ord, V>(node: &Node<K, V>, low: Option<&K>, high: Option<&K>, is_root: bool) -> Survey {
    match node {
        Node::Leaf(leaf) => check_leaf(leaf, low, high, is_root),
        Node::Branch(branch) => check_branch(branch, low, high),
    }
}

fn check_leaf<K: Ord, V>(leaf: &Leaf<K, V>, low: Option<&K>, high: Option<&K>, is_root: bool) -> Survey {
    assert!(is_root || !leaf.keys.is_empty(), "empty leaf");
    assert!(leaf.keys.len() <= Leaf::<K, V>::ENTRIES_MAX);
    assert_eq!(leaf.keys.len(), leaf.values.len());
    assert!(low.is_none_or(|low| leaf.keys.iter().all(|key| low <= key)));
    assert!(high.is_none_or(|high| leaf.keys.iter().all(|key| key < high)));
    Survey { entries: leaf.keys.len(), leaves: 1, height: 0 }
}

fn check_branch<K: Ord, V>(branch: &Branch<K, V>, low: Option<&K>, high: Option<&K>) -> Survey {
    let count = branch.children.len();
    assert!((2..=CHILDREN_MAX).contains(&count), "{count} children");
    assert_eq!(branch.separators.len() + 1, count);
    let mut sum: Option<Survey> = None;
    for (index, child) in branch.children.iter().enumerate() {
        let low = index.checked_sub(1).map(|index| &branch.separators[index]).or(low);
        let high = branch.separators.get(index).or(high);
        let survey = check_node(child, low, high, false);
        let before = sum.take().unwrap_or(Survey { entries: 0, leaves: 0, height: survey.height });
        assert_eq!(before.height, survey.height, "leaves at different depths");
        sum = Some(Survey {
            entries: before.entries + survey.entries,
            leaves: before.leaves + survey.leaves,
            height: survey.height,
        });
    }
    let sum = sum.expect("a branch has children");
    Survey { height: sum.height + 1, ..sum }
}

fn height<K, V>(map: &OrderedMap<K, V>) -> usize {
    let (mut node, mut height) = (&*map.root, 0);
    while let Node::Branch(branch) = node {
        (node, height) = (&branch.children[0], height + 1);
    }
    height
}

/// A xorshift generator: the same sequence for the same seed, everywhere.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

fn assert_same<V: Clone + PartialEq + std::fmt::Debug>(map: &OrderedMap<u64, V>, model: &BTreeMap<u64, V>) {
    map.check();
    assert_eq!(map.len(), model.len());
    assert!(map.iter().eq(model.iter()));
    assert!(map.iter().rev().eq(model.iter().rev()));
    assert_eq!(map.first(), model.first_key_value());
    assert_eq!(map.last(), model.last_key_value());
}

/// Phases of growth and of shrinking, with snapshots that live on and must never change.
fn run_against_model<V: Clone + PartialEq + std::fmt::Debug>(seed: u64, value: impl Fn(u64) -> V) {
    let mut numbers = Numbers::new(seed);
    let (mut map, mut model) = (OrderedMap::new(), BTreeMap::new());
    let mut snapshots: Vec<(OrderedMap<u64, V>, BTreeMap<u64, V>)> = Vec::new();
    for round in 0..40 {
        let keys = 1 + numbers.below(6_000);
        let insert_percent = [90, 50, 10][round % 3];
        for _ in 0..1_000 {
            let key = numbers.below(keys);
            let new = value(numbers.below(1_000));
            if numbers.below(100) >= insert_percent {
                assert_eq!(map.remove(&key), model.remove(&key));
            } else if numbers.below(4) == 0 {
                assert_eq!(map.get(&key), model.get(&key));
                assert_eq!(map.contains_key(&key), model.contains_key(&key));
                let (place, expected) = (map.get_mut(&key), model.get_mut(&key));
                assert_eq!(place, expected);
                if let (Some(place), Some(expected)) = (place, expected) {
                    *place = new.clone();
                    *expected = new;
                }
            } else {
                assert_eq!(map.insert(key, new.clone()), model.insert(key, new));
            }
        }
        assert_same(&map, &model);
        snapshots.push((map.clone(), model.clone()));
        if snapshots.len() > 8 {
            let (snapshot, expected) = snapshots.swap_remove(numbers.below(8) as usize);
            assert_same(&snapshot, &expected);
        }
    }
    for (snapshot, expected) in &snapshots {
        assert_same(snapshot, expected);
    }
}

#[test]
fn random_operations_agree_with_the_standard_map_and_leave_snapshots_alone() {
    for seed in 0..8 {
        run_against_model(seed, |number| number);
        run_against_model(seed, Arc::new);
    }
}

#[test]
fn ranges_of_all_bounds_agree_with_the_standard_map_from_both_ends() {
    let mut numbers = Numbers::new(11);
    for entries in [0, 1, 5, 64, 65, 1_000, 9_000] {
        let model: BTreeMap<u64, u64> = (0..entries).map(|_| (numbers.below(20_000) * 2, 7)).collect();
        let map: OrderedMap<u64, u64> = model.iter().map(|(key, value)| (*key, *value)).collect();
        for _ in 0..300 {
            let start = numbers.below(40_000);
            let length = [3, 300, 40_000][numbers.below(3) as usize];
            let end = start + numbers.below(length);
            for low in [Bound::Unbounded, Bound::Included(start), Bound::Excluded(start)] {
                for high in [Bound::Unbounded, Bound::Included(end), Bound::Excluded(end)] {
                    compare_range(&map, &model, (low, high), &mut numbers);
                }
            }
        }
    }
}

fn compare_range(
    map: &OrderedMap<u64, u64>,
    model: &BTreeMap<u64, u64>,
    bounds: (Bound<u64>, Bound<u64>),
    numbers: &mut Numbers,
) {
    if let (Bound::Excluded(low), Bound::Excluded(high)) = bounds
        && low == high
    {
        // The standard map panics here.
        assert_eq!(map.range(bounds).count() + map.range(bounds).rev().count(), 0);
        return;
    }
    assert!(map.range(bounds).take(200).eq(model.range(bounds).take(200)), "{bounds:?}");
    assert!(map.range(bounds).rev().take(200).eq(model.range(bounds).rev().take(200)), "{bounds:?}");
    let (mut walk, mut expected) = (map.range(bounds), model.range(bounds));
    for _ in 0..200 {
        if numbers.below(2) == 0 {
            assert_eq!(walk.next(), expected.next(), "{bounds:?}");
        } else {
            assert_eq!(walk.next_back(), expected.next_back(), "{bounds:?}");
        }
    }
}

#[test]
fn whole_ranges_meet_in_the_middle() {
    let map: OrderedMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
    let mut walk = map.iter();
    for key in 0..5_000 {
        assert_eq!(walk.next(), Some((&key, &key)));
        assert_eq!(walk.next_back(), Some((&(9_999 - key), &(9_999 - key))));
        assert_eq!(walk.len() as u64, 9_998 - 2 * key);
    }
    assert_eq!((walk.next(), walk.next_back(), walk.next()), (None, None, None));
    assert_eq!(map.values().rev().take(2).collect::<Vec<_>>(), [&9_999, &9_998]);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "this is what is tested")]
fn a_start_behind_the_end_gives_nothing() {
    let map: OrderedMap<u64, u64> = (0..1_000).map(|key| (key, key)).collect();
    for (start, end) in [(900, 3), (500, 499), (5_000, 900)] {
        assert_eq!(map.range(start..end).next(), None);
        assert_eq!(map.range(start..=end).next_back(), None);
        assert_eq!(map.range((Bound::Excluded(start), Bound::Excluded(end))).count(), 0);
    }
    assert_eq!(map.range(7..3).next_back(), None);
}

#[test]
fn ascending_keys_fill_the_leaves() {
    let map: OrderedMap<u64, ()> = (0..100_000).map(|key| (key, ())).collect();
    assert_eq!(map.check(), 100_000_usize.div_ceil(Leaf::<u64, ()>::ENTRIES_MAX));
    let map: OrderedMap<u64, Arc<u64>> = (0..100_000).map(|key| (key, Arc::new(key))).collect();
    assert_eq!(map.check(), 100_000_usize.div_ceil(Leaf::<u64, Arc<u64>>::ENTRIES_MAX));
}

#[test]
fn ascending_keys_within_a_group_fill_the_leaves() {
    let map: OrderedMap<(u8, u64), ()> =
        (0..100_000).map(|number| (((number % 4) as u8, number), ())).collect();
    let least = 100_000 / Leaf::<(u8, u64), ()>::ENTRIES_MAX;
    let leaves = map.check();
    assert!(leaves < least * 21 / 20, "{leaves} leaves, {least} would do");
}

#[test]
fn leaves_are_half_full_on_average_in_any_order_of_inserts() {
    let orders: [fn(u64) -> u64; 5] = [
        |number| 100_000 - number,
        |number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        |number| if number % 2 == 0 { number } else { 1_000_000 - number },
        |number| (number % 100) * 100_000 + number,
        |number| (number % 100) * 100_000 + 100_000 - number,
    ];
    for (place, order) in orders.into_iter().enumerate() {
        let map: OrderedMap<u64, ()> = (0..50_000).map(|number| (order(number), ())).collect();
        let least = 50_000 / Leaf::<u64, ()>::ENTRIES_MAX;
        let leaves = map.check();
        assert!(leaves <= 2 * least + 200, "order {place}: {leaves} leaves, {least} would do");
    }
}

#[test]
fn a_map_that_shrinks_gives_nodes_back() {
    let mut numbers = Numbers::new(5);
    let mut map: OrderedMap<u64, u64> = (0..100_000).map(|key| (key, key)).collect();
    let snapshot = map.clone();
    let mut keys: Vec<u64> = (0..100_000).collect();
    for end in (1..keys.len()).rev() {
        keys.swap(end, numbers.below(end as u64 + 1) as usize);
    }
    for (count, key) in keys.iter().enumerate() {
        assert_eq!(map.remove(key), Some(*key));
        if count % 10_000 == 0 {
            let leaves = map.check();
            let most = 1 + map.len() / Leaf::<u64, u64>::ENTRIES_MIN;
            assert!(leaves <= most, "{leaves} leaves for {} entries", map.len());
        }
    }
    assert!(map.is_empty());
    assert_eq!((map.check(), height(&map)), (1, 0));
    assert!(snapshot.keys().copied().eq(0..100_000));
}

#[test]
fn a_map_emptied_from_one_end_stays_in_order() {
    for is_from_back in [false, true] {
        let mut map: OrderedMap<u64, u64> = (0..20_000).map(|key| (key, key)).collect();
        for count in 0..20_000 {
            let key = if is_from_back { 19_999 - count } else { count };
            assert_eq!(map.remove(&key), Some(key));
            if count % 500 == 0 {
                map.check();
            }
        }
        assert_eq!(map.check(), 1);
    }
}

#[test]
fn the_tree_stays_low_and_a_large_one_drops_on_a_small_stack() {
    let map: OrderedMap<u64, u64> = (0..1_000_000).map(|key| (key, key)).collect();
    assert!(height(&map) <= 4);
    let snapshot = map.clone();
    let thread = std::thread::Builder::new().stack_size(64 * 1024);
    thread.spawn(move || drop((map, snapshot))).unwrap().join().unwrap();
}

#[test]
fn a_writer_copies_only_the_way_to_the_leaf_and_nothing_without_snapshots() {
    let mut map: OrderedMap<u64, u64> = (0..100_000).map(|key| (key, key)).collect();
    let before = nodes(&map);
    map.insert(50_000, 1);
    assert_eq!(nodes(&map), before, "changed in place");
    let snapshot = map.clone();
    map.insert(50_000, 2);
    map.insert(50_001, 2);
    let changed = nodes(&map).iter().zip(&before).filter(|(now, before)| now != before).count();
    assert_eq!(changed, height(&map) + 1);
    assert_eq!((snapshot.get(&50_000), map.get(&50_000)), (Some(&1), Some(&2)));
}

fn nodes(map: &OrderedMap<u64, u64>) -> Vec<*const Node<u64, u64>> {
    let (mut all, mut open) = (Vec::new(), vec![&map.root]);
    while let Some(node) = open.pop() {
        all.push(Arc::as_ptr(node));
        if let Node::Branch(branch) = &**node {
            open.extend(&branch.children);
        }
    }
    all
}

#[test]
fn sets_and_the_common_traits_work() {
    fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<OrderedMap<String, Arc<u64>>>();
    let mut set: OrderedSet<String> = ["b", "a", "c"].map(String::from).into_iter().collect();
    let snapshot = set.clone();
    assert!(!set.insert("a".into()) && set.insert("d".into()) && set.remove("b") && !set.remove("x"));
    assert_eq!(format!("{set:?} {snapshot:?}"), r#"{"a", "c", "d"} {"a", "b", "c"}"#);
    assert!(set.contains("d") && !snapshot.contains("d") && set != snapshot && set == set.clone());
    assert_eq!(set.range("b".to_owned()..).rev().collect::<Vec<_>>(), ["d", "c"]);
    assert_eq!((set.first().unwrap().as_str(), set.last().unwrap().as_str()), ("a", "d"));
    set.clear();
    assert_eq!((set.len(), set.is_empty(), snapshot.len(), snapshot.iter().count()), (0, true, 3, 3));
    let map: OrderedMap<u8, char> = [(2, 'b'), (1, 'a')].into_iter().collect();
    assert_eq!(format!("{map:?}"), "{1: 'a', 2: 'b'}");
    assert_eq!((&map).into_iter().len(), 2);
    assert_eq!(OrderedMap::<u8, u8>::default(), OrderedMap::new());
}

#[test]
fn sparse_limits_leave_room_for_a_merge() {
    const { assert!(CHILDREN_MIN >= 2 && 2 * CHILDREN_MIN <= CHILDREN_MAX) };
}
