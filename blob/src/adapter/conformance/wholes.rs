//! Checks on whole blobs.

use std::sync::Arc;

use base::{Classify, ErrorKind};

use super::super::VerifiedAdapter;
use super::flipping::{Change, Flipping};
use super::samples::{self, Sample, noise, small_chunks};
use super::{Scene, Verdict, hold};
use crate::BlobError;
use crate::chunking::Chunking;
use crate::node::Part;
use crate::reference::{BlobRef, ReferenceForm};

pub(super) fn blobs_round_trip(scene: &Scene<'_>) -> Verdict {
    for sample in &scene.samples {
        let reference = &sample.reference;
        scene.verified.copy_from(&scene.source, reference)?;
        same(&scene.verified.fetch(reference)?, &sample.content, reference.form())?;
        hold!(scene.verified.exists(reference)?, "{reference} is not there");
        let stat = scene.verified.stat(reference)?;
        hold!(stat.bytes == reference.bytes() && stat.form == reference.form(), "stat: {stat:?}");
        let as_stream = scene.verified.verify(reference)?;
        hold!(as_stream == reference.bytes(), "{as_stream} bytes of {reference}");
        scene.verified.prefetch(reference)?;
    }
    for (content, chunking) in [
        (Vec::new(), Chunking::Fixed),
        (noise("put", 9_000), Chunking::Fixed),
        (noise("put", 90_000), small_chunks()?),
    ] {
        let reference = scene.verified.put(&mut &content[..], chunking)?;
        same(&scene.verified.fetch(&reference)?, &content, reference.form())?;
        scene.verified.store(&reference, chunking, &content)?;
        let wrong = scene.verified.store(&reference, chunking, &noise("other", content.len() + 1));
        hold!(wrong.is_err(), "another content was stored");
        same(&scene.verified.fetch(&reference)?, &content, reference.form())?;
    }
    Ok(())
}

fn same(found: &[u8], expected: &[u8], form: ReferenceForm) -> Verdict {
    hold!(found == expected, "{} of {} bytes differ as {}", found.len(), expected.len(), form.as_str());
    Ok(())
}

pub(super) fn ranges_are_exact(scene: &Scene<'_>) -> Verdict {
    for Sample { reference, content, .. } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        let bytes = reference.bytes();
        // The ends of chunks and lists in samples are among these.
        let mut edges = vec![0, 1, 1_500, 3_001, 4_000, bytes / 2, bytes.saturating_sub(1), bytes];
        edges.retain(|edge| *edge <= bytes);
        edges.sort_unstable();
        edges.dedup();
        for &from in &edges {
            for &to in &edges {
                let range = scene.verified.fetch_range(reference, from..to);
                if from > to {
                    hold!(matches!(range, Err(BlobError::Range { .. })), "{from}..{to} of {bytes}");
                } else {
                    let expected = &content[from as usize..to as usize];
                    hold!(range? == expected, "{from}..{to} of {reference}");
                }
            }
        }
        for (from, to) in [(0, bytes + 1), (bytes + 1, bytes + 1), (u64::MAX - 1, u64::MAX)] {
            let range = scene.verified.fetch_range(reference, from..to);
            hold!(matches!(range, Err(BlobError::Range { .. })), "{from}..{to} of {bytes}");
        }
    }
    Ok(())
}

pub(super) fn missing_parts_are_missing(scene: &Scene<'_>) -> Verdict {
    if !scene.adapter.supports_delete() {
        return parts_that_were_never_there_are_missing(scene);
    }
    for Sample { reference, content, objects } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        for (name, stored) in objects {
            scene.verified.delete_object(name)?;
            let mut found = Vec::new();
            let fetched = scene.verified.fetch_stream(reference, &mut found);
            let is_told = matches!(fetched, Err(BlobError::NotFound { hash }) if hash == name.hash);
            hold!(is_told, "without {}: {fetched:?}", name.hash);
            hold!(content.starts_with(&found), "wrong bytes before what is missing");
            scene.verified.store_object(name, stored)?;
        }
        let name = &objects[objects.len() - 1].0;
        hold!(scene.verified.delete_object(name)? && !scene.verified.exists(reference)?, "it exists still");
        let stat = scene.verified.stat(reference);
        hold!(matches!(stat, Err(BlobError::NotFound { .. })), "stat: {stat:?}");
        let range = scene.verified.fetch_range(reference, 0..0);
        hold!(matches!(range, Err(BlobError::NotFound { .. })), "range: {range:?}");
    }
    Ok(())
}

fn parts_that_were_never_there_are_missing(scene: &Scene<'_>) -> Verdict {
    let (content, mut objects) = (noise("incomplete", 9_000), Vec::new());
    let Part { name, bytes } = samples::list(content.chunks(3_000), &mut objects)?;
    let reference = BlobRef::new(ReferenceForm::Manifest { chunks: 3 }, name, bytes)?;
    // From what names it to its end, and the middle last.
    for at in [3, 0, 2, 1] {
        let mut found = Vec::new();
        let fetched = scene.verified.fetch_stream(&reference, &mut found);
        hold!(matches!(fetched, Err(BlobError::NotFound { .. })), "not all is there: {fetched:?}");
        hold!(content.starts_with(&found), "wrong bytes before what is missing");
        let (name, stored) = &objects[at];
        scene.verified.store_object(name, stored)?;
    }
    same(&scene.verified.fetch(&reference)?, &content, reference.form())
}

pub(super) fn flipped_bits_are_found(scene: &Scene<'_>) -> Verdict {
    for Sample { reference, content, objects } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        for (name, _) in objects {
            for change in [Change::Flip, Change::Cut, Change::Extend] {
                let inner = Arc::clone(&scene.adapter);
                let flipping = VerifiedAdapter::new(Arc::new(Flipping { inner, victim: name.hash, change }));
                let mut found = Vec::new();
                let fetched = flipping.fetch_stream(reference, &mut found);
                let is_told =
                    matches!(fetched, Err(BlobError::HashMismatch { hash, .. }) if hash == name.hash);
                hold!(is_told, "{change:?} in {}: {fetched:?}", name.hash);
                hold!(content.starts_with(&found), "wrong bytes came out");
            }
        }
    }
    Ok(())
}

pub(super) fn damage_is_found(scene: &Scene<'_>) -> Verdict {
    let Some(damage) = scene.damage else { return Ok(()) };
    for Sample { reference, content, objects } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        for (name, stored) in objects {
            damage(name)?;
            let fetched = scene.verified.fetch(reference);
            let is_told = fetched.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt);
            hold!(is_told, "damage to {}: {fetched:?}", name.hash);
            scene.verified.store_object(name, stored)?;
            same(&scene.verified.fetch(reference)?, content, reference.form())?;
        }
    }
    Ok(())
}

pub(super) fn removing_keeps_what_is_kept(scene: &Scene<'_>) -> Verdict {
    if !scene.adapter.supports_delete() {
        return removing_is_refused(scene);
    }
    for Sample { reference, objects, .. } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        let kept = objects[0].0;
        let is_alone = objects.len() == 1;
        let removed = scene.verified.delete(reference, &|name| *name == kept)?;
        hold!(removed != is_alone, "told {removed} for {reference}");
        for (name, _) in objects {
            let is_there = scene.verified.stat_object(name)?.is_some();
            hold!(is_there == (*name == kept), "{} of {reference}", name.hash);
        }
        scene.verified.copy_from(&scene.source, reference)?;
        hold!(scene.verified.delete(reference, &|_| false)?, "nothing was there of {reference}");
        hold!(!scene.verified.delete(reference, &|_| false)?, "something was left of {reference}");
        for (name, _) in objects {
            hold!(scene.verified.stat_object(name)?.is_none(), "{} of {reference} stayed", name.hash);
        }
    }
    Ok(())
}

/// What an adapter cannot remove stays as a whole.
fn removing_is_refused(scene: &Scene<'_>) -> Verdict {
    for Sample { reference, content, .. } in &scene.samples {
        scene.verified.copy_from(&scene.source, reference)?;
        let removed = scene.verified.delete(reference, &|_| false);
        let is_refused = matches!(removed, Err(BlobError::Backend { can_repeat: false, .. }));
        hold!(is_refused, "not refused: {removed:?} for {reference}");
        same(&scene.verified.fetch(reference)?, content, reference.form())?;
    }
    Ok(())
}
