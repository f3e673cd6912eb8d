//! An image at its source: every manifest that its root reaches, read once and verified.
//!
//! It is read by `load`. What is followed, and what is refused, are the rows of `docs/internals/transfer.md`, "Reading an image".

use std::collections::HashSet;

use oci::{Descriptor, Digest, Manifest, ManifestError, Reference, media_type};
use registry_client::{FetchedManifest, RepositoryClient};

use crate::{Content, Error, SourceError};

/// A manifest and what it lists, each once; what it lists with several sizes, once with each.
#[derive(Clone, Debug)]
pub struct ImageNode {
    /// The manifest as it came. Its media type is one under which it can be put, even where it was
    /// served under none.
    pub manifest: FetchedManifest,
    /// The manifests that it lists.
    pub children: Vec<Descriptor>,
    /// The blobs that it lists: config and layers, and what an index lists that is no manifest.
    pub blobs: Vec<Descriptor>,
    /// The layers that it lists and that are left alone, since they are not distributable.
    pub not_distributable: Vec<Descriptor>,
}

impl ImageNode {
    /// Reads the bytes of a manifest of `source`, verified against its digest. `parent` lists it, if it is not the root.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub(crate) async fn fetch(
        source: &RepositoryClient,
        digest: &Digest,
        parent: Option<&Digest>,
    ) -> Result<FetchedManifest, Error> {
        let fetched = source.manifest(&Reference::Digest(*digest)).await;
        let unread = |error| SourceError::read(source, Content::Manifest(*digest), parent, error);
        Ok(fetched.map_err(unread)?)
    }

    /// Reads what `manifest` lists.
    ///
    /// # Errors
    /// When it is not a manifest of a kind that can be copied, such as Docker schema 1.
    pub fn parse(mut manifest: FetchedManifest) -> Result<Self, ManifestError> {
        let parsed = Manifest::parse(&manifest.media_type, &manifest.bytes)?;
        if !media_type::is_manifest(media_type::essence(&manifest.media_type)) {
            manifest.media_type = own_media_type(&parsed).to_owned();
        }
        let mut seen = HashSet::new();
        let listed = parsed.children().iter().chain(parsed.blobs());
        let once = listed.filter(|listed| seen.insert((listed.digest, listed.size)));
        let once: Vec<_> = once.cloned().collect();
        let is_manifest = |listed: &Descriptor| media_type::is_manifest(&listed.media_type);
        let lists_manifests = matches!(parsed, Manifest::Index(_));
        let (children, blobs) =
            once.into_iter().partition(|listed| lists_manifests && is_manifest(listed));
        let not_distributable = parsed.not_distributable().cloned().collect();
        Ok(Self { manifest, children, blobs, not_distributable })
    }
}

/// Checks the length of a manifest against the `size` with which `parent` lists it: clients that read it through that
/// one refuse another length, as they do of a blob.
///
/// # Errors
/// When they differ.
pub fn check_size(
    source: &RepositoryClient,
    parent: &Digest,
    listed: &Descriptor,
    found: u64,
) -> Result<(), Error> {
    if listed.size == found {
        return Ok(());
    }
    let (repository, content) = (source.to_string(), Content::Manifest(listed.digest));
    let (parent, described) = (*parent, listed.size);
    Err(SourceError::Size { repository, content, parent, described, found }.into())
}

/// The media type of a manifest that was served under a generic one.
fn own_media_type(manifest: &Manifest) -> &str {
    let (own, otherwise) = match manifest {
        Manifest::Image(image) => (&image.media_type, media_type::OCI_MANIFEST),
        Manifest::Index(index) => (&index.media_type, media_type::OCI_INDEX),
    };
    own.as_deref().filter(|own| !own.is_empty()).unwrap_or(otherwise)
}

/// An image that was read from its source, and can be copied.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) source: RepositoryClient,
    /// Children before those that list them; the root is not among them.
    pub(crate) below: Vec<ImageNode>,
    pub(crate) root: ImageNode,
}

impl Image {
    /// Where it was read.
    #[must_use]
    pub fn source(&self) -> &RepositoryClient {
        &self.source
    }

    /// The same image as `repository` has it: its blobs are read there, no manifest is read again.
    #[must_use]
    pub fn at(&self, repository: RepositoryClient) -> Self {
        Self { source: repository, ..self.clone() }
    }

    /// The root manifest.
    #[must_use]
    pub fn root(&self) -> &FetchedManifest {
        &self.root.manifest
    }

    /// All its blobs, each once.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let mut seen = HashSet::new();
        let all = self.nodes().flat_map(|node| &node.blobs);
        all.filter(move |blob| seen.insert(blob.digest))
    }

    /// The layers that are not copied, since they are not distributable.
    pub fn not_distributable(&self) -> impl Iterator<Item = &Descriptor> {
        self.nodes().flat_map(|node| &node.not_distributable)
    }

    /// All its manifests, each once, children before those that list them, the root last.
    pub fn nodes(&self) -> impl Iterator<Item = &ImageNode> {
        self.below.iter().chain(std::iter::once(&self.root))
    }
}
