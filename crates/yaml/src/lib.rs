//! YAML as a small tree whose nodes have positions, and typed access to them that reports every problem and goes on.
//!
//! Pure: no I/O. What keys and values mean, and what follows from a problem, is decided by the callers: promotion manifests,
//! the front's configuration and the registry's file of rights.

mod fields;
mod mistake;
mod node;
mod path;
mod position;
mod reader;
mod report;
mod syntax;
mod written_span;

pub use node::{YamlNode, YamlValue};
pub use path::{InvalidYamlPath, PathStep, YamlPath};
pub use position::{Position, Span};
pub use reader::{Aliases, MAX_FILE_BYTES, read};
pub use report::{YamlReport, YamlRule, nearest, unknown_key};
pub use syntax::{is_known_mistake, syntax_error};
