//! The sentences that several crates print alike: numbers with their nouns, and what is wrong with a YAML file.
//!
//! Pure: no I/O, and no types of any domain. What only one crate says is in that crate.

mod counted;
mod yaml;

pub use counted::{Counted, counted};
pub use yaml::{YamlPosition, yaml_fault, yaml_syntax};
