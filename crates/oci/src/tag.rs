//! Tags: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
//!
//! Source: distribution-spec 1.1, "Pulling manifests".

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name for a manifest within its repository, which may in principle be moved to another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The longest tag that the specification allows, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Whether `text` is a tag, without making one.
    ///
    /// # Errors
    /// Says which rule of the grammar is broken.
    pub fn check(text: &str) -> Result<(), TagError> {
        let Some(&first) = text.as_bytes().first() else { return Err(TagError::Empty) };
        if text.len() > Self::MAX_LEN {
            return Err(TagError::TooLong(text.len()));
        }
        if matches!(first, b'.' | b'-') {
            return Err(TagError::BadStart(char::from(first)));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match text.chars().find(|c| !allowed(c)) {
            Some(bad) => Err(TagError::BadCharacter(bad)),
            None => Ok(()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that is known to follow the grammar.
    pub(crate) fn from_valid(text: String) -> Self {
        debug_assert!(Self::check(&text).is_ok(), "{text}");
        Self(text.into())
    }
}

/// Why a text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// Nothing there.
    #[error("a tag cannot be empty")]
    Empty,
    /// Longer than [`Tag::MAX_LEN`].
    #[error("a tag has at most {max} characters; this has {0}", max = Tag::MAX_LEN)]
    TooLong(usize),
    /// Begins with `.` or `-`.
    #[error("a tag begins with a letter, a digit or `_`, not with `{0}`")]
    BadStart(char),
    /// Some character is outside the grammar.
    #[error("a tag has only letters, digits, `_`, `.` and `-`; this has {0:?}")]
    BadCharacter(char),
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::deserialize_from_str(deserializer).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_the_specifications() {
        let longest = "a".repeat(128);
        for good in ["1", "latest", "v1.20", "_x", "A-b_c.d", "1.19.0-alpha.1", &longest] {
            assert_eq!(Tag::check(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", TagError::Empty),
            (".x", TagError::BadStart('.')),
            ("-x", TagError::BadStart('-')),
            ("a/b", TagError::BadCharacter('/')),
            ("a:b", TagError::BadCharacter(':')),
            ("a b", TagError::BadCharacter(' ')),
            ("é", TagError::BadCharacter('é')),
            ("a\r\n", TagError::BadCharacter('\r')),
        ] {
            assert_eq!(Tag::check(bad), Err(error), "{bad:?}");
        }
        assert_eq!(Tag::check(&"a".repeat(129)), Err(TagError::TooLong(129)));
    }
}
