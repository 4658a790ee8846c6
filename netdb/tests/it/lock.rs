//! What `Cargo.lock` may hold: one version of each family whose types or keys must agree, and one provider of
//! cryptography for TLS.

use super::workspace;

/// Families, by the beginning of their names, of which no crate may stand in the lock twice.
const FAMILIES: [&str; 2] = ["arrow", "datafusion"];

/// Crates that must stand in the lock exactly once.
const EXACTLY_ONE: [&str; 4] = ["arrow", "blake3", "datafusion", "ed25519-dalek"];

/// Crates that may stand in the lock at most once.
const AT_MOST_ONE: [&str; 5] = ["curve25519-dalek", "object_store", "openraft", "ring", "rustls"];

/// `ring` is the one provider of rustls; nothing links OpenSSL or a cloud client.
const BANNED: [&str; 5] = ["aws-config", "aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys"];

#[test]
fn the_lock_holds_one_of_each_family() {
    let found = faults(&workspace::read("Cargo.lock"));
    assert!(found.is_empty(), "Cargo.lock:\n{}", found.join("\n"));
}

#[test]
fn each_direct_dependency_is_explained() {
    let explained = workspace::read("docs/dependencies.md");
    let members = workspace::members();
    let is_ours = |name: &str| {
        let is_member =
            |member: &String| member.rsplit('/').next() == Some(name) || member.replace('/', "-") == name;
        name.starts_with("netdb") || members.iter().any(is_member)
    };
    let missing: Vec<String> = members
        .iter()
        .flat_map(|member| workspace::dependencies(&workspace::read(&format!("{member}/Cargo.toml"))))
        .filter(|name| !is_ours(name) && !explained.contains(&format!("| `{name}` |")))
        .collect();
    assert!(missing.is_empty(), "docs/dependencies.md has no reason for {missing:?}");
}

fn faults(lock: &str) -> Vec<String> {
    let packages = packages(lock);
    let versions = |name: &str| -> Vec<&str> {
        packages.iter().filter(|(package, _)| *package == name).map(|(_, version)| *version).collect()
    };
    let mut found = Vec::new();
    for name in EXACTLY_ONE {
        let versions = versions(name);
        if versions.len() != 1 {
            found.push(format!("`{name}` must stand there exactly once, found {versions:?}"));
        }
    }
    for name in AT_MOST_ONE {
        let versions = versions(name);
        if versions.len() > 1 {
            found.push(format!("`{name}` must stand there once at most, found {versions:?}"));
        }
    }
    found.extend(
        BANNED.iter().filter(|name| !versions(name).is_empty()).map(|name| format!("`{name}` is banned")),
    );
    found.extend(FAMILIES.iter().flat_map(|family| family_faults(family, &packages)));
    found
}

/// The crates of a family (`arrow`, `arrow-array`, ...) that stand there in more than one version; a second major of
/// any of them brings a second one of those that all build on.
fn family_faults(family: &str, packages: &[(&str, &str)]) -> Vec<String> {
    let is_member =
        |name: &str| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let mut members: Vec<_> = packages.iter().filter(|(name, _)| is_member(name)).collect();
    members.sort_unstable();
    members
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| format!("`{}` stands there as {} and {}", pair[0].0, pair[0].1, pair[1].1))
        .collect()
}

/// The name and version of each package, in the file's order.
fn packages(lock: &str) -> Vec<(&str, &str)> {
    lock.split("[[package]]")
        .skip(1)
        .filter_map(|block| Some((value(block, "name")?, value(block, "version")?)))
        .collect()
}

fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
}

fn lock_of(packages: &[(&str, &str)]) -> String {
    let block = |(name, version): &(&str, &str)| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
    };
    packages.iter().map(block).collect()
}

const SOUND: [(&str, &str); 6] = [
    ("arrow", "59.3.2"),
    ("arrow-array", "59.3.0"),
    ("blake3", "1.8.7"),
    ("datafusion", "55.2.0"),
    ("datafusion-functions-json", "0.55.6"),
    ("ed25519-dalek", "3.0.0"),
];

#[test]
fn a_sound_lock_has_no_fault() {
    assert_eq!(faults(&lock_of(&SOUND)), [""; 0]);
}

#[test]
fn each_addition_that_breaks_a_rule_is_named() {
    let additions = [
        ("arrow", "60.0.0"),
        ("arrow-array", "60.0.0"),
        ("ed25519-dalek", "2.2.0"),
        ("datafusion", "54.0.0"),
        ("datafusion-functions-json", "0.54.0"),
        ("aws-lc-rs", "1.0.0"),
        ("openssl-sys", "0.9.0"),
    ];
    for addition in additions {
        let mut packages = SOUND.to_vec();
        packages.push(addition);
        assert!(
            faults(&lock_of(&packages)).iter().any(|fault| fault.contains(addition.0)),
            "{addition:?} passes"
        );
    }
}

#[test]
fn a_second_rustls_is_named_and_a_missing_crate_too() {
    let two = [SOUND.as_slice(), &[("rustls", "0.22.4"), ("rustls", "0.23.9")]].concat();
    assert_eq!(faults(&lock_of(&two)).len(), 1);
    assert_eq!(faults(&lock_of(&SOUND[..5])).len(), 1);
}
