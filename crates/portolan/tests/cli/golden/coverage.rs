//! Every `#[error("…")]` in the sources has an example in the golden files, or a reason why it has none.

use std::{collections::BTreeSet, fs, path::Path};

use super::{compare, unprovoked::unprovoked, writes};

/// Far fewer than there are: a test that finds fewer does not see the sources.
const LEAST_TEXTS: usize = 200;

/// What may stand before an error's text in a line.
const BEFORE: [&str; 4] = [": ", "(", ", ", "error: "];

/// What may follow an error's text in a line.
const AFTER: [char; 5] = [';', ':', ',', ')', '.'];

/// The text of an error as its source has it.
struct ErrorText {
    crate_name: String,
    /// The variant or the type below the text.
    name: String,
    /// The parts of the text between its placeholders.
    pieces: Vec<String>,
}

impl ErrorText {
    /// Whether it consists of more than placeholders and signs.
    fn has_words(&self) -> bool {
        let is_word =
            |piece: &String| piece.split(|c: char| !c.is_alphabetic()).any(|it| it.len() > 1);
        self.pieces.iter().any(is_word)
    }

    /// Whether a line has it, with anything in the places of the placeholders.
    fn is_in(&self, line: &str) -> bool {
        let (first, rest) = self.pieces.split_first().expect("a text has one piece at least");
        let starts = line.match_indices(first.as_str()).map(|(at, _)| at);
        let mut starts =
            starts.filter(|at| *at == 0 || BEFORE.iter().any(|it| line[..*at].ends_with(it)));
        starts.any(|at| follows(rest, &line[at + first.len()..]))
    }
}

/// Whether `line` has these pieces in this order and ends there, or goes on with another text.
fn follows(pieces: &[String], line: &str) -> bool {
    match pieces {
        [] => line.is_empty() || line.starts_with(AFTER),
        [last] if last.is_empty() => true,
        [next, rest @ ..] => {
            let mut found = line.match_indices(next.as_str());
            found.any(|(at, _)| follows(rest, &line[at + next.len()..]))
        }
    }
}

/// The string literal at the start of a source, as the program has it, and the source behind it.
fn literal(source: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = source.strip_prefix('"')?;
    loop {
        let (before, after) = rest.split_at(rest.find(['"', '\\'])?);
        text.push_str(before);
        match after.strip_prefix('\\') {
            None => return Some((text, &after[1..])),
            Some(escaped) => match escaped.strip_prefix('\n') {
                Some(continued) => rest = continued.trim_start(),
                None => {
                    text.push(escaped.chars().next()?);
                    rest = &escaped[1..];
                }
            },
        }
    }
}

/// The parts of a format string between its placeholders.
fn pieces(format: &str) -> Vec<String> {
    let escaped = format.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut pieces = vec![String::new()];
    for part in escaped.split_inclusive(['{', '}']) {
        let text = part.trim_end_matches(['{', '}']);
        let is_placeholder = part.ends_with('}');
        match pieces.last_mut() {
            Some(last) if !is_placeholder => last.push_str(text),
            _ => pieces.push(String::new()),
        }
    }
    let plain = |piece: String| piece.replace('\u{1}', "{").replace('\u{2}', "}");
    pieces.into_iter().map(plain).collect()
}

/// The name of the variant or type that the source of an attribute's end goes on with.
fn name_below(source: &str) -> Option<String> {
    let (_, below) = source.split_once(")]\n")?;
    let mut lines = below.lines().map(str::trim_start);
    let line = lines.find(|line| !line.starts_with("#[") && !line.starts_with("//"))?;
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut words = words.filter(|word| !["", "pub", "crate", "struct", "enum"].contains(word));
    words.next().map(str::to_owned)
}

/// The texts of the errors in a file.
fn texts_of(crate_name: &str, source: &str, texts: &mut Vec<ErrorText>) {
    for attribute in source.split("#[error(").skip(1) {
        // Others are `transparent`.
        let Some((format, rest)) = literal(attribute.trim_start()) else { continue };
        let name = name_below(rest).unwrap_or_else(|| panic!("no name below {format}"));
        let crate_name = crate_name.to_owned();
        texts.push(ErrorText { crate_name, name, pieces: pieces(&format) });
    }
}

fn walk(directory: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => walk(&path, visit),
            false => visit(&path),
        }
    }
}

/// The texts of all errors in the sources.
fn texts() -> Vec<ErrorText> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    for entry in fs::read_dir(crates).expect("a directory") {
        let entry = entry.expect("an entry");
        let crate_name = entry.file_name().into_string().expect("UTF-8");
        walk(&entry.path().join("src"), &mut |file| {
            if file.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(file).expect("a source");
                texts_of(&crate_name, &source, &mut texts);
            }
        });
    }
    texts.retain(ErrorText::has_words);
    assert!(texts.len() > LEAST_TEXTS, "{}", texts.len());
    texts
}

/// The lines of the golden files that the program printed, but for those of [`NOT_PROVOKED`].
fn examples() -> Vec<String> {
    let mut lines = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors"), &mut |file| {
        if file.ends_with(NOT_PROVOKED) {
            return;
        }
        let text = fs::read_to_string(file).expect("a golden file");
        let printed = text.lines().filter(|line| !line.starts_with(['#', '$', '>']));
        lines.extend(printed.map(str::to_owned));
    });
    lines
}

/// The golden file of errors that no run provokes.
const NOT_PROVOKED: &str = "not-provoked.txt";

#[test]
fn every_error_has_an_example_or_a_reason_for_none() {
    if writes() {
        // Other tests are writing the files.
        return;
    }
    let (texts, examples, reasons) = (texts(), examples(), unprovoked());
    let without: Vec<_> =
        texts.iter().filter(|text| !examples.iter().any(|line| text.is_in(line))).collect();
    let of_texts: BTreeSet<_> =
        without.iter().map(|text| (text.crate_name.as_str(), text.name.as_str())).collect();
    let listed: BTreeSet<_> = reasons.iter().map(|it| (it.crate_name, it.name)).collect();
    let new: Vec<_> = of_texts.difference(&listed).collect();
    assert!(new.is_empty(), "these need an example, or a line in unprovoked.rs: {new:?}");
    let old: Vec<_> = listed.difference(&of_texts).collect();
    assert!(old.is_empty(), "these have an example, or no longer exist: {old:?}");
}

/// The line without its URLs, which repeat the names of what was requested.
fn without_urls(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.starts_with("http://"));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether the line names one digest tag twice, outside of URLs.
pub(super) fn names_a_digest_tag_twice(line: &str) -> bool {
    let line = without_urls(line);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let words = line.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.'));
    let mut seen = BTreeSet::new();
    words.filter(|word| oci::is_digest_tag(word)).any(|word| !seen.insert(word.to_owned()))
}

#[test]
fn no_line_names_a_digest_tag_twice() {
    if writes() {
        // Other tests are writing the files.
        return;
    }
    let examples = examples();
    assert!(examples.iter().any(|line| line.contains("digest tag sha256-")), "{examples:?}");
    let twice: Vec<_> = examples.iter().filter(|line| names_a_digest_tag_twice(line)).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn errors_that_no_run_provokes() {
    let texts = texts();
    let mut shown = String::new();
    for it in unprovoked() {
        let (crate_name, name) = (it.crate_name, it.name);
        let line = it.shown.as_deref().unwrap_or("(its type is private)");
        shown.push_str(&format!("## {crate_name}, {name}: {}\n\n{line}\n\n", it.reason));
        if it.shown.is_some() {
            let mut of_name =
                texts.iter().filter(|text| text.crate_name == crate_name && text.name == name);
            assert!(of_name.any(|text| text.is_in(line)), "{crate_name} {name}: {line}");
        }
    }
    compare(&format!("errors/{NOT_PROVOKED}"), &shown);
}
