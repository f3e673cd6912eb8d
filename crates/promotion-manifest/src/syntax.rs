//! What to do about a text that is not YAML: the parser says what it expected, and this says which slip is likely.

use crate::Position;

/// Where the problem is, and what to say of it. The parser refused `text` at `at` for this `cause`.
pub(crate) fn problem(text: &str, at: Position, cause: &str) -> (Position, String) {
    if let Some(tab) = tab_in_indentation(text, at) {
        return (tab, "tab in indentation; use spaces".to_owned());
    }
    let message = if is_asterisk(text, at) {
        ASTERISK.to_owned()
    } else if line(text, at.line).is_some_and(|line| is_digest_key(line.trim_start())) {
        UNDER_INDENTED.to_owned()
    } else {
        format!("not valid YAML: {cause}; correct it here or in the lines before")
    };
    (at, message)
}

/// What to say of an unquoted `*`.
pub(crate) const ASTERISK: &str =
    "an unquoted `*` is a YAML alias, and aliases are not supported; quote the asterisk";

/// What to say of a digest that is not inside its `dmap`.
pub(crate) const UNDER_INDENTED: &str =
    "this digest is not inside a `dmap`; indent it below `dmap:`";

/// Whether a key, with or without quotes, begins as a digest does.
pub(crate) fn is_digest_key(key: &str) -> bool {
    let key = key.trim_start_matches(['"', '\'']);
    key.starts_with("sha256:") || key.starts_with("sha512:")
}

/// The first tab among the blanks that begin the line of the error or the one after it, where the parser may have
/// taken what comes for the rest of a value.
fn tab_in_indentation(text: &str, at: Position) -> Option<Position> {
    [at.line, at.line.saturating_add(1)].into_iter().find_map(|number| {
        let line = line(text, number)?;
        let blanks = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        let column = blanks.find('\t')? + 1;
        Some(Position { line: number, column: u32::try_from(column).unwrap_or(u32::MAX) })
    })
}

fn is_asterisk(text: &str, at: Position) -> bool {
    let column = at.column.saturating_sub(1) as usize;
    line(text, at.line)
        .is_some_and(|line| line.chars().skip(column).find(|c| *c != ' ') == Some('*'))
}

/// The line of that number, from 1.
fn line(text: &str, number: u32) -> Option<&str> {
    text.lines().nth((number as usize).checked_sub(1)?)
}
