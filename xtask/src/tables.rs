//! Tables in the documentation: a cell is short enough for a column, and a page for users names no test.

use std::collections::BTreeSet;

use crate::offence::{Files, Offence};

/// The longest cell, in characters. What does not fit is a sentence below the table.
const MAX_CELL: usize = 160;

/// The folders that users read.
const FOR_USERS: [&str; 2] = ["docs/guide/", "docs/reference/"];

/// The long cells of every page in `docs/` and at the root, and the tests that pages for users name.
pub(crate) fn check(files: &Files) -> Vec<Offence> {
    let tests = tests(files);
    let is_page =
        |file: &str| file.ends_with(".md") && (file.starts_with("docs/") || !file.contains('/'));
    let pages = files.iter().filter(|(file, _)| is_page(file));
    pages.flat_map(|(file, text)| check_page(file, text, &tests)).collect()
}

fn check_page(file: &str, text: &str, tests: &BTreeSet<&str>) -> Vec<Offence> {
    let is_for_users = FOR_USERS.iter().any(|folder| file.starts_with(folder));
    let mut offences = Vec::new();
    for (line, cell) in cells(text) {
        let mut add = |what| offences.push(Offence { file: file.to_owned(), line, what });
        let length = cell.chars().count();
        if length > MAX_CELL {
            add(format!(
                "a cell of {length} characters, and {MAX_CELL} fit; say the rest in sentences below the table"
            ));
        }
        if is_for_users && let Some(test) = named_test(&cell, tests) {
            add(format!("a table for users names the test `{test}`; say what the test shows"));
        }
    }
    offences
}

/// The cells of all tables, each with its line.
fn cells(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('|') {
            continue;
        }
        // An escaped bar is a character of its cell.
        let row = line.replace(r"\|", "\u{2502}");
        found.extend(row.split('|').map(|cell| (number, cell.trim().to_owned())));
    }
    found
}

/// The first test in the cell: by its name, or by the beginning of its name and `…`.
fn named_test<'c>(cell: &'c str, tests: &BTreeSet<&str>) -> Option<&'c str> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '…';
    let words = cell.split(|c| !is_of_a_name(c)).filter(|word| word.contains('_'));
    words.into_iter().find(|word| match word.strip_suffix('…') {
        Some(beginning) => {
            tests.range(beginning..).next().is_some_and(|it| it.starts_with(beginning))
        }
        None => tests.contains(word),
    })
}

/// The names of all functions below `#[test]` or `#[tokio::test]`.
fn tests(files: &Files) -> BTreeSet<&str> {
    let sources = files.iter().filter(|(file, _)| file.ends_with(".rs"));
    sources.flat_map(|(_, text)| tests_of(text)).collect()
}

fn tests_of(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == "#[test]" || line.starts_with("#[tokio::test")) {
        let function = lines.by_ref().find_map(|line| {
            line.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next()
        });
        found.extend(function);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cell_is_found_outside_code() {
        let long = "x".repeat(MAX_CELL + 1);
        let fits = "x".repeat(MAX_CELL - 4) + r"\|xx";
        let page = format!(
            "| a | b |\n|---|---|\n| {fits} | x |\n| y | {long} |\n```\n| {long} |\n```\n{long}\n"
        );
        let files = Files::from([("docs/a.md".to_owned(), page)]);
        let offences = check(&files);
        assert_eq!(offences.iter().map(|it| it.line).collect::<Vec<_>>(), [4]);
        assert!(offences[0].what.starts_with("a cell of 161 characters"), "{offences:?}");
    }

    #[test]
    fn a_table_for_users_names_no_test() {
        let code = "#[test]\nfn one_shows() {}\n#[tokio::test(start_paused = true)]\n#[cfg(unix)]\nasync fn two_shows() {}\nfn not_a_test() {}\n";
        let page = "`one_shows` outside a table\n\n| what | test |\n|---|---|\n| `not_a_test` | fine |\n| a | `m::two_shows` |\n| b | `one_…` |\n";
        let mut files = Files::from([("crates/a/tests/a.rs".to_owned(), code.to_owned())]);
        for (file, lines) in [
            ("docs/guide/a.md", &[6, 7][..]),
            ("docs/reference/a.md", &[6, 7]),
            ("docs/internals/a.md", &[]),
        ] {
            files.insert(file.to_owned(), page.to_owned());
            let found: Vec<_> = check(&files).iter().map(|it| it.line).collect();
            assert_eq!(found, lines, "{file}");
            files.remove(file);
        }
    }
}
