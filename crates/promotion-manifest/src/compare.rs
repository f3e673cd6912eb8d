//! Two sets of edges compared: what a change of promotion manifests adds, removes and changes.
//!
//! Edges are compared, not files: the order of entries, quotes, comments and the names of projects make no difference.

use std::ops::Range;

use oci::{Host, Repository, Tag};

use crate::{EdgeSet, EdgeView, SourceDigest};

/// The differences between two sets of edges, by destination repository and tag.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// The edges that only the later set has.
    pub added: Vec<EdgeView<'a>>,
    /// The edges that only the earlier set has.
    pub removed: Vec<EdgeView<'a>>,
    /// The edges whose digest or sources differ.
    pub changed: Vec<EdgeChange<'a>>,
}

/// An edge that changed: its tag is requested on another digest, or its digest comes from other sources.
#[derive(Clone, Copy, Debug)]
pub struct EdgeChange<'a> {
    /// The edge in the earlier set.
    pub before: EdgeView<'a>,
    /// The edge in the later set.
    pub after: EdgeView<'a>,
}

impl EdgeChange<'_> {
    /// Whether the tag is requested on another digest. Otherwise the source repositories changed.
    #[must_use]
    pub fn is_tag_move(&self) -> bool {
        self.before.digest() != self.after.digest()
    }
}

impl Changes<'_> {
    /// Whether both sets request the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// The differences between two sets. Time and memory are linear in the number of edges.
///
/// Two edges are the same if host, repository, tag (or none), digest and the set of source repositories are. Where one
/// tag loses some digests and gets others, the first lost one and the first new one are one change, and so on.
#[must_use]
pub fn compare<'a>(before: &'a EdgeSet, after: &'a EdgeSet) -> Changes<'a> {
    let mut changes = Changes::default();
    let mut old = (0..before.destinations().len()).peekable();
    for new in 0..after.destinations().len() {
        let name = name(after, new);
        // Both are in the order of hosts and names.
        while let Some(gone) = old.next_if(|old| self::name(before, *old) < name) {
            changes.removed.extend(before.edges_of(gone));
        }
        match old.next_if(|old| self::name(before, *old) == name) {
            Some(old) => changes.repository((before, old), (after, new)),
            None => changes.added.extend(after.edges_of(new)),
        }
    }
    changes.removed.extend(old.flat_map(|gone| before.edges_of(gone)));
    changes
}

/// What destination repositories are sorted by.
fn name(set: &EdgeSet, destination: usize) -> (&Host, &Repository) {
    let destination = &set.destinations()[destination];
    (&destination.prefix.host, &destination.repository)
}

impl<'a> Changes<'a> {
    /// Compares the edges of one repository, each given as its set and its index there.
    fn repository(&mut self, old: (&'a EdgeSet, usize), new: (&'a EdgeSet, usize)) {
        let old: Vec<EdgeView<'a>> = old.0.edges_of(old.1).collect();
        let new: Vec<EdgeView<'a>> = new.0.edges_of(new.1).collect();
        let (mut in_old, mut in_new) = (0, 0);
        loop {
            let tag = match (old.get(in_old), new.get(in_new)) {
                (Some(old), Some(new)) => old.tag().min(new.tag()),
                (Some(only), None) | (None, Some(only)) => only.tag(),
                (None, None) => return,
            };
            let (olds, news) = (with_tag(&old, in_old, tag), with_tag(&new, in_new, tag));
            (in_old, in_new) = (olds.end, news.end);
            self.tag(tag, &old[olds], &new[news]);
        }
    }

    /// Compares the edges of one tag, in the order of their digests.
    fn tag(&mut self, tag: Option<&Tag>, old: &[EdgeView<'a>], new: &[EdgeView<'a>]) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let mut new = new.iter().copied().peekable();
        for &old in old {
            come.extend(std::iter::from_fn(|| new.next_if(|new| new.key() < old.key())));
            match new.next_if(|new| new.key() == old.key()) {
                Some(new) if has_same_sources(old, new) => {}
                Some(new) => self.changed.push(EdgeChange { before: old, after: new }),
                None => gone.push(old),
            }
        }
        come.extend(new);
        let pairs = if tag.is_some() { gone.len().min(come.len()) } else { 0 };
        let (lost, removed) = gone.split_at(pairs);
        let (got, added) = come.split_at(pairs);
        let pair = |(&before, &after)| EdgeChange { before, after };
        self.changed.extend(lost.iter().zip(got).map(pair));
        self.removed.extend(removed);
        self.added.extend(added);
    }
}

/// The range of the edges from `start` on that have this tag. They are adjacent.
fn with_tag(edges: &[EdgeView<'_>], start: usize, tag: Option<&Tag>) -> Range<usize> {
    let more = edges[start..].iter().take_while(|edge| edge.tag() == tag).count();
    start..start + more
}

fn has_same_sources(old: EdgeView<'_>, new: EdgeView<'_>) -> bool {
    // Nearly always there is one source, written in the same way.
    let (old_first, new_first) = (old.source_digest(), new.source_digest());
    let is_alone = |edge: EdgeView<'_>| edge.sources().nth(1).is_none();
    if old_first.source_prefix() == new_first.source_prefix()
        && old_first.image.name == new_first.image.name
        && is_alone(old)
        && is_alone(new)
    {
        return true;
    }
    let sources = |edge: EdgeView<'_>| {
        let of =
            |it: SourceDigest<'_>| (it.source_prefix().host.clone(), it.source_repository().ok());
        let mut sources: Vec<_> = edge.sources().map(of).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    };
    sources(old) == sources(new)
}
