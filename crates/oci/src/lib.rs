//! The nouns of the OCI specifications: digests, tags, repositories, references, descriptors,
//! image manifests, image indexes, and the distribution API's error body.
//!
//! Pure: no I/O, no clock. Parsing is total (any bytes give a value or an error, never a panic) and
//! a parsed value cannot be invalid. Content is opaque: a digest is always computed over the bytes
//! as they came, never over JSON that was read and printed again.
//!
//! Sources: image-spec 1.1 (descriptor.md, manifest.md, image-index.md), distribution-spec 1.1.

mod descriptor;
mod digest;
mod digest_tag;
mod docker_hub;
mod error_body;
mod host;
mod manifest;
pub mod media_type;
mod reference;
mod registry_prefix;
mod repository;
mod serde_text;
mod shown;
mod tag;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, DigestError, Digester};
pub use digest_tag::is_digest_tag;
pub use docker_hub::canonical_host;
pub use error_body::{ErrorBody, ErrorCode, ErrorEntry};
pub use host::{Host, HostError};
pub use manifest::{ImageIndex, ImageManifest, Manifest, ManifestError};
pub use reference::{Reference, ReferenceError};
pub use registry_prefix::{RegistryPrefix, RegistryPrefixError};
pub use repository::{Repository, RepositoryError};
pub use tag::{Tag, TagError};
