//! Pages that promise a test for each row: the tests are there.

use super::workspace;

#[test]
fn each_row_names_a_test_that_is_there() {
    let sources = workspace::files();
    let is_there = |name: &str| {
        let wanted = format!("fn {name}(");
        sources.iter().filter(|file| file.is_rust()).any(|file| file.text.contains(&wanted))
    };
    for page in sources.iter().filter(|file| file.name() == "parity.md") {
        let rows = rows(&page.text);
        assert!(!rows.is_empty(), "{} has no rows", page.path);
        for (feature, test) in rows {
            if test == "-" {
                continue;
            }
            assert!(is_there(test), "{}: `{feature}` names the test `{test}`, which is not there", page.path);
        }
    }
}

/// The first and the last cell of each row, without the head of each table.
fn rows(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| feature "))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            Some((cells.next()?.trim(), cells.last()?.trim().trim_matches('`')))
        })
        .collect()
}

#[test]
fn rows_are_read_without_heads() {
    let text = "# A\n\n| feature | here | test |\n|---|---|---|\n| one, or two | `x` | `a_test` |\n";
    assert_eq!(rows(text), [("one, or two", "a_test")]);
}
