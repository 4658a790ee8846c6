//! Checks on single objects.

use std::thread;

use base::Hash;

use super::super::{BlobAdapter, ObjectName};
use super::samples::noise;
use super::{Scene, Verdict, hold};
use crate::BlobError;
use crate::limits::CHUNK_BYTES_MAX;
use crate::object::ObjectKind;
use crate::reference::BlobRef;

/// A chunk of noise.
fn chunk(topic: &str, bytes: usize) -> (ObjectName, Vec<u8>) {
    let content = noise(topic, bytes);
    (ObjectName::of(ObjectKind::Chunk, &content), content)
}

pub(super) fn has_a_name(scene: &Scene<'_>) -> Verdict {
    let adapter = &scene.adapter;
    hold!(!adapter.adapter_id().is_empty(), "an empty id");
    hold!(!adapter.accepted_schemes().is_empty(), "no scheme");
    for scheme in adapter.accepted_schemes() {
        let reference = BlobRef::small(Hash::of(b"x"), 1)?.with_uri(&format!("{scheme}:x"));
        hold!(reference.is_ok() || scheme == crate::OWN_SCHEME, "`{scheme}` is no scheme");
        hold!(scene.verified.accepts(scheme), "`{scheme}` is not accepted");
    }
    Ok(())
}

pub(super) fn missing_is_missing(scene: &Scene<'_>) -> Verdict {
    for kind in [ObjectKind::Chunk, ObjectKind::Node] {
        let name = ObjectName::of(kind, b"never stored anywhere");
        let fetched = scene.adapter.fetch_object(&name);
        hold!(
            matches!(fetched, Err(BlobError::NotFound { hash }) if hash == name.hash),
            "fetch: {fetched:?}"
        );
        let stat = scene.adapter.stat_object(&name)?;
        hold!(stat.is_none(), "stat: {stat:?}");
        if scene.adapter.supports_delete() {
            hold!(!scene.adapter.delete_object(&name)?, "something was removed");
        }
    }
    Ok(())
}

pub(super) fn objects_round_trip(scene: &Scene<'_>) -> Verdict {
    let mut objects: Vec<_> = [0, 1, 1_000, 300_000].map(|bytes| chunk("round", bytes)).into();
    objects.extend(scene.samples.iter().flat_map(|sample| sample.objects.clone()));
    for (name, content) in &objects {
        // Once more makes no difference.
        for _ in 0..2 {
            scene.adapter.store_object(name, content)?;
            let fetched = scene.adapter.fetch_object(name)?;
            hold!(fetched == *content, "{} of {} bytes differ", fetched.len(), content.len());
        }
        let stat = scene.adapter.stat_object(name)?.map(|stat| stat.bytes);
        hold!(stat == Some(content.len() as u64), "stat: {stat:?} for {} bytes", content.len());
    }
    // What came later left what came before.
    for (name, content) in &objects {
        hold!(scene.adapter.fetch_object(name)? == *content, "an object changed later");
    }
    Ok(())
}

pub(super) fn large_objects_round_trip(scene: &Scene<'_>) -> Verdict {
    let (name, content) = chunk("large", CHUNK_BYTES_MAX);
    scene.verified.store_object(&name, &content)?;
    hold!(scene.verified.fetch_object(&name)? == content, "16 MiB differ");
    let reference = BlobRef::small(name.hash, content.len() as u64)?;
    let end = scene.verified.fetch_range(&reference, 16_777_000..16_777_216)?;
    hold!(end == content[16_777_000..], "its end differs");
    if scene.adapter.supports_delete() {
        hold!(scene.adapter.delete_object(&name)?, "it was not there to be removed");
    }
    let (name, content) = chunk("larger", CHUNK_BYTES_MAX + 1);
    let stored = scene.verified.store_object(&name, &content);
    hold!(matches!(stored, Err(BlobError::TooLarge { .. })), "more than 16 MiB: {stored:?}");
    Ok(())
}

pub(super) fn wrong_content_is_refused(scene: &Scene<'_>) -> Verdict {
    let (name, content) = chunk("right", 500);
    let (_, other) = chunk("wrong", 500);
    for wrong in [&other[..], &content[..499], &[]] {
        let stored = scene.verified.store_object(&name, wrong);
        hold!(matches!(stored, Err(BlobError::HashMismatch { .. })), "{stored:?}");
    }
    let as_list = ObjectName { kind: ObjectKind::Node, hash: name.hash };
    let stored = scene.verified.store_object(&as_list, &content);
    hold!(matches!(stored, Err(BlobError::HashMismatch { .. })), "a chunk as a list: {stored:?}");
    hold!(scene.adapter.stat_object(&name)?.is_none(), "it is there all the same");
    Ok(())
}

/// What an adapter that cannot tell is asked to store is stored in the place of what is there.
pub(super) fn other_content_is_replaced(scene: &Scene<'_>) -> Verdict {
    let (name, content) = chunk("replaced", 700);
    let mut damaged = content.clone();
    damaged[350] ^= 1;
    for damaged in [&damaged[..], &content[..600], &[]] {
        match scene.adapter.store_object(&name, damaged) {
            // It looks at names itself.
            Err(BlobError::HashMismatch { .. }) => return Ok(()),
            stored => stored?,
        }
        let fetched = scene.verified.fetch_object(&name);
        hold!(matches!(fetched, Err(BlobError::HashMismatch { .. })), "damaged: {fetched:?}");
        scene.verified.store_object(&name, &content)?;
        hold!(scene.verified.fetch_object(&name)? == content, "it stayed damaged");
    }
    Ok(())
}

pub(super) fn removing_is_idempotent(scene: &Scene<'_>) -> Verdict {
    if !scene.adapter.supports_delete() {
        return removing_is_refused(scene);
    }
    let ((name, content), (other, _)) = (chunk("removed", 900), chunk("stays", 900));
    scene.verified.store_object(&other, &noise("stays", 900))?;
    for _ in 0..2 {
        scene.verified.store_object(&name, &content)?;
        hold!(scene.verified.delete_object(&name)?, "it was not there");
        hold!(!scene.verified.delete_object(&name)?, "it was there twice");
        let fetched = scene.verified.fetch_object(&name);
        hold!(matches!(fetched, Err(BlobError::NotFound { .. })), "it is there still: {fetched:?}");
        hold!(scene.verified.stat_object(&name)?.is_none(), "it is told as there");
    }
    hold!(scene.verified.fetch_object(&other).is_ok(), "another went with it");
    Ok(())
}

/// What an adapter cannot remove stays, and it says so, also of what is not there.
fn removing_is_refused(scene: &Scene<'_>) -> Verdict {
    let ((name, content), (missing, _)) = (chunk("removed", 900), chunk("missing", 900));
    scene.verified.store_object(&name, &content)?;
    for name in [&name, &missing] {
        let removed = scene.verified.delete_object(name);
        hold!(
            matches!(removed, Err(BlobError::Backend { can_repeat: false, .. })),
            "not refused: {removed:?}"
        );
    }
    hold!(scene.verified.fetch_object(&name)? == content, "it went all the same");
    Ok(())
}

pub(super) fn stores_at_the_same_time(scene: &Scene<'_>) -> Verdict {
    let shared = chunk("shared", 300_000);
    let own: Vec<_> = (0..8).map(|at| chunk(&format!("own {at}"), 5_000)).collect();
    let adapter: &dyn BlobAdapter = &*scene.adapter;
    let stored: Vec<_> = thread::scope(|scope| {
        let store = |own: &(ObjectName, Vec<u8>)| {
            for (name, content) in [&shared, own] {
                adapter.store_object(name, content)?;
                if adapter.fetch_object(name)? != *content {
                    return Err(BlobError::Decode { what: "content, right after it was stored".to_owned() });
                }
            }
            Ok(())
        };
        let started: Vec<_> = own.iter().map(|own| scope.spawn(move || store(own))).collect();
        started.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for stored in stored {
        match stored {
            Ok(stored) => stored?,
            Err(_) => hold!(false, "the adapter panicked"),
        }
    }
    for (name, content) in own.iter().chain([&shared]) {
        hold!(adapter.fetch_object(name)? == *content, "an object differs");
    }
    Ok(())
}
