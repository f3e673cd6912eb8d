//! YAML as a small tree whose nodes have positions, and typed access to them that reports every problem and goes on.
//!
//! Pure: no I/O. What keys and values mean, and what follows from a problem, is decided by the callers: promotion manifests
//! and the front's configuration.

mod fields;
mod node;
mod path;
mod position;
mod reader;
mod report;
mod written_span;

pub use node::{YamlNode, YamlValue};
pub use path::{InvalidYamlPath, PathStep, YamlPath};
pub use position::{Position, Span};
pub use reader::{Aliases, MAX_FILE_BYTES, read};
pub use report::{UNRESOLVED_ALIAS, YamlReport, YamlRule, nearest, syntax_error, unknown_key};
