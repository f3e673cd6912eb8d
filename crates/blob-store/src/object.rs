//! The arguments and results of the operations of every store.

use std::ops::Range;

use oci::Digest;

use crate::{Error, ErrorKind};

/// How many objects one page of a listing has at most: what S3 gives at a time.
pub const LIST_PAGE: usize = 1_000;

/// What a store says about an object without sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length in bytes.
    pub length: u64,
}

/// Which bytes of an object are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them; they are verified against the digest.
    Whole,
    /// Those of this range, as far as the object has them. They are not verified, since the digest is that of all bytes.
    Range(Range<u64>),
}

impl Part {
    /// The bytes to read of an object of this length, if they are at most `max`.
    pub(crate) fn of(&self, key: &str, length: u64, max: u64) -> Result<Range<u64>, Error> {
        let range = match self {
            Self::Whole => 0..length,
            Self::Range(range) => range.start..range.end.min(length),
        };
        if let Self::Range(requested) = self
            && range.is_empty()
        {
            let (start, end) = (requested.start, requested.end);
            let message = format!("`{key}` has {length} bytes, none of them in {start}..{end}");
            return Err(Error::new(ErrorKind::RangeNotSatisfiable, key, message));
        }
        let size = range.end - range.start;
        if size > max {
            let message =
                format!("`{key}` has {size} bytes, more than the {max} that were expected at most");
            return Err(Error::new(ErrorKind::TooLarge, key, message));
        }
        Ok(range)
    }
}

/// An object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedObject {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The content is in the store because of it.
    Written,
    /// The content was there already; another writer put it there meanwhile, for example.
    AlreadyThere,
    /// A damaged object had this digest, and was replaced.
    Repaired,
}

pub(crate) fn not_found(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, key, format!("`{key}` does not exist"))
}

pub(crate) fn corrupt(key: &str) -> Error {
    let message = format!(
        "`{key}` is damaged: its content does not match its digest; mirror again to repair it"
    );
    Error::new(ErrorKind::Corrupt, key, message)
}

/// Checks received content against its expected digest and length.
pub(crate) fn check_content(expected: (&Digest, u64), found: (&Digest, u64)) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let ((digest, length), (found, came)) = (expected, found);
    let message = match length == came {
        true => format!("the bytes that came for {digest} are {found}; nothing was kept of them"),
        false => {
            format!("{came} bytes came for {digest}, which has {length}; nothing was kept of them")
        }
    };
    Err(Error::new(ErrorKind::WrongContent, digest.to_string(), message))
}
