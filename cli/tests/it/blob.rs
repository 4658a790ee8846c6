//! `net-db blob`

use crate::support::{Place, values};

/// Bytes that nothing compresses or repeats.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    noise
}

/// Puts a file, and returns its name.
fn put(place: &Place, path: &str, options: &[&str]) -> String {
    let put = place.ok(&[&["blob", "put", path], options].concat());
    values(&put)[0]["hash"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_put_is_got_listed_and_verified() {
    let place = Place::new();
    let content = noise(9_000_000);
    let (small, large) = (place.write("small", b"a few bytes"), place.write("large", &content));
    let first = put(&place, &small, &[]);
    assert_eq!(first, blake3::hash(b"a few bytes").to_string());
    let second = put(&place, &large, &[]);
    assert_eq!(put(&place, &large, &[]), second);
    let third = put(&place, &large, &["--chunking", "content"]);
    assert_ne!(third, second);

    assert_eq!(place.ok(&["blob", "get", &first]), "a few bytes");
    assert_eq!(place.ok(&["blob", "get", &first, "--range", "2..5"]), "few");
    assert_eq!(place.ok(&["blob", "get", &first, "--range", "6.."]), "bytes");
    for hash in [&second, &third] {
        let out = place.file("out");
        place.ok(&["blob", "get", hash, "--out", out.to_str().unwrap()]);
        assert!(std::fs::read(&out).unwrap() == content);
    }
    let stat = &values(&place.ok(&["blob", "stat", &second]))[0];
    assert_eq!(
        (&stat["bytes"], &stat["form"], &stat["chunks"]),
        (&9_000_000.into(), &"manifest".into(), &3.into())
    );
    let chunks = values(&place.ok(&["blob", "tree", &second]));
    assert_eq!((chunks.len(), &chunks[2]["bytes"]), (3, &(9_000_000 - 2 * (4 << 20)).into()));
    let path = &values(&place.ok(&["blob", "path", &second, "--offset", "5000000"]))[0];
    assert_eq!((&path["chunk"], &path["offset"]), (&chunks[1]["chunk"], &(5_000_000 - (4 << 20)).into()));

    let mut wanted = vec![first.clone(), second, third];
    wanted.sort();
    let listed: Vec<_> = values(&place.ok(&["blob", "ls"])).iter().map(|blob| blob["hash"].clone()).collect();
    assert_eq!(listed, wanted);
    let verdict = &values(&place.ok(&["blob", "verify"]))[0];
    assert_eq!((&verdict["verdict"], &verdict["damaged"]), (&"passed".into(), &0.into()));
    place.ok(&["blob", "exists", &first]);
}

#[test]
fn standard_input_is_put_and_what_is_missing_has_its_exit_code() {
    let place = Place::new();
    place.run(&["blob", "ls"]).failed(3, "no database");
    let run = place.run_with(&["blob", "put", "-"], b"");
    assert_eq!(run.code, 0, "{run:?}");
    let empty = blake3::hash(b"").to_string();
    assert_eq!(place.ok(&["blob", "get", &empty]), "");
    let other = blake3::hash(b"other").to_string();
    assert_eq!(place.run(&["blob", "exists", &other]).code, 3);
    place.run(&["blob", "get", &other]).failed(3, "no blob");
    place.run(&["blob", "stat", "nonsense"]).failed(2, "64 hexadecimal digits");
    place.run(&["blob", "put", "/nowhere/file"]).failed(3, "/nowhere/file");
    place.run(&["blob", "get", &empty, "--range", "5..2"]).failed(2, "no range");
    place.run(&["blob", "get", &empty, "--range", "0..1"]).failed(1, "ask for less");
}

#[test]
fn a_flipped_bit_is_named_never_given_out_and_mended_by_putting_the_blob_again() {
    let place = Place::new();
    let content = noise(600_000);
    let file = place.write("file", &content);
    let hash = put(&place, &file, &[]);
    let stored = place.data().join("blobs/chunks").join(&hash);
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[1_000] ^= 4;
    std::fs::write(&stored, bytes).unwrap();

    let out = place.file("out");
    let run = place.run(&["blob", "get", &hash, "--out", out.to_str().unwrap()]);
    run.failed(5, &hash);
    assert!(!out.exists());
    let verify = place.run(&["blob", "verify"]);
    assert!(verify.code == 5 && verify.stderr.contains(&hash), "{verify:?}");
    assert_eq!(put(&place, &file, &[]), hash);
    place.ok(&["blob", "verify"]);
}

#[test]
fn net_blob_is_the_same_under_another_name_and_looks_at_its_own_variable_first() {
    let (place, other) = (Place::new(), Place::new());
    let file = place.write("file", b"content");
    let net_blob = |place: &Place, arguments: &[&str], variable: Option<&Place>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_net-blob"));
        command.args(arguments).env("NETDB_DIR", place.data()).env_remove("NET_BLOB_DIR");
        if let Some(place) = variable {
            command.env("NET_BLOB_DIR", place.data());
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let hash = blake3::hash(b"content").to_string();
    assert_eq!(net_blob(&place, &["put", &file], None).0, 0);
    assert_eq!(net_blob(&place, &["get", &hash], None), (0, "content".to_owned()));
    assert_eq!(place.ok(&["blob", "get", &hash]), "content");
    assert_eq!(net_blob(&place, &["put", &file], Some(&other)).0, 0);
    assert_eq!(other.ok(&["blob", "get", &hash]), "content");
    assert_eq!(net_blob(&other, &["exists", &hash, "--dir", "/nowhere"], Some(&place)).0, 3);
    assert_eq!(net_blob(&place, &["put"], None).0, 2);
    let (code, help) = net_blob(&place, &["--help"], None);
    assert!(code == 0 && help.contains("NET_BLOB_DIR"), "{help}");
}

#[test]
fn pins_and_names_keep_blobs_from_being_collected_in_later_runs() {
    let place = Place::new();
    let contents: Vec<_> = (0..4u8).map(|nth| noise(100_000 + usize::from(nth))).collect();
    let files: Vec<_> =
        (0..).zip(&contents).map(|(nth, content)| place.write(&format!("file-{nth}"), content)).collect();
    let first = put(&place, &files[0], &["--pin"]);
    let second = put(&place, &files[1], &["--name", "models/current"]);
    let third = put(&place, &files[2], &[]);
    let fourth = put(&place, &files[3], &[]);
    place.ok(&["blob", "pin", &third, "--label", "for now"]);
    place.ok(&["blob", "unpin", &third]);
    place.ok(&["blob", "pin", "add", &fourth, &third]);
    place.ok(&["blob", "pin", "update", &fourth, &first]);
    place.ok(&["blob", "pin", "rm", &third]);

    let dry = &values(&place.ok(&["blob", "gc", "--retention", "0s", "--dry-run"]))[0];
    assert_eq!((&dry["removed"], &dry["dry_run"]), (&2.into(), &true.into()));
    let young = &values(&place.ok(&["blob", "gc"]))[0];
    assert_eq!((&young["removed"], &young["reached"]), (&0.into(), &4.into()));
    let gone = &values(&place.ok(&["blob", "gc", "--retention", "0s"]))[0];
    assert_eq!((&gone["removed"], &gone["missing"]), (&2.into(), &0.into()));
    assert_eq!(place.run(&["blob", "exists", &third]).code, 3);
    place.ok(&["blob", "exists", &first]);
    place.ok(&["blob", "exists", &second]);

    let pins = values(&place.ok(&["blob", "pin", "ls"]));
    assert_eq!(
        (pins.len(), &pins[0]["hash"], &pins[0]["type"]),
        (1, &first.as_str().into(), &"recursive".into())
    );
    assert_eq!(&values(&place.ok(&["blob", "pin", "verify"]))[0]["verdict"], &"passed");
    assert_eq!(&values(&place.ok(&["blob", "name", "get", "models/current"]))[0]["hash"], &second.as_str());
    assert_eq!(values(&place.ok(&["blob", "name", "ls", "--prefix", "models/"])).len(), 1);
    place.ok(&["blob", "name", "rm", "models/current"]);
    place.run(&["blob", "name", "get", "models/current"]).failed(3, "no blob is named");
    place.run(&["blob", "pin", &third]).failed(3, &third);
    place.run(&["blob", "pin"]).failed(2, "");
}

#[test]
fn a_slice_is_read_where_there_is_no_database_and_refused_where_it_was_changed() {
    let place = Place::new();
    let content = noise(9_000_000);
    let hash = put(&place, &place.write("large", &content), &[]);
    let (slice, part) = (place.file("slice"), place.file("part"));
    let (slice, part) = (slice.to_str().unwrap(), part.to_str().unwrap());
    place.ok(&["blob", "slice", &hash, "--range", "4190000..4200000", "--out", slice]);
    let elsewhere = Place::new();
    elsewhere.ok(&["blob", "read-slice", &hash, "--range", "4190000..4200000", slice, "--out", part]);
    assert!(std::fs::read(part).unwrap() == content[4_190_000..4_200_000]);
    let mut changed = std::fs::read(slice).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(slice, changed).unwrap();
    elsewhere
        .run(&["blob", "read-slice", &hash, "--range", "4190000..4200000", slice, "--out", part])
        .failed(5, "wrong hash");
    place.run(&["blob", "slice", &hash, "--range", "0..9000001"]).failed(1, "ask for less");
    place.run(&["blob", "slice", &hash, "--range", "0.."]).failed(2, "no end");
}

#[test]
fn a_store_beyond_its_quota_overflows_to_a_directory_and_answers_every_read() {
    let place = Place::new();
    let contents: Vec<_> = (0..6u8).map(|nth| noise(1_000_000 + usize::from(nth))).collect();
    let files = (0..).zip(&contents).map(|(nth, content)| place.write(&format!("file-{nth}"), content));
    let hashes: Vec<_> = files.map(|file| put(&place, &file, &[])).collect();
    place.run(&["blob", "overflow", "run"]).failed(4, "net-db blob overflow enable");
    place.run(&["blob", "overflow", "enable"]).failed(1, "name a place");
    place.run(&["blob", "overflow", "enable", "memory:"]).failed(1, "use file or s3");
    place.run(&["blob", "overflow", "enable", "file:///x", "--high", "0.5"]).failed(1, "low < high");
    let elsewhere = place.file("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let url = format!("file://{}", elsewhere.display());
    let status = place.ok(&["blob", "overflow", "enable", &url, "--quota", "6MiB"]);
    let status = &values(&status)[0];
    assert_eq!((&status["enabled"], &status["away_chunks"]), (&true.into(), &0.into()));
    assert!(status["place"].as_str().unwrap().starts_with(&format!("{url}/blobs-")), "{status}");
    let ran = &values(&place.ok(&["blob", "overflow", "run"]))[0];
    assert_eq!((&ran["pushed"], &ran["failed"]), (&6.into(), &0.into()));
    for (hash, content) in hashes.iter().zip(&contents) {
        let out = place.file("out");
        place.ok(&["blob", "get", hash, "--out", out.to_str().unwrap()]);
        assert!(std::fs::read(out).unwrap() == *content);
    }
    place.ok(&["blob", "pin", &hashes[0]]);
    let status = &values(&place.ok(&["blob", "overflow", "status"]))[0];
    let used = status["used"].as_u64().unwrap();
    assert!((1_000_000..1_010_000).contains(&used), "what is pinned came back: {status}");
    let verdict = &values(&place.ok(&["blob", "verify", "--away"]))[0];
    assert_eq!(verdict["verdict"], "passed");
    assert_eq!(values(&place.ok(&["blob", "repair"]))[0]["mended"], 0);

    // Elsewhere is not reached any more, and comes back.
    let hidden = place.file("hidden");
    std::fs::rename(&elsewhere, &hidden).unwrap();
    place.run(&["blob", "get", &hashes[1]]).failed(5, "lies where this store overflowed to");
    place.ok(&["blob", "get", &hashes[0], "--out", place.file("out").to_str().unwrap()]);
    std::fs::remove_dir_all(&elsewhere).unwrap();
    std::fs::rename(&hidden, &elsewhere).unwrap();
    let other = format!("file://{}", place.file("other").display());
    place.run(&["blob", "overflow", "enable", &other]).failed(1, "take them back");
    place.ok(&["blob", "rm", &hashes[5]]);
    place.ok(&["blob", "gc", "--retention", "0s"]);
    place.run(&["blob", "exists", &hashes[5]]);
    let status = &values(&place.ok(&["blob", "overflow", "disable", "--take-back"]))[0];
    assert_eq!((&status["enabled"], &status["away_chunks"]), (&false.into(), &0.into()));
    place.ok(&["blob", "overflow", "enable", &other, "--quota", "1GiB"]);
    place.ok(&["blob", "verify"]);
}

#[test]
fn a_directory_goes_in_and_comes_out_as_a_whole() {
    let (place, out) = (Place::new(), Place::new());
    let tree = out.file("source");
    std::fs::create_dir_all(tree.join("sub/deeper")).unwrap();
    std::fs::write(tree.join("sub/deeper/file"), noise(300_000)).unwrap();
    std::fs::write(tree.join("small"), b"small").unwrap();
    std::os::unix::fs::symlink("sub/deeper/file", tree.join("link")).unwrap();
    let tree = tree.to_str().unwrap().to_owned();
    let put = &values(&place.ok(&["blob", "put-tree", &tree, "--name", "trees/one"]))[0];
    let hash = put["hash"].as_str().unwrap().to_owned();
    assert_eq!((&put["files"], &put["directories"], &put["links"]), (&2.into(), &2.into(), &1.into()));
    let listed = values(&place.ok(&["blob", "tree", &hash]));
    let paths: Vec<_> = listed.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["link", "small", "sub", "sub/deeper", "sub/deeper/file"]);
    assert_eq!(listed[0]["target"], "sub/deeper/file");
    assert_eq!(values(&place.ok(&["blob", "stat", &hash]))[0]["form"], "directory");

    let target = out.file("copy");
    let target = target.to_str().unwrap();
    place.ok(&["blob", "gc", "--retention", "0s"]);
    place.ok(&["blob", "get-tree", &hash, "--out", target]);
    assert!(std::fs::read(out.file("copy/link")).unwrap() == noise(300_000));
    place.run(&["blob", "get-tree", &hash, "--out", target]).failed(4, "copy");
    place.run(&["blob", "get", &hash]).failed(1, "get it as a tree");
    place.run(&["blob", "put-tree", "/nowhere/tree"]).failed(3, "/nowhere/tree");
    std::os::unix::fs::symlink("/etc/passwd", format!("{tree}/out")).unwrap();
    place.run(&["blob", "put-tree", &tree]).failed(1, "--skip-unsafe");
    let run = place.run(&["blob", "put-tree", &tree, "--skip-unsafe"]);
    assert!(run.code == 0 && run.stderr.contains("left out: out"), "{run:?}");
}

#[test]
fn a_blob_that_was_got_in_part_is_gone_on_with() {
    let place = Place::new();
    let content = noise(13_000_000);
    let hash = put(&place, &place.write("large", &content), &[]);
    let (out, partial) = (place.file("out"), place.file("out.partial"));
    let get = ["blob", "get", &hash, "--out", out.to_str().unwrap(), "--resume"];
    // Two chunks and a half are there; in another try, one bit of the second is wrong.
    for wrong in [None, Some(5_000_000)] {
        let mut begun = content[..10_000_000].to_vec();
        wrong.iter().for_each(|at| begun[*at] ^= 1);
        std::fs::write(&partial, begun).unwrap();
        place.ok(&get);
        assert!(std::fs::read(&out).unwrap() == content && !partial.exists());
    }
    place.ok(&get);
    place.run(&["blob", "get", &hash, "--resume"]).failed(2, "--out");
}
