//! Where problems go, and the messages for unknown keys.

use wording::quoted;

use crate::{Position, Span, YamlNode, syntax_error};

/// What is wrong with a YAML file of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlRule {
    /// A file over the size limit.
    FileTooLarge,
    /// Text that is not YAML, or nested too deeply.
    Syntax,
    /// A second YAML document.
    SecondDocument,
    /// A YAML tag.
    Tag,
    /// A YAML alias.
    Alias,
    /// A file with too many YAML values.
    TooManyValues,
    /// A key twice in one mapping.
    DuplicateKey,
    /// A key that does not exist.
    UnknownKey,
    /// A value of the wrong type.
    WrongType,
    /// A number or truth value in quotes.
    QuotedValue,
}

/// Collects the problems of one text.
pub trait YamlReport {
    /// Adds a problem.
    fn add(&mut self, rule: YamlRule, span: Span, message: String);

    /// Adds a syntax error of `text`. The parser stopped at `at`, for this `cause`.
    fn syntax(&mut self, text: &str, at: Position, cause: &str) {
        let (at, message) = syntax_error(text, at, cause);
        self.add(YamlRule::Syntax, at.into(), message);
    }

    /// Adds a key that is none of `names`.
    fn unknown_key(&mut self, key: &YamlNode<'_>, names: &[&str]) {
        self.add(YamlRule::UnknownKey, key.span(), unknown_key(key, names));
    }
}

/// The message for a key that is none of `names`.
#[must_use]
pub fn unknown_key(key: &YamlNode<'_>, names: &[&str]) -> String {
    let text = key.scalar().unwrap_or_default();
    if key.is_plain() && text == "<<" {
        "merge keys (`<<`) are not supported; write the fields here".to_owned()
    } else if let Some(name) = nearest(text, names) {
        format!("unknown key {}; did you mean `{name}`?", quoted(text))
    } else {
        format!("unknown key {}; use one of `{}`", quoted(text), names.join("`, `"))
    }
}

/// The name that was probably meant by a `text` that is none of `names`.
#[must_use]
pub fn nearest<'n>(text: &str, names: &[&'n str]) -> Option<&'n str> {
    /// No name of ours is longer. The distance takes time in the square of the length.
    const LONGEST: usize = 40;
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_ascii_lowercase();
    // One mistake, and one more for every four characters.
    let most = 1 + text.len() / 4;
    let distances = names.iter().map(|name| (distance(&text, &name.to_ascii_lowercase()), *name));
    distances.min_by_key(|(far, _)| *far).filter(|(far, _)| *far <= most).map(|(_, name)| name)
}

/// How many characters are added, removed or replaced between two texts: the Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let names = ["name", "url", "blob_prefix", "index", "serves"];
        for (text, meant) in [
            ("nmae", Some("name")),
            ("Name", Some("name")),
            ("uri", Some("url")),
            ("blobPrefix", Some("blob_prefix")),
            ("serve", Some("serves")),
            ("region", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(nearest(text, &names), meant, "{text}");
        }
        assert_eq!(nearest(&"serves".repeat(7), &names), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
