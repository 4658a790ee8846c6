//! Blobs that checks store.

use base::Hash;

use super::super::{ObjectName, VerifiedAdapter};
use crate::BlobError;
use crate::chunking::{Chunking, ContentSizes};
use crate::node::{Node, Part};
use crate::object::ObjectKind;
use crate::reference::{BlobRef, ReferenceForm};

/// A blob, and all that it is made of.
pub(super) struct Sample {
    pub reference: BlobRef,
    pub content: Vec<u8>,
    /// What stands in it, in the order of their bytes; what names it comes last.
    pub objects: Vec<(ObjectName, Vec<u8>)>,
}

/// Returns bytes that nothing compresses or repeats, different for each topic.
pub(super) fn noise(topic: &str, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(topic.as_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Returns small chunks that end where the content says.
pub(super) fn small_chunks() -> Result<Chunking, BlobError> {
    Ok(Chunking::Content(ContentSizes::new(1 << 10, 4 << 10, 16 << 10)?))
}

/// Returns a blob of each form, and puts their objects where they are copied from.
pub(super) fn all(source: &VerifiedAdapter) -> Result<Vec<Sample>, BlobError> {
    let samples = vec![
        small(Vec::new())?,
        small(noise("one byte", 1))?,
        small(noise("small", 70_000))?,
        manifest()?,
        tree()?,
    ];
    for (name, content) in samples.iter().flat_map(|sample| &sample.objects) {
        source.store_object(name, content)?;
    }
    Ok(samples)
}

fn small(content: Vec<u8>) -> Result<Sample, BlobError> {
    let name = ObjectName::of(ObjectKind::Chunk, &content);
    let reference = BlobRef::small(name.hash, content.len() as u64)?;
    Ok(Sample { reference, objects: vec![(name, content.clone())], content })
}

fn manifest() -> Result<Sample, BlobError> {
    let content = noise("manifest", 20_000);
    let mut objects = Vec::new();
    let list = list(content.chunks(3_000), &mut objects)?;
    let form = ReferenceForm::Manifest { chunks: 7 };
    let reference = BlobRef::new(form, list.name, list.bytes)?;
    Ok(Sample { reference, content, objects })
}

/// A tree of two levels, in which one list stands twice.
fn tree() -> Result<Sample, BlobError> {
    let mut content = noise("tree", 12_000);
    content.extend_from_within(..4_000);
    let mut objects = Vec::new();
    let lists = content.chunks(4_000).map(|part| list(part.chunks(1_500), &mut objects));
    let parts = lists.collect::<Result<Vec<Part>, BlobError>>()?;
    let root = put(&Node { levels: 1, chunking: small_chunks()?, parts }, &mut objects);
    let reference = BlobRef::new(ReferenceForm::Tree { depth: 2 }, root.name, root.bytes)?;
    Ok(Sample { reference, content, objects })
}

/// Makes a list of chunks.
pub(super) fn list<'a>(
    chunks: impl Iterator<Item = &'a [u8]>,
    objects: &mut Vec<(ObjectName, Vec<u8>)>,
) -> Result<Part, BlobError> {
    let mut parts = Vec::new();
    for chunk in chunks {
        let name = Hash::of(chunk);
        parts.push(Part { name, bytes: chunk.len() as u64 });
        objects.push((ObjectName { kind: ObjectKind::Chunk, hash: name }, chunk.to_vec()));
    }
    Ok(put(&Node { levels: 0, chunking: small_chunks()?, parts }, objects))
}

fn put(node: &Node, objects: &mut Vec<(ObjectName, Vec<u8>)>) -> Part {
    let bytes = node.encode();
    let name = ObjectName::of(ObjectKind::Node, &bytes);
    objects.push((name, bytes));
    Part { name: name.hash, bytes: node.bytes() }
}
