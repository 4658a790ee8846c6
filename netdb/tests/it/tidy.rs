//! Style as a test: what a reviewer should not have to look for.

use super::workspace::{self, SourceFile};

const FILE_LINES_MAX: usize = 800;
const ROOT_LINES_MAX: usize = 150;
const BASE_LINES_MAX: usize = 3_000;

/// What is not finished, or was left behind by debugging.
const UNFINISHED: [&str; 4] = ["todo!", "unimplemented!", "dbg!", "FIXME"];

/// Words by which a comment tells the past instead of the present.
const HISTORY: [&str; 7] =
    ["pre-fix", "previously", "formerly", "used to be", "was renamed", "has been renamed", "_plan.md"];

/// Folders at the top of a machine: paths that begin with one exist on that machine only.
const MACHINE: [&str; 4] = ["home", "root", "Users", "work"];

/// This file holds the words as samples.
const SAMPLES: &str = "netdb/tests/it/tidy.rs";

#[test]
fn the_tree_is_tidy() {
    let files = workspace::files();
    let mut found: Vec<String> = files.iter().flat_map(faults).collect();
    found.extend(base_fault(&files));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn links_in_documents_lead_to_files() {
    let root = workspace::root();
    let mut found = Vec::new();
    for file in workspace::files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root.join(&file.path).parent().expect("a file lies in a folder").to_path_buf();
        let broken = links(&file.text).into_iter().filter(|link| !folder.join(link).exists());
        found.extend(broken.map(|link| format!("{}: nothing at `{link}`", file.path)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The targets of a document's links into the tree, without their anchors.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.contains(char::is_whitespace)
        })
        .collect()
}

fn faults(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    if file.is_rust() {
        found.extend(size_fault(file));
        found.extend(line_faults(file, discards_match));
        found.extend(line_faults(file, has_ignored_doctest));
    }
    if file.is_rust() || !file.path.ends_with(".md") {
        found.extend(line_faults(file, is_not_ascii));
    }
    if file.path != SAMPLES {
        found.extend(line_faults(file, names_a_machine));
        if file.is_rust() {
            found.extend(line_faults(file, is_unfinished));
            found.extend(line_faults(file, tells_history));
        }
    }
    found
}

/// Runs one check over each line; it sees all lines, to look around, and gives the fault's text.
fn line_faults(file: &SourceFile, check: fn(&[&str], usize) -> Option<String>) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    (0..lines.len())
        .filter_map(|at| check(&lines, at).map(|fault| format!("{}:{}: {fault}", file.path, at + 1)))
        .collect()
}

fn size_fault(file: &SourceFile) -> Option<String> {
    if file.name() == "mod.rs" {
        return Some(format!("{}: a module is `name.rs` beside the folder `name`, not `mod.rs`", file.path));
    }
    let lines = file.text.lines().count();
    let most = if file.name() == "lib.rs" { ROOT_LINES_MAX } else { FILE_LINES_MAX };
    (lines > most).then(|| format!("{}: {lines} lines, {most} at most", file.path))
}

fn base_fault(files: &[SourceFile]) -> Option<String> {
    let lines: usize = files.iter().filter(|file| counts_for_base(&file.path)).map(product_lines).sum();
    (lines > BASE_LINES_MAX)
        .then(|| format!("base has {lines} lines without tests, {BASE_LINES_MAX} at most"))
}

/// The simulated disk is a tool of tests, and as large as what it simulates.
fn counts_for_base(path: &str) -> bool {
    path.starts_with("base/src/") && !path.starts_with("base/src/disk/simulated")
}

/// The lines of a file before its test module; none of a file that holds tests only.
fn product_lines(file: &SourceFile) -> usize {
    if file.name() == "tests.rs" || file.path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let tests =
        lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
    tests.unwrap_or(lines.len())
}

/// A statement `matches!(..);` computes a truth value and drops it: it asserts nothing.
fn discards_match(lines: &[&str], at: usize) -> Option<String> {
    let begins_statement = lines[..at]
        .iter()
        .rev()
        .map(|line| line.trim())
        .find(|line| !line.is_empty() && !line.starts_with("//"))
        .is_none_or(|line| line.ends_with(['{', '}', ';']));
    if !begins_statement || !lines[at].trim_start().starts_with("matches!(") {
        return None;
    }
    let mut depth = 0_i32;
    for line in &lines[at..] {
        depth += i32::try_from(line.matches('(').count()).expect("a line is short");
        depth -= i32::try_from(line.matches(')').count()).expect("a line is short");
        if depth == 0 {
            return line.trim_end().ends_with(';').then(|| "a `matches!` whose result is dropped".to_owned());
        }
    }
    None
}

fn has_ignored_doctest(lines: &[&str], at: usize) -> Option<String> {
    let line = lines[at].trim_start();
    let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    let words = doc.trim_start().strip_prefix("```")?;
    words.split([',', ' ']).any(|word| word == "ignore").then(|| "a doctest that never runs".to_owned())
}

fn is_not_ascii(lines: &[&str], at: usize) -> Option<String> {
    lines[at].chars().find(|c| !c.is_ascii()).map(|c| format!("the character {c:?}; write it as an escape"))
}

fn is_unfinished(lines: &[&str], at: usize) -> Option<String> {
    UNFINISHED.iter().find(|word| lines[at].contains(**word)).map(|word| format!("`{word}`"))
}

fn tells_history(lines: &[&str], at: usize) -> Option<String> {
    let comment = comment(lines[at])?.to_lowercase();
    let word = HISTORY.iter().find(|word| comment.contains(**word));
    if let Some(word) = word {
        return Some(format!("`{word}` tells history; say what is"));
    }
    let numbered = comment.match_indices("issue ").any(|(at, word)| {
        comment[at + word.len()..].trim_start_matches('#').starts_with(|c: char| c.is_ascii_digit())
    });
    numbered.then(|| "an issue's number; say why instead".to_owned())
}

/// The comment on a line; `://` in a text begins none.
fn comment(line: &str) -> Option<&str> {
    if let Some(whole) = line.trim_start().strip_prefix("//") {
        return Some(whole);
    }
    line.split_once(" // ").map(|(_, comment)| comment)
}

fn names_a_machine(lines: &[&str], at: usize) -> Option<String> {
    let line = lines[at];
    let is_path = |start: usize| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '/'))
    };
    let mut paths = MACHINE.iter().map(|folder| format!("/{folder}/"));
    let found = paths.find(|path| line.match_indices(path.as_str()).any(|(start, _)| is_path(start)));
    found.map(|path| format!("a path of one machine, `{path}`"))
}

fn rust(text: &str) -> SourceFile {
    SourceFile { path: "redex/src/sample.rs".to_owned(), text: text.to_owned() }
}

#[test]
fn each_untidy_line_is_a_fault() {
    let samples = [
        "    todo!()",
        "    unimplemented!(\"later\")",
        "// FIXME",
        "// this was formerly a list",
        "let a = 1; // see issue #12",
        "//! ```rust,ignore",
        "/// ```ignore",
        "let dash = \"\u{2014}\";",
        "let path = \"/home/someone/data\";",
        "fn f() {\n    matches!(a, B);\n}",
        "fn f() {\n    matches!(\n        a,\n        B(_)\n    );\n}",
    ];
    for sample in samples {
        assert_eq!(faults(&rust(sample)).len(), 1, "{sample}");
    }
}

#[test]
fn tidy_lines_pass() {
    let samples = [
        "fn is_b(a: A) -> bool {\n    matches!(a, A::B)\n}",
        "let b =\n    matches!(a, A::B);",
        "assert!(\n    matches!(a, A::B),\n);",
        "/// ```\n/// ```text\n/// ```no_run",
        "let url = \"https://example.org/home/\";",
        "let previously = 1;",
        "// an issue of 16 MiB",
    ];
    for sample in samples {
        assert_eq!(faults(&rust(sample)), [""; 0], "{sample}");
    }
}

#[test]
fn links_are_found_without_anchors_and_addresses() {
    let text = "[a](b/c.md#d) and [e](#f), [g](https://example.org) or [h](i)";
    assert_eq!(links(text), ["b/c.md", "i"]);
}

#[test]
fn files_beyond_their_size_are_faults() {
    let lines = |count: usize| "x\n".repeat(count);
    assert_eq!(faults(&rust(&lines(FILE_LINES_MAX))), [""; 0]);
    assert_eq!(faults(&rust(&lines(FILE_LINES_MAX + 1))).len(), 1);

    let file = |path: &str, text: String| SourceFile { path: path.to_owned(), text };
    assert_eq!(faults(&file("redex/src/lib.rs", lines(ROOT_LINES_MAX + 1))).len(), 1);
    assert_eq!(faults(&file("redex/src/a/mod.rs", lines(1))).len(), 1);

    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(BASE_LINES_MAX));
    assert!(base_fault(&[file("base/src/a.rs", tests)]).is_none());
    assert!(base_fault(&[file("base/src/a.rs", lines(BASE_LINES_MAX + 1))]).is_some());
}
