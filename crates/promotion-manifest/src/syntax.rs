//! Messages for YAML mistakes that only promotion manifests have. The others are in `yaml`.

use yaml::Position;

/// The position and the message of a syntax error. The parser stopped at `at`, for this `cause`.
pub(crate) fn problem(text: &str, at: Position, cause: &str) -> (Position, String) {
    let is_outside = is_digest_outside_dmap(text, at.line as usize);
    if is_outside && !yaml::is_known_mistake(text, at) {
        return (at, UNDER_INDENTED.to_owned());
    }
    yaml::syntax_error(text, at, cause)
}

/// The message for a digest that is not inside its `dmap`.
pub(crate) const UNDER_INDENTED: &str =
    "this digest is not inside a `dmap`; indent it below `dmap:`";

/// Whether a key, with or without quotes, begins like a digest.
pub(crate) fn is_digest_key(key: &str) -> bool {
    let key = key.trim_start_matches(['"', '\'']);
    key.starts_with("sha256:") || key.starts_with("sha512:")
}

/// Whether the line with this number begins with a digest that is not inside a `dmap`: the nearest key above it with less
/// indentation is not `dmap`.
fn is_digest_outside_dmap(text: &str, number: usize) -> bool {
    let lines: Vec<&str> = text.lines().take(number).collect();
    let Some((line, above)) = lines.split_last().filter(|(line, _)| is_digest_key(key(line).1))
    else {
        return false;
    };
    let indent = key(line).0;
    let mut above = above.iter().rev().map(|line| key(line));
    let parent = above.find(|(at, key)| *at < indent && !key.is_empty() && !key.starts_with('#'));
    parent.is_none_or(|(_, key)| !key.starts_with("dmap:"))
}

/// The column of the key that begins a line, from 0, after the `-` of lists; and the line from there on.
fn key(line: &str) -> (usize, &str) {
    let key = line.trim_start_matches(['-', ' ']);
    (line.len() - key.len(), key)
}
