//! Repository names: path components of lower-case letters and digits joined by `.`, `_`, `__` or
//! dashes, and the components joined by `/`.
//!
//! Source: distribution-spec 1.1, "Pulling manifests":
//! `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::shown::shown;

/// The name of a repository within its registry, such as `kubernetes/pause`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(Box<str>);

impl Repository {
    /// The longest name accepted, in bytes. The specification notes that many clients allow 255
    /// for host, `/` and name together; no name longer than that can be pulled by them.
    pub const MAX_LEN: usize = 255;

    /// Whether `text` is a repository name, without making one.
    ///
    /// # Errors
    /// Says which rule of the grammar is broken.
    pub fn check(text: &str) -> Result<(), RepositoryError> {
        if text.is_empty() {
            return Err(RepositoryError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(RepositoryError::TooLong(text.len()));
        }
        if is_within_grammar(text.as_bytes()) {
            return Ok(());
        }
        check_slashes(text)?;
        text.split('/').try_for_each(check_component)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name with `name` below it.
    ///
    /// # Errors
    /// When the two together are too long.
    pub fn join(&self, name: &Self) -> Result<Self, RepositoryError> {
        format!("{self}/{name}").parse()
    }
}

/// Whether [`check_component`] accepts every component, in one pass: this runs on every request.
fn is_within_grammar(text: &[u8]) -> bool {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let (mut before, mut last) = (b'/', b'/');
    for &byte in text {
        let fits = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => is_letter(last) || last == b'-',
            b'_' => is_letter(last) || (last == b'_' && is_letter(before)),
            b'.' | b'/' => is_letter(last),
            _ => false,
        };
        if !fits {
            return false;
        }
        (before, last) = (last, byte);
    }
    is_letter(last)
}

/// Whether there is no slash at either end, and no double one: what a name copied from a URL may have.
fn check_slashes(text: &str) -> Result<(), RepositoryError> {
    if text.ends_with('/') {
        return Err(RepositoryError::ExtraSlash("at the end"));
    }
    if text.starts_with('/') {
        return Err(RepositoryError::ExtraSlash("at the beginning"));
    }
    if text.contains("//") { Err(RepositoryError::ExtraSlash("after another")) } else { Ok(()) }
}

fn check_component(component: &str) -> Result<(), RepositoryError> {
    let bytes = component.as_bytes();
    let is_letter = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    if let Some(bad) =
        component.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
    {
        return Err(RepositoryError::BadCharacter(bad));
    }
    if !bytes.first().is_some_and(is_letter) || !bytes.last().is_some_and(is_letter) {
        return Err(RepositoryError::BadComponent(shown(component)));
    }
    let separators = bytes.split(is_letter).filter(|run| !run.is_empty());
    for run in separators {
        let dashes = run.iter().all(|byte| *byte == b'-');
        if !dashes && !matches!(run, b"." | b"_" | b"__") {
            return Err(RepositoryError::BadComponent(shown(component)));
        }
    }
    Ok(())
}

/// Why a text is not a repository name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Nothing there.
    #[error("a repository name cannot be empty")]
    Empty,
    /// Longer than [`Repository::MAX_LEN`].
    #[error("a repository name has at most {max} characters; this has {0}", max = Repository::MAX_LEN)]
    TooLong(usize),
    /// Some character is outside the grammar.
    #[error(
        "a repository name has only lower-case letters, digits, `.`, `_`, `-` and `/`; this has {0:?}"
    )]
    BadCharacter(char),
    /// It begins or ends with a slash, or has two in a row.
    #[error("leave out the slash {0}")]
    ExtraSlash(&'static str),
    /// A path component has separators where they may not be.
    #[error(
        "the component `{0}` of a repository name must begin and end with a letter or digit, \
         joined by single `.`, `_`, `__` or dashes"
    )]
    BadComponent(String),
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Repository {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::deserialize_from_str(deserializer).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_the_specifications() {
        for good in
            ["pause", "a", "0", "a/b/c", "kube-cross", "a--b", "a__b", "a_b.c-d", "charts/kro"]
        {
            assert_eq!(Repository::check(good), Ok(()), "{good}");
        }
        let component = |text: &str| RepositoryError::BadComponent(text.into());
        for (bad, error) in [
            ("", RepositoryError::Empty),
            ("/a", RepositoryError::ExtraSlash("at the beginning")),
            ("a/", RepositoryError::ExtraSlash("at the end")),
            ("/a/", RepositoryError::ExtraSlash("at the end")),
            ("/", RepositoryError::ExtraSlash("at the end")),
            ("a//b", RepositoryError::ExtraSlash("after another")),
            ("a/../b", component("..")),
            ("..", component("..")),
            ("a/./b", component(".")),
            ("-a", component("-a")),
            ("a-", component("a-")),
            ("a..b", component("a..b")),
            ("a___b", component("a___b")),
            ("a._b", component("a._b")),
            ("Pause", RepositoryError::BadCharacter('P')),
            ("a%2e", RepositoryError::BadCharacter('%')),
            ("a\r\nb", RepositoryError::BadCharacter('\r')),
            ("a:b", RepositoryError::BadCharacter(':')),
        ] {
            assert_eq!(Repository::check(bad), Err(error), "{bad:?}");
        }
        assert_eq!(Repository::check(&"a".repeat(256)), Err(RepositoryError::TooLong(256)));
    }
    #[test]
    fn one_pass_accepts_what_the_components_do() {
        // Every text of up to six characters, a letter standing for all letters.
        let mut texts = vec![String::new()];
        for _ in 1..=6 {
            texts = texts
                .iter()
                .flat_map(|text| ["a", "-", "_", ".", "/", "A"].map(|more| format!("{text}{more}")))
                .collect();
            for text in &texts {
                let components = text.split('/').try_for_each(check_component);
                assert_eq!(is_within_grammar(text.as_bytes()), components.is_ok(), "{text}");
            }
        }
    }
}
