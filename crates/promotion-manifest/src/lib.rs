//! The promotion YAML: which images are promoted, from where to where. Texts become
//! [`PromotionManifest`]s and [`Problem`]s; manifests become an [`EdgeSet`].
//!
//! Pure: no I/O, no clock. The caller passes the texts and the file names. All problems are reported, each with its
//! position, and the problems of one project do not affect another. The rules are in `docs/reference/promotion-manifest.md`.

mod compare;
mod edges;
mod images;
mod layout;
mod line_break;
mod manifest;
mod parse;
mod problem;
mod provenance;
mod raw_yaml;
mod registries;
mod rule;
mod selection;
mod syntax;
mod text;
mod view;

pub use compare::{Changes, EdgeChange, compare};
pub use edges::{DestinationRepository, EdgeSet, SourceDigest, SourceDigestId};
pub use layout::{IMAGES_FILE, REGISTRIES_FILE, ThinProject, thin_files, thin_layout};
pub use manifest::{DigestEntry, ImageEntry, PromotionManifest, RegistryEntry};
pub use parse::{Parsed, parse_plain, parse_thin};
pub use problem::Problem;
pub use provenance::Provenance;
pub use raw_yaml::{RawYaml, RawYamlValue};
pub use rule::{Rule, Severity};
pub use selection::{Criteria, Selection, select};
pub use text::parse_tree;
pub use view::{EdgeId, EdgeView};
pub use yaml::{
    InvalidYamlPath, MAX_FILE_BYTES, PathStep, Position, Span, YamlNode, YamlPath, YamlValue,
};
