//! The tree as text: its files, its members and the dependencies that a manifest names.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the tree, with its path from the root, parts separated by `/`.
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

pub fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("read {}: {cause}", path.display()))
}

/// Every text file that people write here, sorted by path; build output and data directories are left out.
pub fn files() -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|file| file.path == "base/src/lib.rs"), "the walk misses the sources");
    found
}

/// The members of the workspace, as folders.
pub fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split_once("\nmembers = [").expect("the root manifest lists its members").1;
    let list = list.split_once(']').expect("the list of members ends").0;
    let members: Vec<String> = quoted(list).map(str::to_owned).collect();
    assert!(members.iter().any(|member| member == "netdb"), "the list of members was not understood");
    members
}

/// The packages that a manifest depends on in any way (also for tests and builds), by the key and by the package
/// name behind a renaming. `[workspace.dependencies]` only declares and does not count.
pub fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    let mut depth = 0;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if depth == 0 && line.starts_with('[') {
            let table = line.trim_matches(|c| c == '[' || c == ']');
            inside = enters_dependencies(table, &mut names);
            continue;
        }
        if inside && depth == 0 && !line.is_empty() {
            let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
            names.push(key.trim_matches('"').to_owned());
        }
        if inside && let Some((_, value)) = line.split_once("package = ") {
            names.extend(quoted(value).next().map(str::to_owned));
        }
        depth += line.matches(['[', '{']).count();
        depth -= line.matches([']', '}']).count();
    }
    names
}

/// Whether a table's entries are dependencies; a table for a single one (`dependencies.serde`) gives its name.
fn enters_dependencies(table: &str, names: &mut Vec<String>) -> bool {
    if table.starts_with("workspace.") {
        return false;
    }
    let parts: Vec<&str> = table.split('.').collect();
    if let [.., kind, name] = parts.as_slice()
        && kind.ends_with("dependencies")
    {
        names.push(name.trim_matches('"').to_owned());
        return false;
    }
    parts.last().is_some_and(|last| last.ends_with("dependencies"))
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|cause| panic!("list {prefix}: {cause}"));
    for entry in entries {
        let entry = entry.expect("the tree stands still while it is read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("the tree stands still while it is read");
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if kind.is_dir() && !is_left_out(&entry.path(), &name) {
            collect(&entry.path(), &path, found);
        } else if kind.is_file() && is_text(&path, &name) {
            let text =
                fs::read_to_string(entry.path()).unwrap_or_else(|cause| panic!("read {path}: {cause}"));
            found.push(SourceFile { path, text });
        }
    }
}

/// Cargo marks its target directories with a cache tag, wherever they are and whatever their name.
fn is_left_out(directory: &Path, name: &str) -> bool {
    (name.starts_with('.') && name != ".ci")
        || name.starts_with("target")
        || name == "netdb-data"
        || directory.join("CACHEDIR.TAG").exists()
}

fn is_text(path: &str, name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((_, extension)) => matches!(extension, "rs" | "toml" | "md" | "sh" | "py" | "slt"),
        None => !path.contains('/') || path.starts_with(".ci/"),
    }
}

#[test]
fn dependencies_are_found_in_every_form_a_manifest_has() {
    let manifest = r#"
[package]
name = "base"
[workspace.dependencies]
declared = "1"
[dependencies]
a.workspace = true
b = { version = "1", features = [
    "not-a-dependency",
] } # c = "1"
d = { package = "netdb-redex", path = "../redex" }
"e" = "1"
[dependencies.f]
version = "1"
[target.'cfg(unix)'.dependencies]
g = "1"
[dev-dependencies]
h = "1"
[build-dependencies]
i = "1"
[features]
default = ["j"]
"#;
    assert_eq!(dependencies(manifest), ["a", "b", "d", "netdb-redex", "e", "f", "g", "h", "i"]);
}
