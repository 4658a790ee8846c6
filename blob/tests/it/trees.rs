//! Directory trees: there and back, collected, and hostile ones refused as a whole.

#![allow(clippy::disallowed_methods, reason = "trees are the user's own files, not part of a database")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Hash, SimulatedDisk};
use blob::{
    BlobError, BlobForm, BlobStore, CollectOptions, Collection, GetTreeOptions, MemoryJournal, NoRoots,
    ObjectKind, PinMode, Pins, PutTreeOptions, TreeContent,
};
use tempfile::TempDir;

use crate::support::{DIR, clock, noise, open, open_at};

/// What stands under a path: its permissions, and its content or target.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn look(dir: &Path) -> Tree {
    fn visit(top: &Path, dir: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            let (mode, content) = match metadata.file_type() {
                kind if kind.is_symlink() => (0, fs::read_link(&path).unwrap().into_os_string().into_vec()),
                kind if kind.is_dir() => (mode, b"a directory".to_vec()),
                _ => (mode, fs::read(&path).unwrap()),
            };
            tree.insert(path.strip_prefix(top).unwrap().to_owned(), (mode, content));
            if metadata.is_dir() {
                visit(top, &path, tree);
            }
        }
    }
    let mut tree = Tree::new();
    visit(dir, dir, &mut tree);
    tree
}

/// Makes a tree with everything that a tree can have.
fn make(dir: &Path) {
    let write = |path: &str, content: &[u8]| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("README", b"read me");
    write("empty", b"");
    write("a/b/c/deep", &noise(1, 5_000));
    write("a/large", &noise(2, 700_000));
    write("a/larger", &noise(3, 9_000_000));
    write("bin/tool", b"#!/bin/sh\n");
    fs::set_permissions(dir.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.join("nothing in it")).unwrap();
    symlink("../a/b", dir.join("bin/link")).unwrap();
    symlink("nowhere/at all", dir.join("dangling")).unwrap();
    symlink("bin/link/c/deep", dir.join("far")).unwrap();
    let odd = std::ffi::OsString::from_vec(b"not \xff utf-8\n".to_vec());
    fs::write(dir.join(odd), b"odd").unwrap();
    fs::write(dir.join("read-only"), b"r").unwrap();
    fs::set_permissions(dir.join("read-only"), fs::Permissions::from_mode(0o444)).unwrap();
    // Names that only case tells apart, as in the sources of Linux.
    fs::write(dir.join("xt_MARK.h"), b"1").unwrap();
    fs::write(dir.join("xt_mark.h"), b"2").unwrap();
    fs::set_permissions(dir.join("a/b/c"), fs::Permissions::from_mode(0o555)).unwrap();
}

fn get(store: &BlobStore, hash: &Hash, target: &Path) -> Result<blob::TreeInfo, BlobError> {
    store.get_tree(hash, target, GetTreeOptions::default())
}

#[test]
fn trees_come_back_with_modes_and_links_and_share_what_did_not_change() {
    let (dir, store) = (TempDir::new().unwrap(), open(&SimulatedDisk::new()));
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let fifo = source.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (info, _held) = store.put_tree(&source, PutTreeOptions::default()).unwrap();
    assert_eq!((info.files, info.directories, info.links), (10, 5, 3));
    assert_eq!(info.skipped, [PathBuf::from("pipe")]);
    fs::remove_file(&fifo).unwrap();
    let target = dir.path().join("target");
    let got = get(&store, &info.hash, &target).unwrap();
    assert_eq!((got.files, got.directories, got.links, got.bytes), (10, 5, 3, info.bytes));
    assert!(look(&target) == look(&source));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    let stat = store.stat(&info.hash).unwrap();
    assert_eq!((stat.bytes, stat.form), (info.bytes, BlobForm::Directory { entries: 11 }));
    let mut listed = Tree::new();
    store
        .visit_tree(&info.hash, &mut |entry| {
            let content = match &entry.what {
                TreeContent::File { blob, .. } => {
                    let mut content = Vec::new();
                    store.get(blob, &mut content)?;
                    content
                }
                TreeContent::Directory { .. } => b"a directory".to_vec(),
                TreeContent::Link { target } => target.clone().into_os_string().into_vec(),
            };
            listed.insert(entry.path, (entry.mode.into(), content));
            Ok(())
        })
        .unwrap();
    assert!(listed == look(&source));

    let before = store.verify().unwrap().objects;
    fs::write(source.join("a/b/new"), b"new").unwrap();
    let (changed, _held) = store.put_tree(&source, PutTreeOptions::default()).unwrap();
    assert_ne!(changed.hash, info.hash);
    assert_eq!(store.verify().unwrap().objects - before, 4, "a file and the directories above it");
    let (again, _held) = store.put_tree(&target, PutTreeOptions::default()).unwrap();
    assert_eq!(again.hash, info.hash);
}

#[test]
fn what_is_no_tree_is_told_apart_and_nothing_is_written_over() {
    let (dir, store) = (TempDir::new().unwrap(), open(&SimulatedDisk::new()));
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let (info, _held) = store.put_tree(&source, PutTreeOptions::default()).unwrap();
    let file = store.put(&b"a file"[..], blob::Chunking::Fixed).unwrap().hash;
    let target = dir.path().join("target");
    assert!(matches!(get(&store, &file, &target), Err(BlobError::NoDirectory { .. })));
    for error in [
        store.get(&info.hash, &mut Vec::new()).unwrap_err(),
        store.slice(&info.hash, 0..1, &mut Vec::new()).unwrap_err(),
    ] {
        assert!(matches!(error, BlobError::IsDirectory { .. }), "{error}");
    }
    assert!(matches!(get(&store, &Hash::of(b"none"), &target), Err(BlobError::NotFound { .. })));
    fs::write(&target, b"mine").unwrap();
    assert!(matches!(get(&store, &info.hash, &target), Err(BlobError::File { .. })));
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    let nowhere = store.put_tree(&dir.path().join("nowhere"), PutTreeOptions::default());
    assert!(matches!(nowhere, Err(BlobError::File { .. })));
    let options = GetTreeOptions { entries_max: 17 };
    let other = dir.path().join("other");
    let error = store.get_tree(&info.hash, &other, options).unwrap_err();
    assert!(matches!(error, BlobError::TooManyEntries { max: 17, .. }), "{error}");
    // What an interrupted one left does not matter.
    let left = dir.path().join(format!(".other.{}.part", &info.hash.to_string()[..16]));
    fs::create_dir(&left).unwrap();
    fs::write(left.join("README"), b"half").unwrap();
    store.get_tree(&info.hash, &other, GetTreeOptions { entries_max: 18 }).unwrap();
    assert!(look(&other) == look(&source) && !left.exists());
}

#[test]
fn a_damaged_part_leaves_nothing_of_the_tree() {
    let (dir, disk) = (TempDir::new().unwrap(), SimulatedDisk::new());
    let store = open(&disk);
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let (info, _held) = store.put_tree(&source, PutTreeOptions::default()).unwrap();
    let large = Hash::of(&noise(2, 700_000));
    disk.flip_bit(format!("{DIR}/chunks/{large}"), 5_000);
    let target = dir.path().join("target");
    let error = get(&store, &info.hash, &target).unwrap_err();
    assert!(matches!(error, BlobError::HashMismatch { hash, .. } if hash == large), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "but for the source");
}

#[test]
fn a_tree_is_kept_and_collected_as_a_whole() {
    let (dir, disk, clock) = (TempDir::new().unwrap(), SimulatedDisk::new(), clock());
    let store = open_at(&disk, &clock);
    let journal = Arc::<MemoryJournal>::default();
    let pins = Pins::open(store.clone(), journal, Arc::clone(&clock) as _).unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let (info, held) = store.put_tree(&source, PutTreeOptions::default()).unwrap();
    pins.pin(&info.hash, PinMode::Recursive, None).unwrap();
    drop(held);
    clock.advance(Duration::from_secs(1));
    let collect = || {
        let options =
            CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
        Collection::begin(&pins, &NoRoots, &*clock, options).unwrap().run().unwrap()
    };
    let collected = collect();
    assert_eq!((collected.removed, collected.missing.len()), (0, 0));
    get(&store, &info.hash, &dir.path().join("target")).unwrap();
    pins.unpin(&info.hash).unwrap();
    collect();
    assert_eq!(store.verify().unwrap().objects, 0);
    assert!(matches!(pins.pin(&info.hash, PinMode::Recursive, None), Err(BlobError::NotFound { .. })));
}

#[test]
fn links_that_lead_out_of_a_tree_are_refused_or_left_out() {
    let (dir, store) = (TempDir::new().unwrap(), open(&SimulatedDisk::new()));
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::write(source.join("file"), b"x").unwrap();
    symlink("..", source.join("a/b/up")).unwrap();
    store.put_tree(&source, PutTreeOptions::default()).unwrap();
    for target in ["/etc/passwd", "../outside", "a/../../outside", "a/b/up/../../outside"] {
        symlink(target, source.join("out")).unwrap();
        let error = store.put_tree(&source, PutTreeOptions::default()).unwrap_err();
        assert!(
            matches!(&error, BlobError::UnsafePath { path, .. } if path == Path::new("out")),
            "{target}: {error}"
        );
        let options = PutTreeOptions { skip_unsafe: true, ..PutTreeOptions::default() };
        let (info, _held) = store.put_tree(&source, options).unwrap();
        assert_eq!((info.links, info.skipped), (1, vec![PathBuf::from("out")]));
        fs::remove_file(source.join("out")).unwrap();
    }
}

/// An object of a directory, as somebody else would write it.
struct Crafted {
    levels: u16,
    entries: Vec<(u8, u16, Vec<u8>, Vec<u8>)>,
}

impl Crafted {
    fn new(levels: u16) -> Self {
        Self { levels, entries: Vec::new() }
    }

    fn file(self, name: &[u8], blob: &Hash) -> Self {
        self.entry(1, 0o644, name, [blob.as_bytes(), &1_u64.to_le_bytes()[..]].concat())
    }

    fn directory(self, name: &[u8], object: &Hash, bytes: u64) -> Self {
        self.entry(2, 0o755, name, [object.as_bytes(), &bytes.to_le_bytes()[..]].concat())
    }

    fn link(self, name: &[u8], target: &[u8]) -> Self {
        let length = u16::try_from(target.len()).unwrap().to_le_bytes();
        self.entry(3, 0, name, [&length[..], target].concat())
    }

    fn entry(mut self, kind: u8, mode: u16, name: &[u8], rest: Vec<u8>) -> Self {
        self.entries.push((kind, mode, name.to_vec(), rest));
        self
    }

    fn put(&self, store: &BlobStore, bytes: u64) -> Hash {
        let mut out = vec![1, 0];
        out.extend(self.levels.to_le_bytes());
        out.extend(u32::try_from(self.entries.len()).unwrap().to_le_bytes());
        out.extend(bytes.to_le_bytes());
        for (kind, mode, name, rest) in &self.entries {
            out.extend([*kind, 0]);
            out.extend(mode.to_le_bytes());
            out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            out.extend(name);
            out.extend(rest);
        }
        store.objects().put(ObjectKind::Directory, &out).unwrap()
    }
}

#[test]
fn a_hostile_corpus_is_refused_whole() {
    let (dir, store) = (TempDir::new().unwrap(), open(&SimulatedDisk::new()));
    let file = store.put(&b"x"[..], blob::Chunking::Fixed).unwrap().hash;
    let flat = || Crafted::new(0);
    let inner = Crafted::new(0).file(b"passwd", &file).put(&store, 1);
    let up = Crafted::new(0).link(b"up", b"..").put(&store, 0);
    let good = Crafted::new(1).directory(b"a", &inner, 1).file(b"b", &file).link(b"c", b"a/passwd");
    get(&store, &good.put(&store, 2), &dir.path().join("good")).unwrap();

    let mut corpus = vec![
        ("absolute name", flat().file(b"/etc/cron.d/x", &file).put(&store, 1)),
        ("name with a way up", flat().file(b"../x", &file).put(&store, 1)),
        ("way up", Crafted::new(1).directory(b"..", &inner, 1).put(&store, 1)),
        ("this directory", flat().file(b".", &file).put(&store, 1)),
        ("path as a name", flat().file(b"a/b", &file).put(&store, 1)),
        ("zero in a name", flat().file(b"a\0b", &file).put(&store, 1)),
        ("no name", flat().file(b"", &file).put(&store, 1)),
        ("long name", flat().file(&[b'x'; 256], &file).put(&store, 1)),
        ("one name twice", flat().file(b"a", &file).file(b"a", &file).put(&store, 2)),
        ("link and directory of one name", {
            Crafted::new(1).link(b"a", b"/etc").directory(b"a", &inner, 1).put(&store, 1)
        }),
        ("wrong order", flat().file(b"b", &file).file(b"a", &file).put(&store, 2)),
        ("absolute link", flat().link(b"a", b"/etc").put(&store, 0)),
        ("link up", flat().link(b"a", b"..").put(&store, 0)),
        (
            "link down and up",
            Crafted::new(1).directory(b"a", &inner, 1).link(b"b", b"a/../..").put(&store, 1),
        ),
        // Taken by its text, the second one stays inside.
        ("chain of links", {
            Crafted::new(1)
                .directory(b"d", &up, 0)
                .link(b"e", b"d/up/up2/..")
                .link(b"f", b"d/up/../x")
                .put(&store, 0)
        }),
        ("link through an absolute one", flat().link(b"a", b"b/x").link(b"b", b"/").put(&store, 0)),
        ("links in a circle", flat().link(b"a", b"b").link(b"b", b"a").put(&store, 0)),
        ("case folding", Crafted::new(1).link(b"A", b"b").directory(b"a", &inner, 1).put(&store, 1)),
        (
            "sharp s",
            Crafted::new(1)
                .link("stra\u{df}e".as_bytes(), b"b")
                .directory(b"STRASSE", &inner, 1)
                .sorted()
                .put(&store, 1),
        ),
        ("NFC and NFD", {
            let (nfc, nfd) = ("caf\u{e9}".as_bytes(), "cafe\u{301}".as_bytes());
            Crafted::new(1).link(nfc, b"b").directory(nfd, &inner, 1).sorted().put(&store, 1)
        }),
        ("device", flat().entry(4, 0o644, b"sda", vec![0; 40]).put(&store, 0)),
        (
            "set user id",
            flat()
                .entry(1, 0o4755, b"su", [&file.as_bytes()[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat())
                .put(&store, 1),
        ),
        ("wrong sum", flat().file(b"a", &file).put(&store, 7)),
        ("long file that is short", {
            flat().entry(1, 0o644, b"a", [&file.as_bytes()[..], &9_u64.to_le_bytes()].concat()).put(&store, 9)
        }),
        ("file that is a directory", flat().file(b"a", &inner).put(&store, 1)),
        ("directory that is a file", Crafted::new(1).directory(b"a", &file, 1).put(&store, 1)),
        ("levels that do not fall", {
            let below = Crafted::new(3).directory(b"a", &inner, 1).put(&store, 1);
            Crafted::new(3).directory(b"a", &below, 1).put(&store, 1)
        }),
        // Read in this order, the one below has been looked at already.
        ("levels that do not fall, beside each other", {
            let one = Crafted::new(1).directory(b"a", &inner, 1).put(&store, 1);
            let two = Crafted::new(1).directory(b"a", &one, 1).put(&store, 1);
            let top = Crafted::new(2).directory(b"a", &two, 1).directory(b"b", &one, 1);
            top.directory(b"c", &inner, 1).put(&store, 3)
        }),
        ("many levels", Crafted::new(u16::MAX).file(b"a", &file).put(&store, 1)),
    ];
    let huge = [&[1, 0, 0, 0][..], &u32::MAX.to_le_bytes(), &[0; 8]].concat();
    corpus.push(("huge count", store.objects().put(ObjectKind::Directory, &huge).unwrap()));
    let mut bomb = (inner, 1_u64);
    for level in 1..60 {
        let (object, bytes) = bomb;
        let doubled = Crafted::new(level).directory(b"a", &object, bytes).directory(b"b", &object, bytes);
        bomb = (doubled.put(&store, 2 * bytes), 2 * bytes);
    }
    corpus.push(("sixty directories that stand for 2^60", bomb.0));
    for (what, hash) in corpus {
        let target = dir.path().join("target");
        let error = get(&store, &hash, &target).expect_err(what);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["good"], "{what}: {error}");
    }
    assert_eq!(look(&dir.path().join("good")).len(), 4);
}

#[test]
fn a_tree_of_as_many_levels_as_there_may_be_is_listed_and_got_or_told_of() {
    let (dir, store) = (TempDir::new().unwrap(), open(&SimulatedDisk::new()));
    let mut top = Crafted::new(0).put(&store, 0);
    for level in 1..=1_000 {
        top = Crafted::new(level).directory(b"d", &top, 0).put(&store, 0);
    }
    let mut deepest = 0;
    let mut visit = |entry: blob::TreeEntry| {
        deepest = deepest.max(entry.path.components().count());
        Ok(())
    };
    store.visit_tree(&top, &mut visit).unwrap();
    assert_eq!(deepest, 1_000);
    match get(&store, &top, &dir.path().join("target")) {
        Ok(info) => assert_eq!(info.directories, 1_000),
        // As many directories are open, and some systems allow for fewer.
        Err(error) => assert!(matches!(error, BlobError::File { .. }), "{error}"),
    }
    let more = Crafted::new(1_001).directory(b"d", &top, 0).put(&store, 0);
    assert!(matches!(store.stat(&more), Err(BlobError::Decode { .. })));
}

impl Crafted {
    fn sorted(mut self) -> Self {
        self.entries.sort_by(|one, other| one.2.cmp(&other.2));
        self
    }
}
