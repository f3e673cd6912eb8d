//! One edge with everything that it means, borrowed from its set.

use std::fmt;

use oci::{Digest, Tag};

use crate::{
    DestinationRepository, EdgeSet, Position, SourceDigest,
    edges::{Edge, index},
};

/// Which edge of an [`EdgeSet`]. Ordered as the set: by destination repository, by tag, by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId {
    destination: u32,
    edge: u32,
}

impl EdgeId {
    /// The index of the destination repository in [`EdgeSet::destinations`].
    #[must_use]
    pub const fn destination(self) -> usize {
        self.destination as usize
    }
}

/// An edge: this digest, under this tag or none, in this destination repository.
#[derive(Clone, Copy)]
pub struct EdgeView<'a> {
    set: &'a EdgeSet,
    id: EdgeId,
}

impl<'a> EdgeView<'a> {
    /// Its id in the set.
    #[must_use]
    pub const fn id(self) -> EdgeId {
        self.id
    }

    /// The destination repository.
    #[must_use]
    pub fn destination(self) -> &'a DestinationRepository {
        &self.set.destinations()[self.id.destination()]
    }

    /// The digest of an image, as the first project that requests the edge writes it.
    #[must_use]
    pub fn source_digest(self) -> SourceDigest<'a> {
        self.set.source_digest(self.edge().source_digest())
    }

    /// Every source of the edge, in the order written, which is the order in which they are tried.
    pub fn sources(self) -> impl Iterator<Item = SourceDigest<'a>> {
        self.set.sources(self.edge(), self.destination())
    }

    /// The digest.
    #[must_use]
    pub fn digest(self) -> Digest {
        self.source_digest().entry.digest
    }

    /// The tag, unless the digest alone is requested.
    #[must_use]
    pub fn tag(self) -> Option<&'a Tag> {
        self.set.tag_at(self.edge()).map(|(tag, _)| tag)
    }

    /// The first project that requests it.
    #[must_use]
    pub fn project(self) -> &'a str {
        &self.source_digest().manifest.project
    }

    /// The file that requests it.
    #[must_use]
    pub fn file(self) -> &'a str {
        self.source_digest().file()
    }

    /// The position of the tag in that file, or of the digest if the edge has no tag.
    #[must_use]
    pub fn position(self) -> Position {
        let tag = self.set.tag_at(self.edge());
        tag.map_or_else(|| self.source_digest().position(), |(_, position)| *position)
    }

    /// Whether the same tag is requested on another digest too.
    #[must_use]
    pub fn is_conflict(self) -> bool {
        self.edge().is_conflict()
    }

    /// The first edge that requests the same tag on another digest.
    #[must_use]
    pub fn conflict(self) -> Option<Self> {
        if !self.is_conflict() {
            return None;
        }
        let edges = &self.destination().edges;
        let (tag, digest) = self.key();
        let start = edges.partition_point(|other| self.set.key(other).0 < tag);
        let mut same = (start..edges.len()).take_while(|at| self.set.key(&edges[*at]).0 == tag);
        let other = same.find(|at| self.set.key(&edges[*at]).1 != digest)?;
        Some(Self { id: EdgeId { edge: index(other), ..self.id }, ..self })
    }

    /// What the edges of one repository are sorted by.
    pub(crate) fn key(self) -> (Option<&'a Tag>, &'a Digest) {
        self.set.key(self.edge())
    }

    fn edge(self) -> &'a Edge {
        &self.destination().edges[self.id.edge as usize]
    }
}

impl fmt::Debug for EdgeView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = self.destination();
        write!(f, "{}/{}", destination.prefix.host, destination.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        write!(f, "@{}", self.digest())
    }
}

impl EdgeSet {
    /// The edge with this `id`, which must come from this set.
    #[must_use]
    pub const fn edge(&self, id: EdgeId) -> EdgeView<'_> {
        EdgeView { set: self, id }
    }

    /// The edges of a destination repository, given as its index: by tag, those without a tag first, then by digest; no
    /// (tag, digest) twice.
    pub fn edges_of(&self, destination: usize) -> impl ExactSizeIterator<Item = EdgeView<'_>> {
        let of = index(destination);
        let edges = 0..index(self.destinations()[destination].edges.len());
        edges.map(move |edge| self.edge(EdgeId { destination: of, edge }))
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = EdgeView<'_>> {
        (0..self.destinations().len()).flat_map(|destination| self.edges_of(destination))
    }
}
