//! The JSON Schema of the configuration file, derived from its typed fields.

use schemars::{Schema, generate::SchemaSettings};

use super::document::ConfigDocument;

/// The schema of a configuration file, in JSON Schema 2020-12. A file that the schema rejects is not a valid
/// configuration. A few rules about several values, such as unique store names, are not in it.
#[must_use]
pub fn config_schema() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ConfigDocument>()
}
