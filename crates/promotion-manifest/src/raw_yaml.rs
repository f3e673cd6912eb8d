//! YAML values kept as they are written, each with its position, for code that interprets them later.

use yaml::{Position, YamlNode, YamlValue};

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

impl RawYaml {
    /// A copy of a value as it is written.
    pub(crate) fn of(node: &YamlNode<'_>) -> Self {
        let value = match node.value() {
            // A refused alias was reported, and its project is left out.
            YamlValue::Null => RawYamlValue::Text(String::new()),
            YamlValue::Text(text) => RawYamlValue::Text(text.to_owned()),
            YamlValue::List(items) => RawYamlValue::List(items.iter().map(Self::of).collect()),
            YamlValue::Mapping(entries) => {
                let kept = entries
                    .iter()
                    .filter_map(|[key, value]| Some((key.scalar()?.to_owned(), Self::of(value))));
                RawYamlValue::Mapping(kept.collect())
            }
        };
        Self { position: node.position(), value }
    }
}
