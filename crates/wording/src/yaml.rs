//! What is wrong with a YAML file, and what to do. Parsers report what they expected; this finds the likely mistake.
//!
//! Source: YAML 1.2.2; the errors of serde-saphyr, and those of granit-parser, which it is built on.

use serde::de::IgnoredAny;
use serde_saphyr::Error;

use crate::{YamlPosition, quoted, yaml_mistake::find};

/// An unquoted `*` where a value begins.
const ASTERISK: &str = "an unquoted `*` is a YAML alias; quote the asterisk";

const INDENTATION: &str = "wrong indentation; align this line with the keys beside it";

/// The likely mistake for a message of the parser, which is recognized by a part of it.
const CAUSES: [(&str, &str); 5] = [
    (
        "mapping values",
        "a `:` follows a value that has one already; put quotes around a value with `: ` in it, or correct the \
         indentation",
    ),
    ("':'", "a key without its `:`; add it, or correct the indentation"),
    ("indent", INDENTATION),
    ("did not find expected key", INDENTATION),
    ("expected '-' indicator", INDENTATION),
];

/// The position and the message of a syntax error. The parser stopped at `at`, for this `cause`.
#[must_use]
pub fn yaml_syntax(text: &str, at: YamlPosition, cause: &str) -> (YamlPosition, String) {
    if let Some(tab) = tab_in_indentation(text, at) {
        return (tab, "tab in indentation; use spaces".to_owned());
    }
    if value_at(text, at).starts_with('*') {
        return (at, ASTERISK.to_owned());
    }
    // A limit has nothing to do with a mistake in the text.
    let mistake = if cause.contains("limit") { None } else { yaml_mistake(text, at) };
    if let Some(mistake) = mistake {
        return mistake;
    }
    let known = CAUSES.iter().find(|(part, _)| cause.contains(part));
    let message = known.map_or_else(
        || format!("not valid YAML: {cause}; correct it here or in the lines before"),
        |(_, message)| format!("not valid YAML: {message}"),
    );
    (at, message)
}

/// The position and the message of the mistake because of which a parser stopped at `refused`: a missing quote, comma,
/// bracket or space, or the mark of a merge conflict.
#[must_use]
pub fn yaml_mistake(text: &str, refused: YamlPosition) -> Option<(YamlPosition, String)> {
    find(text, refused).map(|mistake| (mistake.at, mistake.message))
}

/// As [`yaml_syntax`], for a text that was deserialized into a type. `minimum` is the shortest text that is valid for it.
#[must_use]
pub fn yaml_fault(text: &str, error: &Error, minimum: &str) -> (Option<YamlPosition>, String) {
    let error = error.without_snippet();
    if is_blank(text) {
        return (None, format!("the file is empty; write at least `{minimum}`"));
    }
    // A line with a wrong indentation ends a mapping, so the missing key may be in the rest, which is a syntax error.
    if matches!(error, Error::SerdeMissingField { .. })
        && let Err(syntax) = serde_saphyr::from_str::<IgnoredAny>(text)
    {
        return shape_fault(text, &syntax);
    }
    shape_fault(text, error)
}

fn shape_fault(text: &str, error: &Error) -> (Option<YamlPosition>, String) {
    let error = error.without_snippet();
    let at = position(error);
    let found = found_at(text, at);
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {}; use one of `{}`", quoted(field), expected.join("`, `"))
        }
        Error::SerdeMissingField { field, .. } => format!("missing key `{field}`; add it"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("duplicate key {}; remove one", quoted(key))
        }
        Error::InvalidScalar { ty: "boolean", .. } => {
            format!("expected `true` or `false`, found {found}")
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['i', 'u']) => {
            format!("expected a whole number, found {found}")
        }
        Error::Unexpected { expected: "mapping start", .. } => {
            format!("expected a mapping (`key: value`), found {found}")
        }
        Error::Unexpected { expected: "sequence start", .. } => {
            format!("expected a list (`- item`), found {found}")
        }
        Error::Unexpected { expected: "string scalar", .. } => {
            format!("expected text, found {found}")
        }
        other => {
            let said = other.to_string();
            let cause = said.rsplit_once(" at line ").map_or(said.as_str(), |(cause, _)| cause);
            let (at, message) = yaml_syntax(text, at.unwrap_or((1, 1)), cause);
            return (Some(at), message);
        }
    };
    (at, message)
}

fn position(error: &Error) -> Option<YamlPosition> {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let location = error.location().filter(|location| location.line() > 0)?;
    Some((number(location.line()), number(location.column())))
}

/// Whether a text has only blank lines, comments and document marks.
fn is_blank(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

/// The value at this position, as a message names it.
fn found_at(text: &str, at: Option<YamlPosition>) -> String {
    let value = at.map_or("", |at| value_at(text, at));
    match value.bytes().next() {
        None | Some(b'#') => "nothing".to_owned(),
        Some(b'[') => "a list".to_owned(),
        Some(b'-') if value == "-" || value.starts_with("- ") => "a list".to_owned(),
        Some(b'{') => "a mapping".to_owned(),
        Some(_) if value.ends_with(':') || value.contains(": ") => "a mapping".to_owned(),
        Some(_) => quoted(value),
    }
}

/// The rest of the line from the value at this position; inside braces and brackets, to the end of the value.
fn value_at(text: &str, (number, column): YamlPosition) -> &str {
    let line = line(text, number).unwrap_or_default();
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let (before, value) = line.split_at(start);
    let end = if before.contains(['{', '[']) { value.find([',', '}', ']']) } else { None };
    value[..end.unwrap_or(value.len())].trim()
}

/// The first tab in the indentation of the line of the error, or of the next line, which the parser may have taken for
/// the rest of a value.
fn tab_in_indentation(text: &str, at: YamlPosition) -> Option<YamlPosition> {
    [at.0, at.0.saturating_add(1)].into_iter().find_map(|number| {
        let line = line(text, number)?;
        let blanks = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        Some((number, blanks.find('\t')? + 1))
    })
}

/// The line with this number, from 1.
fn line(text: &str, number: usize) -> Option<&str> {
    text.lines().nth(number.checked_sub(1)?)
}
