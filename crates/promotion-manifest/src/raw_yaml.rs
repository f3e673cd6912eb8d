//! YAML values kept as they are written, each with its position, for code that interprets them later.

use crate::Position;

/// A value and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawYaml {
    /// The position of its first character.
    pub position: Position,
    /// The value.
    pub value: RawYamlValue,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawYamlValue {
    /// A scalar, as it is written; an empty text for null.
    Text(String),
    /// A list.
    List(Vec<RawYaml>),
    /// A mapping, in the order written.
    Mapping(Vec<(String, RawYaml)>),
}
