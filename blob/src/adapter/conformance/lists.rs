//! Checks on lists of objects.

use base::Hash;

use super::super::{ListQuery, ObjectName};
use super::samples::noise;
use super::{Scene, Verdict, hold};
use crate::BlobError;
use crate::object::ObjectKind;

pub(super) fn lists_are_exact(scene: &Scene<'_>) -> Verdict {
    if !scene.adapter.supports_list() {
        let list = scene.adapter.list_objects(&ListQuery::new(1));
        hold!(matches!(list, Err(BlobError::Backend { can_repeat: false, .. })), "{list:?}");
        return Ok(());
    }
    let mut stored = Vec::new();
    for at in 0..40 {
        let content = noise(&format!("list {at}"), 20);
        let name = ObjectName::of(if at % 2 == 0 { ObjectKind::Chunk } else { ObjectKind::Node }, &content);
        scene.adapter.store_object(&name, &content)?;
        stored.push(name);
    }
    let list = |query: &ListQuery| scene.adapter.list_objects(query);
    let all = list(&ListQuery::new(usize::MAX))?;
    hold!(all.is_sorted_by(|one, next| one < next), "not in order, or something twice");
    hold!(stored.iter().all(|name| all.contains(&name.hash)), "something is missing");
    for limit in [0, 1, 2, 39, all.len(), all.len() + 1] {
        let some = list(&ListQuery::new(limit))?;
        hold!(some == all[..limit.min(all.len())], "{} instead of {limit}", some.len());
    }
    for ObjectName { hash, .. } in stored.iter().take(4) {
        for digits in [1, 2, 3, 10, 64] {
            one_prefix(scene, &all, &hash.to_string()[..digits])?;
        }
        let behind = list(&ListQuery::new(3).after(*hash))?;
        let expected: Vec<Hash> = all.iter().filter(|name| *name > hash).take(3).copied().collect();
        hold!(behind == expected, "{} behind {hash}", behind.len());
    }
    if scene.adapter.supports_delete() {
        scene.adapter.delete_object(&stored[0])?;
        let rest = list(&ListQuery::new(usize::MAX))?;
        hold!(!rest.contains(&stored[0].hash) && rest.len() + 1 == all.len(), "what was removed is listed");
    }
    Ok(())
}

fn one_prefix(scene: &Scene<'_>, all: &[Hash], prefix: &str) -> Verdict {
    let expected: Vec<Hash> =
        all.iter().filter(|name| name.to_string().starts_with(prefix)).copied().collect();
    for limit in [1, expected.len(), usize::MAX] {
        let found = scene.adapter.list_objects(&ListQuery::new(limit).with_prefix(prefix)?)?;
        let wanted = &expected[..limit.min(expected.len())];
        hold!(found == wanted, "{} instead of {} that begin with {prefix}", found.len(), wanted.len());
    }
    if let [first, rest @ ..] = &expected[..] {
        let behind = ListQuery::new(usize::MAX).with_prefix(prefix)?.after(*first);
        hold!(scene.adapter.list_objects(&behind)? == rest, "with {prefix}, behind the first");
    }
    Ok(())
}
