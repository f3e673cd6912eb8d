//! Media types that name manifests, and those of the artifacts that we make ourselves.
//!
//! Source: image-spec 1.1, media-types.md; Docker image manifest v2 schema 1 and 2.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A Docker schema 2 image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker schema 2 manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A Docker schema 1 manifest: recognised, so that it can be named in an error; never copied.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// A signed Docker schema 1 manifest.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The empty JSON object `{}`, where an artifact has no configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Every manifest media type that we can read, in the order of an `Accept` header.
pub const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The media type without parameters such as `; charset=utf-8`, and without white space around it.
#[must_use]
pub fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Whether a descriptor of this media type points to a manifest (and not to a blob).
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type) || is_schema1(media_type)
}

/// Whether it is Docker schema 1, signed or not.
#[must_use]
pub fn is_schema1(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED)
}

/// Whether layers of this media type are, by the license of their content, fetched from the URLs
/// in their descriptors instead of being pushed to registries (image-spec 1.1, layer.md,
/// "Non-Distributable Layers"; Docker's foreign layers).
#[must_use]
pub fn is_non_distributable(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}
