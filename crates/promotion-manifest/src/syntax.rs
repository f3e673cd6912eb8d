//! What to do about a text that is not YAML, as far as only promotion manifests know it; else `wording` says it.

use crate::Position;

/// Where the problem is, and what to say of it. The parser refused `text` at `at` for this `cause`.
pub(crate) fn problem(text: &str, at: Position, cause: &str) -> (Position, String) {
    let line = text.lines().nth((at.line as usize).saturating_sub(1));
    if line.is_some_and(|line| is_digest_key(line.trim_start_matches(' '))) {
        return (at, UNDER_INDENTED.to_owned());
    }
    let place = (at.line as usize, at.column as usize);
    let ((line, column), message) = wording::yaml_syntax(text, place, cause);
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (Position { line: number(line), column: number(column) }, message)
}

/// What to say of an alias.
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
