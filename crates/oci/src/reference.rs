//! A reference: the tag or the digest by which a manifest is requested.
//!
//! Source: distribution-spec 1.1, "Pulling manifests".

use std::{fmt, str::FromStr};

use crate::{Digest, DigestError, Tag, TagError};

/// How a manifest is named within its repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By a name that may in principle move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest. What has a colon is taken for a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, and is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has no colon, and is not a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_a_digest() {
        let digest = Digest::sha256(b"x");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)));
        assert_eq!("v1".parse(), Ok(Reference::Tag("v1".parse().expect("a tag"))));
        assert!(matches!("sha256:12".parse::<Reference>(), Err(ReferenceError::Digest(_))));
        assert!(matches!("a b".parse::<Reference>(), Err(ReferenceError::Tag(_))));
    }
}
