//! What a Rust file owes its reader: a header, a bearable size, and nothing unfinished.

use crate::offence::Offence;

/// Within how many lines the header stands: attributes may come before it.
const HEADER_LINES: usize = 3;
/// How many lines of code a file may have before its tests.
const BUDGET: usize = 400;
/// The same for a file that declares itself a table.
const TABLE_BUDGET: usize = 600;
/// The line of a header that declares it.
const TABLE_MARK: &str = "//! table";
const UNFINISHED: [&str; 3] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// The offences of one file.
pub(crate) fn check(file: &str, text: &str) -> Vec<Offence> {
    let offence = |line, what| Offence { file: file.to_owned(), line, what };
    let mut offences = Vec::new();
    if !text.lines().take(HEADER_LINES).any(|line| line.starts_with("//!")) {
        let what = "begins without `//!`; say what the file is for and what it does not do";
        offences.push(offence(0, what.to_owned()));
    }
    let budget = if text.lines().any(|line| line == TABLE_MARK) { TABLE_BUDGET } else { BUDGET };
    let size = if is_test(file) { 0 } else { code_lines(text) };
    if size > budget {
        let what = format!(
            "{size} lines of code before the tests, and {budget} are the budget; find the noun \
             that is missing, and give it a file"
        );
        offences.push(offence(0, what));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let marks = UNFINISHED.iter().filter(|mark| line.contains(**mark));
        let what = |mark| format!("`{mark}` is unfinished work; finish it, or take it out");
        offences.extend(marks.map(|mark| offence(number, what(mark))));
    }
    offences
}

/// Whether the whole file is a test or a bench, which may be as long as it needs to be.
fn is_test(file: &str) -> bool {
    let mut parts = file.split('/').rev();
    parts.next() == Some("tests.rs") || parts.any(|part| matches!(part, "tests" | "benches"))
}

/// The lines before the module of tests, without blank ones and comments.
fn code_lines(text: &str) -> usize {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let begins_tests =
        |pair: &[&str]| pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ");
    let end = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
    lines[..end].iter().filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(lines: usize) -> String {
        "x();\n\n// why\n".repeat(lines)
    }

    #[test]
    fn headers() {
        for (text, is_fine) in [
            ("//! What it is.\n", true),
            ("#![no_main]\n\n//! What it is.\n", true),
            ("", false),
            ("fn main() {}\n", false),
            ("// What it is.\n", false),
            ("\n\n\n//! Too late.\n", false),
        ] {
            assert_eq!(check("a.rs", text).is_empty(), is_fine, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(500));
        for (file, header, lines, is_fine) in [
            ("src/a.rs", "//! A.\n", 400, true),
            ("src/a.rs", "//! A.\n", 401, false),
            ("src/a.rs", "//! A.\n//!\n//! table\n", 600, true),
            ("src/a.rs", "//! A.\n//!\n//! table\n", 601, false),
            ("src/a.rs", "//! A table of them.\n", 401, false),
            ("tests/a.rs", "//! A.\n", 900, true),
            ("src/tests.rs", "//! A.\n", 900, true),
            ("testkit/src/a.rs", "//! A.\n", 401, false),
        ] {
            let offences = check(file, &format!("{header}{}{tests}", code(lines)));
            assert_eq!(offences.is_empty(), is_fine, "{file} {lines}: {offences:?}");
        }
    }

    #[test]
    fn unfinished_marks() {
        let text = format!(
            "//! A.\n{})\n    {}(\"x\")]\n// nothing to do\n",
            UNFINISHED[0], UNFINISHED[2]
        );
        let lines: Vec<_> = check("tests/a.rs", &text).iter().map(|of| of.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
