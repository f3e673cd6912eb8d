//! What is wrong with a YAML file, and what to do. Parsers report what they expected; this finds the likely mistake.
//!
//! Source: YAML 1.2.2; the errors of granit-parser.

use crate::{
    Position,
    mistake::{TextPosition, find},
};

/// The message for an alias of an anchor that does not exist.
pub(crate) const UNRESOLVED_ALIAS: &str = "an unquoted `*` is a YAML alias; quote the asterisk";

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

/// The position and the message of a syntax error of `text`. The parser stopped at `at`, for this `cause`.
#[must_use]
pub fn syntax_error(text: &str, at: Position, cause: &str) -> (Position, String) {
    let ((line, column), message) = syntax_mistake(text, text_position(at), cause);
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (Position { line: number(line), column: number(column) }, message)
}

/// Whether the mistake is found because of which a parser stopped at `refused`: a missing quote, comma, bracket or space, or
/// the mark of a merge conflict.
#[must_use]
pub fn is_known_mistake(text: &str, refused: Position) -> bool {
    find(text, text_position(refused)).is_some()
}

const fn text_position(at: Position) -> TextPosition {
    (at.line as usize, at.column as usize)
}

fn syntax_mistake(text: &str, at: TextPosition, cause: &str) -> (TextPosition, String) {
    if let Some(tab) = tab_in_indentation(text, at) {
        return (tab, "tab in indentation; use spaces".to_owned());
    }
    if value_at(text, at).starts_with('*') {
        return (at, UNRESOLVED_ALIAS.to_owned());
    }
    // A limit has nothing to do with a mistake in the text.
    let mistake = if cause.contains("limit") { None } else { find(text, at) };
    if let Some(mistake) = mistake {
        return (mistake.at, mistake.message);
    }
    let known = CAUSES.iter().find(|(part, _)| cause.contains(part));
    let message = known.map_or_else(
        || format!("not valid YAML: {cause}; correct it here or in the lines before"),
        |(_, message)| format!("not valid YAML: {message}"),
    );
    (at, message)
}

/// The rest of the line from the value at this position; inside braces and brackets, to the end of the value.
fn value_at(text: &str, (number, column): TextPosition) -> &str {
    let line = line(text, number).unwrap_or_default();
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let (before, value) = line.split_at(start);
    let end = if before.contains(['{', '[']) { value.find([',', '}', ']']) } else { None };
    value[..end.unwrap_or(value.len())].trim()
}

/// The first tab in the indentation of the line of the error, or of the next line, which the parser may have taken for
/// the rest of a value.
fn tab_in_indentation(text: &str, at: TextPosition) -> Option<TextPosition> {
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
