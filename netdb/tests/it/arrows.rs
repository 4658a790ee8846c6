//! Dependencies point down: a crate knows only crates of lower levels, and the words of a large dependency stay in
//! the crate that wraps it.

use super::workspace;

/// The level of each crate, by folder. A new member needs its place here.
const LEVELS: [(&str, u8); 13] = [
    ("base", 0),
    ("redex", 1),
    ("blob", 1),
    ("blob/remote", 1),
    ("net", 1),
    ("cortex", 2),
    ("replication", 2),
    ("meshdb", 2),
    ("netdb", 3),
    ("cli/records", 2),
    ("server", 4),
    ("cli", 5),
    ("benches", 5),
];

/// The arrows between siblings: SQL reads folded state, and adapters to object stores are blob's, in a package of their own.
const SIDEWAYS: [(&str, &str); 2] = [("meshdb", "cortex"), ("blob/remote", "blob")];

/// Dependencies (by the beginning of their names) and the folders that may speak of them.
const CONFINED: [(&str, &[&str]); 11] = [
    ("arrow", &["meshdb/", "server/"]),
    ("axum", &["server/"]),
    ("datafusion", &["meshdb/", "server/"]),
    ("foca", &["net/src/gossip/swim.rs"]),
    ("hyper", &["server/"]),
    ("object_store", &["blob/remote/", "meshdb/"]),
    ("openraft", &["replication/src/raft/"]),
    ("quinn", &["net/"]),
    ("rocksdb", &["cortex/rocks/"]),
    ("rustls", &["net/", "server/"]),
    ("tower", &["server/"]),
];

/// These files hold the words as samples.
const SAMPLES: &str = "netdb/tests/it/";

/// Here are peers, in workspaces of their own on which nothing depends.
const PEERS: &str = "benches/compare/";

#[test]
fn no_manifest_points_up_or_sideways() {
    let found: Vec<String> = workspace::members()
        .iter()
        .flat_map(|member| level_faults(member, &workspace::read(&format!("{member}/Cargo.toml"))))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn large_dependencies_are_named_only_by_the_crate_that_wraps_them() {
    let mut found = Vec::new();
    for file in workspace::files() {
        let is_ours = !file.path.starts_with(SAMPLES) && !file.path.starts_with(PEERS);
        if file.is_rust() && is_ours {
            found.extend(word_faults(&file.path, &file.text));
        }
    }
    for member in workspace::members() {
        found.extend(confined_faults(&member, &workspace::read(&format!("{member}/Cargo.toml"))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn level(name: &str) -> Option<u8> {
    LEVELS.iter().find(|(folder, _)| *folder == name).map(|(_, level)| *level)
}

/// The folder of one of our packages; nothing for anyone else's.
fn folder(dependency: &str) -> Option<&str> {
    let name = dependency.strip_prefix("netdb-").unwrap_or(dependency);
    level(name).map(|_| name)
}

fn level_faults(member: &str, manifest: &str) -> Vec<String> {
    let Some(own) = level(member) else {
        return vec![format!("`{member}` has no level; give it one in {}", file!())];
    };
    workspace::dependencies(manifest)
        .iter()
        .filter_map(|dependency| folder(dependency))
        .filter(|below| level(below) >= Some(own) && !SIDEWAYS.contains(&(member, below)))
        .map(|below| format!("`{member}` (level {own}) must not depend on `{below}`"))
        .collect()
}

/// Arrow is always taken through DataFusion, but for the protocol crates of the server.
fn confined_faults(member: &str, manifest: &str) -> Vec<String> {
    let own = format!("{member}/");
    let mut found = Vec::new();
    for dependency in workspace::dependencies(manifest) {
        for (word, folders) in CONFINED {
            let allowed = folders.iter().any(|folder| folder.starts_with(&own))
                && (word, member) != ("arrow", "meshdb");
            if dependency.starts_with(word) && !allowed {
                found.push(format!("`{member}` must not depend on `{dependency}`"));
            }
        }
    }
    found
}

fn word_faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (word, folders) in CONFINED {
            if names_crate(line, word) && !folders.iter().any(|folder| path.starts_with(folder)) {
                found.push(format!("{path}:{number}: `{word}` belongs to {}", folders.join(", ")));
            }
        }
    }
    found
}

/// Whether a line uses a crate whose name begins with `word`: as the head or a part of a path, or in an import.
fn names_crate(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = &line[..at];
        let rest = line[at..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let is_start = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let imports = before.trim_end().ends_with("use") || before.trim_end().ends_with("extern crate");
        is_start && (rest.starts_with("::") || imports)
    })
}

#[test]
fn an_arrow_up_or_to_a_sibling_is_a_fault() {
    let depends_on = |dependency: &str| format!("[dependencies]\n{dependency}.workspace = true\n");
    let is_fault = |member: &str, dependency: &str| !level_faults(member, &depends_on(dependency)).is_empty();

    assert!(is_fault("base", "redex"));
    assert!(is_fault("redex", "netdb"));
    assert!(is_fault("redex", "netdb-meshdb"));
    assert!(is_fault("cortex", "meshdb"));
    assert!(is_fault("benches", "cli"));
    assert!(!level_faults("redex", "[dev-dependencies]\nx = { package = \"netdb-cli\" }\n").is_empty());
    assert!(is_fault("unheard-of", "base"));

    assert!(!is_fault("redex", "base"));
    assert!(!is_fault("meshdb", "cortex"));
    assert!(!is_fault("cli", "server"));
    assert!(!is_fault("base", "serde"));
}

#[test]
fn a_word_outside_its_crate_is_a_fault() {
    for line in
        ["use arrow::array::Array;", "fn f(b: datafusion::arrow::RecordBatch) {}", "use datafusion_sql as x;"]
    {
        assert!(!word_faults("netdb/src/lib.rs", line).is_empty(), "{line}");
        assert!(word_faults("meshdb/src/lib.rs", line).is_empty(), "{line}");
    }
    assert!(!word_faults("replication/src/group.rs", "use openraft::Raft;").is_empty());
    assert!(word_faults("replication/src/raft/log.rs", "use openraft::Raft;").is_empty());
    for line in
        ["use axum::Router;", "use hyper::body::Incoming;", "use hyper_util::rt::TokioIo;", "tower::layer()"]
    {
        assert!(!word_faults("cli/src/commands/serve.rs", line).is_empty(), "{line}");
        assert!(word_faults("server/src/http/routes.rs", line).is_empty(), "{line}");
    }
    for line in
        ["// arrow::array", "let arrow = 1;", "Format::Arrow", "let narrow = narrow::x();", "\"arrow\" => {}"]
    {
        assert!(word_faults("cli/src/main.rs", line).is_empty(), "{line}");
    }
}

#[test]
fn a_confined_dependency_outside_its_crate_is_a_fault() {
    assert!(!confined_faults("cli", "[dependencies]\ndatafusion.workspace = true\n").is_empty());
    assert!(!confined_faults("meshdb", "[dependencies]\narrow-array = \"59\"\n").is_empty());
    assert!(confined_faults("meshdb", "[dependencies]\ndatafusion.workspace = true\n").is_empty());
    assert!(confined_faults("server", "[dependencies]\narrow-flight = \"59\"\n").is_empty());
}
