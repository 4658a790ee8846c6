//! Lists, directories, slices, pins, names and leases, one by one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use base::{Hash, SimulatedDisk};
use blob::{
    BlobError, BlobForm, BlobStore, Change, Chunking, ContentSizes, Journal, MemoryJournal, ObjectKind,
    PinMode, Pins, PutTreeOptions, Table, read_slice,
};
use tempfile::TempDir;

use super::{assert_unchanged, golden, write_anew};
use crate::support::{clock, noise, open, read};

/// The BLAKE3 hash of the names and bytes of the golden files.
const GOLDEN: &str = "7a6c788616bd3458a8dca7367888b2789b9a86b81eb535d28005447c1316de51";
pub const RECORD_MAGIC: &[u8] = b"ObjR";

/// Makes a record, without content, of its length and checksum, as FORMAT.md has it.
pub fn record(what: u8, name: &Hash, (bytes, crc): (u32, u32), synced: u32, nanos: i64) -> Vec<u8> {
    let mut out = RECORD_MAGIC.to_vec();
    out.extend([what, 0, 0, 0]);
    out.extend(name.as_bytes());
    out.extend(bytes.to_le_bytes());
    out.extend(synced.to_le_bytes());
    out.extend(nanos.to_le_bytes());
    out.extend(crc.to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

fn tiny() -> Chunking {
    Chunking::Content(ContentSizes::new(64, 256, 1_024).unwrap())
}

/// Returns a golden file.
fn one(name: &str) -> Vec<u8> {
    let mut files = golden("structures").into_iter();
    files.find(|(path, _)| path.to_str() == Some(name)).unwrap().1
}

/// Returns the golden directory: `a` is an empty directory, `b` a file, `c` a link.
pub fn directory() -> Vec<u8> {
    one("directory")
}

fn put_directory(store: &BlobStore) -> Hash {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("a")).unwrap();
    fs::set_permissions(path("a"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("b"), b"content").unwrap();
    fs::set_permissions(path("b"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("a/nowhere", path("c")).unwrap();
    store.put_tree(dir.path(), PutTreeOptions::default()).unwrap().0.hash
}

fn slice(store: &BlobStore, hash: &Hash, from: u64, to: u64) -> Vec<u8> {
    let mut slice = Vec::new();
    store.slice(hash, from..to, &mut slice).unwrap();
    slice
}

/// Blobs of one chunk with two groups, of a list cut by content, and of one cut at fixed places.
fn blobs() -> [(Vec<u8>, Chunking); 3] {
    let fixed = [noise(3, 10), vec![0; 4 << 20]].concat();
    [(noise(1, 16_385), Chunking::Fixed), (noise(2, 1_500), tiny()), (fixed, Chunking::Fixed)]
}

fn write() -> Vec<(PathBuf, Vec<u8>)> {
    let store = open(&SimulatedDisk::new());
    let [chunk, list, fixed] =
        blobs().map(|(content, chunking)| store.put(&content[..], chunking).unwrap().hash);
    let object = |hash: &Hash| store.objects().get(hash).unwrap().1;
    [
        ("directory", object(&put_directory(&store))),
        ("list-content", object(&list)),
        ("list-fixed", object(&fixed)),
        ("slice-chunk", slice(&store, &chunk, 16_384, 16_385)),
        ("slice-list", slice(&store, &list, 700, 701)),
    ]
    .map(|(name, bytes)| (PathBuf::from(name), bytes))
    .into()
}

#[test]
fn structures_are_written_as_they_were() {
    let written = write();
    write_anew("structures", &written);
    for ((name, written), (golden_name, golden)) in written.into_iter().zip(golden("structures")) {
        assert!(name == golden_name && written == golden, "{}", name.display());
    }
}

#[test]
fn golden_structures_stay_as_they_are_and_are_read() {
    assert_unchanged(&golden("structures"), GOLDEN);
    let store = open(&SimulatedDisk::new());
    let [(chunk, _), (content, _), (fixed, _)] = blobs();
    // Names and lengths stand where FORMAT.md says.
    for (content, list, entries) in [(&content, "list-content", 32), (&fixed, "list-fixed", 32)] {
        let list = one(list);
        let mut begin = 0;
        for entry in list[entries..].chunks(40) {
            let bytes = u64::from_le_bytes(*entry.last_chunk().unwrap()) as usize;
            let part = &content[begin..begin + bytes];
            assert_eq!(Hash::of(part).as_bytes()[..], entry[..32]);
            store.objects().put(ObjectKind::Chunk, part).unwrap();
            begin += bytes;
        }
        let name = blake3::derive_key("netdb 2026-11-22 blob node", &list);
        let hash = store.objects().put(ObjectKind::Node, &list).unwrap();
        assert_eq!(hash, Hash::from_bytes(name));
        assert!(read(&store, &hash) == *content);
    }
    let name = blake3::derive_key("netdb 2026-11-22 blob directory", &directory());
    let hash = store.objects().put(ObjectKind::Directory, &directory()).unwrap();
    assert_eq!(hash, Hash::from_bytes(name));
    let stat = store.stat(&hash).unwrap();
    assert_eq!((stat.bytes, stat.form), (7, BlobForm::Directory { entries: 3 }));
    let list = Hash::from_bytes(blake3::derive_key("netdb 2026-11-22 blob node", &one("list-content")));
    for (hash, at, bytes, name) in
        [(Hash::of(&chunk), 16_384, &chunk, "slice-chunk"), (list, 700, &content, "slice-list")]
    {
        let mut found = Vec::new();
        let total = read_slice(&hash, at..at + 1, &mut &one(name)[..], &mut found).unwrap();
        assert_eq!((total, &found[..]), (bytes.len() as u64, &bytes[at as usize..][..1]));
    }
}

/// Lists of lists are long: their names, which are their bytes, are golden.
#[test]
fn a_tree_of_lists_has_the_name_that_it_had() {
    let store = open(&SimulatedDisk::new());
    let content = noise(5, 3_500_000);
    let info = store.put(&content[..], tiny()).unwrap();
    assert!(matches!(info.form, BlobForm::Tree { depth: 2, .. }), "{info:?}");
    let name = "aae368e1751e447b0f9e23961ef38b392f77f458a39ce9b92940d4586b450c90";
    assert_eq!(info.hash.to_string(), name);
}

/// A tree of two levels, written by hand.
#[test]
fn a_tree_that_was_written_elsewhere_is_read() {
    let store = open(&SimulatedDisk::new());
    let list = |levels: u8, parts: &[(Hash, u64)]| {
        let mut out = vec![1, levels, 1, 0];
        out.extend(u32::try_from(parts.len()).unwrap().to_le_bytes());
        out.extend(parts.iter().map(|part| part.1).sum::<u64>().to_le_bytes());
        [64_u32, 256, 1_024, 0].iter().for_each(|size| out.extend(size.to_le_bytes()));
        for (hash, bytes) in parts {
            out.extend(hash.as_bytes());
            out.extend(bytes.to_le_bytes());
        }
        store.objects().put(ObjectKind::Node, &out).unwrap()
    };
    let chunk =
        |content: &[u8]| (store.objects().put(ObjectKind::Chunk, content).unwrap(), content.len() as u64);
    let below = [list(0, &[chunk(b"one"), chunk(b" and ")]), list(0, &[chunk(b"two")])];
    let top = list(1, &[(below[0], 8), (below[1], 3)]);
    assert_eq!(read(&store, &top), b"one and two");
    assert!(matches!(store.stat(&top).unwrap().form, BlobForm::Tree { depth: 2, .. }));
    let wrong = list(1, &[(below[0], 7), (below[1], 4)]);
    assert!(matches!(store.get(&wrong, &mut Vec::new()), Err(BlobError::Decode { .. })));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pins_names_and_leases_are_written_as_they_were_and_read() {
    let (store, clock) = (open(&SimulatedDisk::new()), clock());
    let journal = Arc::<MemoryJournal>::default();
    let open = |journal: &Arc<MemoryJournal>| {
        Pins::open(store.clone(), Arc::clone(journal) as _, Arc::clone(&clock) as _).unwrap()
    };
    let pins = open(&journal);
    let [one, two] = [b"one", b"two"].map(|content| store.put(&content[..], Chunking::Fixed).unwrap().hash);
    pins.pin(&one, PinMode::Recursive, Some("f\u{fc}r")).unwrap();
    pins.pin(&two, PinMode::Direct, None).unwrap();
    pins.set_name("a name", &two).unwrap();
    pins.lease(&one, std::time::Duration::from_secs(1)).unwrap();
    // 1,700,000,000 seconds after 1970, and one more.
    let (now, then) = ("00002a36fe9c9717", "00cac471fe9c9717");
    let expected = [
        (Table::Pins, one.to_string(), format!("0102{now}66c3bc72")),
        (Table::Pins, two.to_string(), format!("0101{now}")),
        (Table::Names, "a name".to_owned(), format!("01{two}{now}")),
        (Table::Leases, one.to_string(), format!("01{then}")),
    ];
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut take = |key: &str, value: &[u8]| found.push((table, key.to_owned(), hex(value)));
        journal.visit(table, &mut take).unwrap();
    }
    let sorted = |mut rows: Vec<(Table, String, String)>| {
        rows.sort_by_key(|(table, key, _)| (table.as_str(), key.clone()));
        rows
    };
    assert_eq!(sorted(found), sorted(expected.to_vec()));

    let again = Arc::<MemoryJournal>::default();
    for (table, key, value) in &expected {
        let bytes: Vec<u8> = (0..value.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&value[at..at + 2], 16).unwrap())
            .collect();
        again.write(&[Change { table: *table, key, value: Some(&bytes) }]).unwrap();
    }
    let again = open(&again);
    assert_eq!(again.list(None, 9), pins.list(None, 9));
    assert_eq!(again.names("", None, 9), pins.names("", None, 9));
    assert_eq!(again.leased_until(&one), pins.leased_until(&one));
}
