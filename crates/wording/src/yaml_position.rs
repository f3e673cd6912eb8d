//! Places in YAML files.

/// A line and a column in characters, both from 1.
pub type YamlPosition = (usize, usize);
