use std::sync::Mutex;

use base::{Classify, ErrorKind};

use super::*;
use crate::adapter::{AdapterName, MemoryAdapter, OwnAdapter};
use crate::chunking::ContentSizes;
use crate::reference::BlobEncoding;

/// Remembers what was asked of it, and fails where it is told to.
#[derive(Debug, Default)]
struct Watched {
    inner: MemoryAdapter,
    fetched: Mutex<Vec<Hash>>,
    stored: Mutex<Vec<ObjectName>>,
    prefetched: Mutex<Vec<Hash>>,
    noted: Mutex<Vec<Hash>>,
    /// Deletes that go well before the first that does not.
    deletes: Mutex<Option<usize>>,
}

impl BlobAdapter for Watched {
    fn adapter_id(&self) -> &str {
        "watched"
    }

    fn accepted_schemes(&self) -> &[String] {
        self.inner.accepted_schemes()
    }

    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        self.stored.lock().unwrap().push(*name);
        self.inner.store_object(name, content)
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        self.fetched.lock().unwrap().push(name.hash);
        self.inner.fetch_object(name)
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        self.inner.stat_object(name)
    }

    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        match &mut *self.deletes.lock().unwrap() {
            Some(0) => return Err(BlobError::Cancelled),
            Some(left) => *left -= 1,
            None => {}
        }
        self.inner.delete_object(name)
    }

    fn prefetch_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        self.prefetched.lock().unwrap().push(name.hash);
        Ok(true)
    }

    fn note_blob(&self, whole: &ObjectName) -> Result<(), BlobError> {
        self.noted.lock().unwrap().push(whole.hash);
        Ok(())
    }
}

fn watched() -> (Arc<Watched>, VerifiedAdapter) {
    let watched = Arc::new(Watched::default());
    (Arc::clone(&watched), VerifiedAdapter::new(watched))
}

fn memory() -> VerifiedAdapter {
    VerifiedAdapter::new(Arc::new(MemoryAdapter::new()))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"verified").finalize_xof().fill(&mut noise);
    noise
}

fn small_chunks() -> Chunking {
    Chunking::Content(ContentSizes::new(64, 256, 1_024).unwrap())
}

/// Puts a tree by hand: two lists of two chunks each, of 100 bytes each.
fn tree(adapter: &VerifiedAdapter) -> (BlobRef, Vec<u8>, Vec<ObjectName>) {
    let content = noise(400);
    let mut names = Vec::new();
    let mut put = |kind, bytes: &[u8]| {
        let name = ObjectName::of(kind, bytes);
        adapter.store_object(&name, bytes).unwrap();
        names.push(name);
        name.hash
    };
    let chunking = small_chunks();
    let lists = content.chunks(200).map(|part| {
        let parts = part.chunks(100).map(|chunk| Part { name: put(ObjectKind::Chunk, chunk), bytes: 100 });
        let parts = parts.collect();
        Part { name: put(ObjectKind::Node, &Node { levels: 0, chunking, parts }.encode()), bytes: 200 }
    });
    let parts = lists.collect();
    let root = put(ObjectKind::Node, &Node { levels: 1, chunking, parts }.encode());
    (BlobRef::new(ReferenceForm::Tree { depth: 2 }, root, 400).unwrap(), content, names)
}

#[test]
fn ranges_read_only_the_objects_that_they_touch() {
    let (watched, adapter) = watched();
    let (reference, content, names) = tree(&adapter);
    let [c0, c1, l0, c2, c3, l1, root] = names[..] else { panic!("seven objects") };
    for (range, touched) in [
        (0..1, vec![root, l0, c0]),
        (99..100, vec![root, l0, c0]),
        (100..101, vec![root, l0, c1]),
        (99..101, vec![root, l0, c0, c1]),
        (199..201, vec![root, l0, c1, l1, c2]),
        (200..400, vec![root, l1, c2, c3]),
        (399..400, vec![root, l1, c3]),
        (200..200, vec![root]),
        (0..400, vec![root, l0, c0, c1, l1, c2, c3]),
    ] {
        watched.fetched.lock().unwrap().clear();
        let found = adapter.fetch_range(&reference, range.clone()).unwrap();
        assert_eq!(found, content[range.start as usize..range.end as usize], "{range:?}");
        let mut fetched = std::mem::take(&mut *watched.fetched.lock().unwrap());
        let mut touched: Vec<_> = touched.into_iter().map(|name| name.hash).collect();
        // What is read at the same time is in no order.
        fetched.sort_unstable();
        touched.sort_unstable();
        assert_eq!(fetched, touched, "{range:?}");
    }
}

#[test]
fn references_that_say_something_else_than_their_lists_are_refused() {
    let adapter = memory();
    let content = noise(20_000);
    let manifest = adapter.put(&mut &content[..], small_chunks()).unwrap();
    let ReferenceForm::Manifest { chunks } = manifest.form() else { panic!("a manifest") };
    let (tree, ..) = tree(&adapter);
    let list = |reference: &BlobRef, form| BlobRef::new(form, reference.hash(), reference.bytes()).unwrap();
    let longer = |of: &BlobRef| BlobRef::new(of.form(), of.hash(), of.bytes() + 1).unwrap();
    for forged in [
        list(&manifest, ReferenceForm::Manifest { chunks: chunks + 1 }),
        list(&manifest, ReferenceForm::Tree { depth: 2 }),
        list(&tree, ReferenceForm::Manifest { chunks: 2 }),
        list(&tree, ReferenceForm::Tree { depth: 1 }),
        list(&tree, ReferenceForm::Tree { depth: 3 }),
        longer(&manifest),
        longer(&tree),
    ] {
        for result in [adapter.fetch(&forged).map(drop), adapter.stat(&forged).map(drop)] {
            assert!(matches!(result, Err(BlobError::Decode { .. })), "{forged}: {result:?}");
        }
        let copied = memory().copy_from(&adapter, &forged);
        assert!(matches!(copied, Err(BlobError::Decode { .. })), "{forged}: {copied:?}");
    }
    // A list of one level without others below says the same of its chunks as a manifest.
    assert_eq!(adapter.fetch(&list(&manifest, ReferenceForm::Tree { depth: 1 })).unwrap(), content);
    let chunk = adapter.put(&mut &content[..9], Chunking::Fixed).unwrap();
    for result in [adapter.fetch(&longer(&chunk)).map(drop), adapter.stat(&longer(&chunk)).map(drop)] {
        assert!(matches!(result, Err(BlobError::ShortChunk { expected: 10, found: 9, .. })), "{result:?}");
    }
    let empty = BlobRef::small(chunk.hash(), 0).unwrap();
    assert!(matches!(adapter.fetch(&empty), Err(BlobError::ShortChunk { expected: 0, found: 9, .. })));
    // A chunk as a list, and a list as a chunk, are other names.
    let as_list = BlobRef::new(ReferenceForm::Manifest { chunks: 1 }, chunk.hash(), 9).unwrap();
    assert!(matches!(adapter.fetch(&as_list), Err(BlobError::HashMismatch { .. })));
}

#[test]
fn a_chunk_of_another_length_than_its_list_says_is_refused() {
    let adapter = memory();
    let chunk = noise(50);
    adapter.store_object(&ObjectName::of(ObjectKind::Chunk, &chunk), &chunk).unwrap();
    let parts = vec![Part { name: Hash::of(&chunk), bytes: 51 }];
    let list = Node { levels: 0, chunking: Chunking::Fixed, parts }.encode();
    let name = ObjectName::of(ObjectKind::Node, &list);
    adapter.store_object(&name, &list).unwrap();
    let reference = BlobRef::new(ReferenceForm::Manifest { chunks: 1 }, name.hash, 51).unwrap();
    for result in [adapter.fetch(&reference).map(drop), memory().copy_from(&adapter, &reference)] {
        assert!(matches!(result, Err(BlobError::ShortChunk { expected: 51, found: 50, .. })), "{result:?}");
    }
}

#[test]
fn what_is_larger_than_any_object_is_damage() {
    let (watched, adapter) = watched();
    let content = vec![0; CHUNK_BYTES_MAX + 1];
    let name = ObjectName::of(ObjectKind::Chunk, &content);
    watched.inner.store_object(&name, &content).unwrap();
    let error = adapter.fetch_object(&name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(matches!(adapter.store_object(&name, &content), Err(BlobError::TooLarge { .. })));
}

#[test]
fn a_copy_stores_lists_behind_what_they_list_and_each_object_once() {
    let (source, (watched, target)) = (memory(), watched());
    let (reference, content, names) = tree(&source);
    target.copy_from(&source, &reference).unwrap();
    assert_eq!(target.fetch(&reference).unwrap(), content);
    let stored = watched.stored.lock().unwrap().clone();
    let place = |name: &ObjectName| stored.iter().position(|stored| stored == name).unwrap();
    let [c0, c1, l0, c2, c3, l1, root] = names[..] else { panic!("seven objects") };
    for (part, list) in [(c0, l0), (c1, l0), (c2, l1), (c3, l1), (l0, root), (l1, root)] {
        assert!(place(&part) < place(&list));
    }
    assert_eq!((stored.len(), &watched.noted.lock().unwrap()[..]), (7, &[root.hash][..]));
}

#[test]
fn a_copy_without_one_of_its_parts_has_no_name() {
    let (source, (watched, target)) = (memory(), watched());
    let (reference, _, names) = tree(&source);
    source.delete_object(&names[4]).unwrap();
    assert!(
        matches!(target.copy_from(&source, &reference), Err(BlobError::NotFound { hash }) if hash == names[4].hash)
    );
    assert!(!target.exists(&reference).unwrap() && watched.noted.lock().unwrap().is_empty());
}

#[test]
fn content_that_is_not_the_references_gets_no_name() {
    let content = noise(20_000);
    for (chunking, length) in [(Chunking::Fixed, 20_000), (small_chunks(), 20_000), (Chunking::Fixed, 0)] {
        let reference = memory().put(&mut &content[..length], chunking).unwrap();
        let (watched, adapter) = watched();
        let mut other = content[..length].to_vec();
        if let Some(byte) = other.last_mut() {
            *byte ^= 1;
            let stored = adapter.store(&reference, chunking, &other);
            assert!(matches!(stored, Err(BlobError::HashMismatch { .. })), "{reference}: {stored:?}");
            let stored = adapter.store(&reference, chunking, &content[..length - 1]);
            assert!(matches!(stored, Err(BlobError::ShortChunk { .. })), "{reference}: {stored:?}");
        }
        other.push(1);
        let stored = adapter.store(&reference, chunking, &other);
        assert!(matches!(stored, Err(BlobError::ShortChunk { .. })), "{reference}: {stored:?}");
        assert!(!adapter.exists(&reference).unwrap() && watched.noted.lock().unwrap().is_empty());
        adapter.store(&reference, chunking, &content[..length]).unwrap();
        assert_eq!(*watched.noted.lock().unwrap(), [reference.hash()]);
        assert_eq!(adapter.fetch(&reference).unwrap(), content[..length]);
    }
    // Cut in another way it is another blob.
    let reference = memory().put(&mut &content[..], small_chunks()).unwrap();
    let stored = memory().store(&reference, Chunking::Fixed, &content);
    assert!(matches!(stored, Err(BlobError::HashMismatch { .. })), "{stored:?}");
}

#[test]
fn no_more_is_read_of_a_source_than_tells_that_it_is_too_long() {
    struct TooFar;
    impl Read for TooFar {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("read too far"))
        }
    }
    let content = noise(20_000);
    for (chunking, length) in [(Chunking::Fixed, 9), (small_chunks(), 19_999)] {
        let reference = memory().put(&mut &content[..length], chunking).unwrap();
        let stored = memory().store_stream(&reference, chunking, &mut content[..=length].chain(TooFar));
        assert!(matches!(stored, Err(BlobError::ShortChunk { .. })), "{stored:?}");
    }
}

#[test]
fn a_list_that_stands_at_two_places_is_worked_on_once() {
    let ((watched, adapter), (other, target)) = (watched(), watched());
    let (tree, _, names) = tree(&adapter);
    let list = adapter.fetch_object(&names[2]).unwrap();
    let part = Part { name: names[2].hash, bytes: Node::decode(&list).unwrap().bytes() };
    let twice = Node { levels: 1, chunking: small_chunks(), parts: vec![part, part] }.encode();
    let root = ObjectName::of(ObjectKind::Node, &twice);
    adapter.store_object(&root, &twice).unwrap();
    let twice = BlobRef::new(tree.form(), root.hash, 2 * part.bytes).unwrap();
    target.copy_from(&adapter, &twice).unwrap();
    assert_eq!(other.stored.lock().unwrap().len(), 4, "two chunks, their list, and the one above");
    assert_eq!(target.fetch(&twice).unwrap().len(), 400);
    watched.fetched.lock().unwrap().clear();
    assert!(adapter.delete(&twice, &|_| false).unwrap());
    assert_eq!(*watched.fetched.lock().unwrap(), [root.hash, names[2].hash]);
}

#[test]
fn a_removal_that_was_interrupted_is_finished_by_the_next() {
    for deletes in 0..7 {
        let (watched, adapter) = watched();
        let (reference, _, names) = tree(&adapter);
        *watched.deletes.lock().unwrap() = Some(deletes);
        assert!(adapter.delete(&reference, &|_| false).is_err());
        *watched.deletes.lock().unwrap() = None;
        assert!(adapter.delete(&reference, &|_| false).unwrap(), "after {deletes}");
        let left: Vec<_> = names.iter().filter(|name| adapter.stat_object(name).unwrap().is_some()).collect();
        assert!(left.is_empty(), "after {deletes}: {left:?}");
    }
}

#[test]
fn what_is_kept_is_kept_with_its_parts() {
    let adapter = memory();
    let (reference, _, names) = tree(&adapter);
    let [c0, c1, l0, c2, c3, l1, root] = names[..] else { panic!("seven objects") };
    assert!(!adapter.delete(&reference, &|name| *name == root).unwrap());
    assert!(adapter.delete(&reference, &|name| *name == l0 || *name == c3).unwrap());
    for (name, is_kept) in
        [(c0, true), (c1, true), (l0, true), (c2, false), (c3, true), (l1, false), (root, false)]
    {
        assert_eq!(adapter.stat_object(&name).unwrap().is_some(), is_kept);
    }
}

#[test]
fn references_to_elsewhere_and_in_shards_are_refused_by_everything() {
    let adapter = memory();
    let own = adapter.put(&mut &b"x"[..], Chunking::Fixed).unwrap();
    let elsewhere = own.clone().with_uri("s3://b").unwrap();
    let sharded = own.clone().with_encoding(BlobEncoding::ReedSolomon { k: 2, m: 1 }).unwrap();
    for reference in [&elsewhere, &sharded] {
        let results = [
            adapter.fetch(reference).map(drop),
            adapter.fetch_range(reference, 0..1).map(drop),
            adapter.store(reference, Chunking::Fixed, b"x"),
            adapter.copy_from(&memory(), reference),
            adapter.exists(reference).map(drop),
            adapter.stat(reference).map(drop),
            adapter.delete(reference, &|_| false).map(drop),
            adapter.prefetch(reference),
        ];
        for result in results {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            let is_scheme = matches!(&error, BlobError::UnsupportedScheme { scheme, .. } if scheme == "s3");
            let is_encoding = matches!(error, BlobError::UnsupportedEncoding { .. });
            assert!(if reference == &elsewhere { is_scheme } else { is_encoding }, "{error}");
        }
    }
    assert!(adapter.exists(&own.clone().with_uri("memory:x").unwrap()).unwrap());
    let archive = MemoryAdapter::new().with_name(AdapterName::new("archive", "s3"));
    assert!(!VerifiedAdapter::new(Arc::new(archive)).exists(&elsewhere).unwrap());
}

#[test]
fn what_is_cancelled_ends_before_its_next_object() {
    /// Sets the flag once so many bytes came through.
    struct Until<'a>(usize, &'a AtomicBool);
    impl Write for Until<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_sub(bytes.len());
            if self.0 == 0 {
                self.1.store(true, Ordering::Relaxed);
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (watched, adapter) = watched();
    let content = noise(20_000);
    let reference = adapter.put(&mut &content[..], small_chunks()).unwrap();
    watched.fetched.lock().unwrap().clear();
    let flag = Arc::new(AtomicBool::new(false));
    let cancelled = adapter.cancelled_by(Arc::clone(&flag));
    let fetched = cancelled.fetch_stream(&reference, &mut Until(1_000, &flag));
    assert!(matches!(fetched, Err(BlobError::Cancelled)), "{fetched:?}");
    assert_eq!(BlobError::Cancelled.kind(), ErrorKind::Unavailable);
    assert!(watched.fetched.lock().unwrap().len() < 30);
    let put = cancelled.put(&mut &content[..], Chunking::Fixed);
    assert!(matches!(put, Err(BlobError::Cancelled)), "{put:?}");
    let deleted = cancelled.delete(&BlobRef::small(Hash::of(b"x"), 1).unwrap(), &|_| false);
    assert!(matches!(deleted, Err(BlobError::Cancelled)), "{deleted:?}");
    assert_eq!(adapter.fetch(&reference).unwrap(), content, "the other one goes on");
}

#[test]
fn prefetching_names_the_blob_and_its_chunks_where_that_makes_a_difference() {
    let (watched, adapter) = watched();
    let (reference, _, names) = tree(&adapter);
    adapter.prefetch(&reference).unwrap();
    let prefetched = watched.prefetched.lock().unwrap().clone();
    let [c0, c1, _, c2, c3, _, root] = names[..] else { panic!("seven objects") };
    assert_eq!(prefetched, [root, c0, c1, c2, c3].map(|name| name.hash));
    // Where it makes none, nothing is read, and nothing need be there.
    memory().prefetch(&reference).unwrap();
}

#[test]
fn blobs_come_from_our_own_store_and_go_back_to_it() {
    let doors = base::Doors::memory();
    let open = |dir| crate::BlobStore::open(std::path::Path::new(dir), &doors).unwrap();
    let (here, there, content) = (open("here"), open("there"), noise(30_000));
    let info = here.put(&content[..], small_chunks()).unwrap();
    let reference = BlobRef::try_from(&info).unwrap();
    let own = |store: &crate::BlobStore| VerifiedAdapter::new(Arc::new(OwnAdapter::new(store.clone())));
    let away = memory();
    away.copy_from(&own(&here), &reference).unwrap();
    assert_eq!(away.verify(&reference).unwrap(), 30_000);
    own(&there).copy_from(&away, &reference).unwrap();
    assert_eq!(there.list(), [info.hash], "as a blob, not as parts of one");
    let mut found = Vec::new();
    there.get(&info.hash, &mut found).unwrap();
    assert_eq!(found, content);
    let stat = own(&there).stat(&reference).unwrap();
    assert_eq!((stat.bytes, stat.chunking), (30_000, Some(small_chunks())));
    assert!(stat.stored_at.is_some());
}

#[test]
fn a_put_is_what_the_store_makes_of_the_same_bytes() {
    let store = crate::BlobStore::open(std::path::Path::new("blobs"), &base::Doors::memory()).unwrap();
    let content = noise(2_500_000);
    // The last has more chunks than a list can name.
    for (length, chunking) in
        [(0, Chunking::Fixed), (9, Chunking::Fixed), (30_000, small_chunks()), (2_500_000, small_chunks())]
    {
        let info = store.put(&content[..length], chunking).unwrap();
        let adapter = memory();
        let reference = adapter.put(&mut &content[..length], chunking).unwrap();
        assert_eq!(reference, BlobRef::try_from(&info).unwrap());
        assert_eq!(adapter.fetch(&reference).unwrap(), content[..length]);
        let middle = length as u64 / 2;
        assert_eq!(
            adapter.fetch_range(&reference, middle..length as u64).unwrap(),
            content[length / 2..length]
        );
    }
}
