//! Stores that need no server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Classify, ErrorKind};
use blob::adapter::{AdapterName, BlobAdapter, ListQuery, ObjectName, VerifiedAdapter, conformance};
use blob::{BlobError, Chunking};
use blob_remote::RemoteOptions;

use crate::support::{SECRET, chunk, credentials, damage, open};

/// Opens a directory that goes with the returned value.
fn directory() -> (tempfile::TempDir, PathBuf, String) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("objects with spaces");
    let url = url::Url::from_directory_path(&dir).unwrap().to_string();
    (temporary, dir, url)
}

fn file(dir: &Path, name: &ObjectName) -> PathBuf {
    dir.join(name.path().join("/"))
}

#[test]
fn memory_conforms() {
    let faults = conformance::faults(Arc::new(open("memory:").unwrap()), None);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_directory_conforms_and_finds_damage() {
    let (_temporary, dir, url) = directory();
    let damage = |name: &ObjectName| damage(&file(&dir, name));
    let faults = conformance::faults(Arc::new(open(&url).unwrap()), Some(&damage));
    assert!(faults.is_empty(), "{faults:#?}");
    let staged = std::fs::read_dir(dir.join("staging")).unwrap().count();
    assert_eq!(staged, 0, "everything that was staged has its name");
}

#[test]
fn two_have_a_directory_open_and_see_each_others_objects() {
    let (_temporary, _, url) = directory();
    let [first, second] = [(), ()].map(|()| VerifiedAdapter::new(Arc::new(open(&url).unwrap())));
    let reference = first.put(&mut &b"shared"[..], Chunking::Fixed).unwrap();
    assert_eq!(second.fetch(&reference).unwrap(), b"shared");
    assert!(second.delete(&reference, &|_| false).unwrap());
    assert!(!first.exists(&reference).unwrap());
}

#[test]
fn what_was_staged_long_ago_goes_and_what_is_new_stays() {
    let (_temporary, dir, url) = directory();
    drop(open(&url).unwrap());
    let [old, new] = ["old", "new"].map(|name| dir.join("staging").join(name));
    for path in [&old, &new] {
        std::fs::write(path, b"half").unwrap();
    }
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    drop(open(&url).unwrap());
    assert!(!old.exists() && new.exists());
}

#[test]
fn what_is_no_object_is_not_listed_and_what_is_too_large_not_read() {
    let (_temporary, dir, url) = directory();
    let adapter = open(&url).unwrap();
    let name = chunk(b"one");
    adapter.store_object(&name, b"one").unwrap();
    let [first, rest] = chunk(b"other").path();
    for other in
        [format!("{first}/{}", rest.to_uppercase()), format!("{first}/note"), format!("{first}/{rest}/x")]
    {
        let path = dir.join(other);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    assert_eq!(adapter.list_objects(&ListQuery::new(9)).unwrap(), [name.hash]);
    let large = std::fs::File::options().write(true).open(file(&dir, &name)).unwrap();
    large.set_len(1 << 40).unwrap();
    assert!(matches!(adapter.fetch_object(&name), Err(BlobError::TooLarge { .. })));
    adapter.store_object(&name, b"one").unwrap();
    assert_eq!(adapter.fetch_object(&name).unwrap(), b"one", "it is replaced");
}

#[test]
fn an_adapter_is_used_on_threads_of_any_kind() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let adapter = open("memory:").unwrap();
        adapter.store_object(&chunk(b"x"), b"x").unwrap();
        assert_eq!(adapter.fetch_object(&chunk(b"x")).unwrap(), b"x");
        drop(adapter);
    });
}

#[test]
fn addresses_that_cannot_be_are_refused_with_the_reason_and_without_secrets() {
    let (_temporary, dir, url) = directory();
    std::fs::write(&dir, b"a file").unwrap();
    for url in [
        &url[..url.len() - 1],
        "s3://",
        "ftp://x/y",
        &format!("s3://k:{SECRET}@b/a"),
        &format!("s3://b?x={SECRET}"),
    ] {
        let error = open(url).unwrap_err();
        assert!(matches!(error, BlobError::Backend { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
}

#[test]
fn credentials_come_from_the_environment_and_are_not_shown() {
    let without = blob_remote::ObjectStoreAdapter::open_with_environment(
        "s3://bucket/a?endpoint=http://127.0.0.1:1",
        RemoteOptions::default(),
        Vec::new(),
    );
    let error = without.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let half = credentials().into_iter().filter(|(name, _)| name != "AWS_SECRET_ACCESS_KEY");
    let url = "s3://bucket/a?endpoint=http://127.0.0.1:1";
    let error = blob_remote::ObjectStoreAdapter::open_with_environment(url, RemoteOptions::default(), half)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let adapter = open(url).unwrap();
    let shown = format!("{adapter:?}");
    assert!(shown.contains("\"s3\"") && !shown.contains(SECRET) && !shown.contains("tester"), "{shown}");
}

#[test]
fn an_adapter_has_the_name_it_was_given() {
    let options =
        RemoteOptions { name: Some(AdapterName::new("archive", "cold")), ..RemoteOptions::default() };
    let adapter = blob_remote::ObjectStoreAdapter::open("memory:", options).unwrap();
    assert_eq!((adapter.adapter_id(), adapter.accepted_schemes()), ("archive", &["cold".to_owned()][..]));
    adapter.check().unwrap();
}
