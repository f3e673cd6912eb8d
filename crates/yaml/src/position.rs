//! Places in a text.

use std::fmt;

/// A position in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first character.
    pub start: Position,
    /// The character after its last; `start` if only a position is known.
    pub end: Position,
    /// The offsets of its first byte and of the byte after its last, if they are known.
    pub bytes: Option<[u32; 2]>,
}

impl Span {
    /// From the beginning of this to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        let bytes = self.bytes.zip(last.bytes).map(|(first, last)| [first[0], last[1]]);
        Self { start: self.start, end: last.end, bytes }
    }

    /// Whether it certainly has no characters.
    pub(crate) fn is_empty(self) -> bool {
        self.bytes.is_some_and(|[start, end]| start == end)
    }
}

impl From<Position> for Span {
    fn from(position: Position) -> Self {
        Self { start: position, end: position, bytes: None }
    }
}
