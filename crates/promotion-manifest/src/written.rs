//! Values as they are written, for whoever judges by them.

use crate::Position;

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub value: WrittenValue,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenValue {
    /// A text, a number or a truth value, as it is written; nothing is an empty text.
    Text(String),
    /// A list.
    List(Vec<Written>),
    /// A mapping, in the order written.
    Mapping(Vec<(String, Written)>),
}
