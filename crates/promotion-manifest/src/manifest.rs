//! A promotion manifest as read: registries and images, each thing with its place in its file.
//!
//! Does not say where images go in the end: that is [`EdgeSet`](crate::EdgeSet)'s.

use std::sync::Arc;

use oci::{Digest, RegistryPrefix, Repository, Tag};

use crate::{Position, Provenance};

/// What one project requests, without what has problems: each of these is a [`Problem`](crate::Problem) instead.
#[derive(Clone, Debug)]
pub struct PromotionManifest {
    /// The project: the directory's name in a thin manifest directory, the file's for a plain one.
    pub project: String,
    /// The file that lists the registries, as the caller named it.
    pub registries_file: Arc<str>,
    /// The file that lists the images; a plain manifest's is the same one.
    pub images_file: Arc<str>,
    /// Where images come from.
    pub source: Registry,
    /// Where they go: at least one, in the order written, none twice, none the source.
    pub destinations: Vec<Registry>,
    /// What is promoted, in the order written; no name twice.
    pub images: Vec<Image>,
    /// What the images must prove of their making, if anything is written of it.
    pub provenance: Option<Provenance>,
}

/// An entry of `registries`.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Its `name`.
    pub prefix: RegistryPrefix,
    /// Its `service-account`: as whom it is spoken to.
    pub service_account: Option<String>,
    /// Where the entry begins.
    pub position: Position,
}

/// All entries of one `name` in `images`, merged.
#[derive(Clone, Debug)]
pub struct Image {
    /// The repository's name below every registry prefix, source and destinations alike.
    pub name: Repository,
    /// Where the name first stands.
    pub position: Position,
    /// Its digests, in the order written; none twice.
    pub digests: Vec<DigestEntry>,
}

/// A digest to promote, and the tags that it gets.
#[derive(Clone, Debug)]
pub struct DigestEntry {
    /// What is promoted.
    pub digest: Digest,
    /// Its tags with their places, in the order written; none twice. None at all: it is promoted
    /// without a tag.
    pub tags: Vec<(Tag, Position)>,
    /// Where the digest first stands.
    pub position: Position,
}
