//! A parsed promotion manifest: registries and images, each with its position in its file. [`EdgeSet`](crate::EdgeSet)
//! computes the destinations of each image.

use std::sync::Arc;

use oci::{Digest, RegistryPrefix, Repository, Tag};

use crate::{Position, Provenance};

/// What one project requests. Entries with problems are left out, and reported as [`Problem`](crate::Problem)s.
#[derive(Clone, Debug)]
pub struct PromotionManifest {
    /// The project: the name of its directory in a thin manifest directory, or of the plain manifest.
    pub project: String,
    /// The file that lists the registries, as the caller named it.
    pub registries_file: Arc<str>,
    /// The file that lists the images: the same file in a plain manifest.
    pub images_file: Arc<str>,
    /// The source registry.
    pub source: RegistryEntry,
    /// The destination registries: at least one, in the order written, each once, without the source.
    pub destinations: Vec<RegistryEntry>,
    /// The images, in the order written, each name once.
    pub images: Vec<ImageEntry>,
    /// The provenance that the images must have, if the manifest states any.
    pub provenance: Option<Provenance>,
}

/// An entry of `registries`.
#[derive(Clone, Debug)]
pub struct RegistryEntry {
    /// Its `name`.
    pub prefix: RegistryPrefix,
    /// Its `service-account`, whose credentials are used for requests to it.
    pub service_account: Option<String>,
    /// The position of the entry.
    pub position: Position,
}

/// All entries of one `name` in `images`, merged.
#[derive(Clone, Debug)]
pub struct ImageEntry {
    /// The repository's name below every registry prefix, source and destinations alike.
    pub name: Repository,
    /// The position where the name occurs first.
    pub position: Position,
    /// Its digests, in the order written, each once.
    pub digests: Vec<DigestEntry>,
}

/// A digest to promote, and its tags.
#[derive(Clone, Debug)]
pub struct DigestEntry {
    /// The digest.
    pub digest: Digest,
    /// Its tags with their positions, in the order written, each once. A digest without tags is promoted without a tag.
    pub tags: Vec<(Tag, Position)>,
    /// The position where the digest occurs first.
    pub position: Position,
}
