//! Which edges a command works on: all, those of some projects, or those that changed since another set. A selection does
//! not change the edges: conflicts and sources are still those of all edges.

use crate::{EdgeId, EdgeSet, EdgeView, compare};

/// The criteria of a selection. By default all edges are selected.
#[derive(Clone, Copy, Default)]
pub struct Criteria<'a> {
    /// Whether the edges of a project with this name are selected.
    pub project: Option<&'a dyn Fn(&str) -> bool>,
    /// Selects only edges that were added or changed since this set.
    pub changed_since: Option<&'a EdgeSet>,
}

/// The edges of a set that are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The selected edges of each destination, in the order of the set.
    destinations: Vec<Selected>,
}

/// Which edges of a destination are selected.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Selected {
    /// All, and their number.
    All(u32),
    /// These, in their order.
    Only(Vec<EdgeId>),
}

impl Selected {
    const fn len(&self) -> usize {
        match self {
            Self::All(number) => *number as usize,
            Self::Only(edges) => edges.len(),
        }
    }
}

/// The edges of `set` that meet all `criteria`.
#[must_use]
pub fn select(set: &EdgeSet, criteria: &Criteria<'_>) -> Selection {
    let mut selection = match criteria.changed_since {
        Some(before) => Selection::changed(set, before),
        None => Selection::all(set),
    };
    if let Some(is_selected) = criteria.project {
        let projects: Vec<bool> =
            set.manifests().iter().map(|manifest| is_selected(&manifest.project)).collect();
        let is_requested =
            |edge: EdgeView<'_>| edge.sources().any(|source| projects[set.manifest_of(source.id)]);
        selection.retain(set, is_requested);
    }
    selection
}

impl Selection {
    /// All edges of `set`.
    #[must_use]
    pub fn all(set: &EdgeSet) -> Self {
        let destinations = set.destinations().iter();
        let number = |edges: &[_]| u32::try_from(edges.len()).unwrap_or(u32::MAX);
        Self { destinations: destinations.map(|it| Selected::All(number(&it.edges))).collect() }
    }

    fn changed(set: &EdgeSet, before: &EdgeSet) -> Self {
        let changes = compare(before, set);
        let mut destinations = vec![Vec::new(); set.destinations().len()];
        let changed = changes.changed.iter().map(|change| change.after);
        for edge in changes.added.iter().copied().chain(changed) {
            destinations[edge.id().destination()].push(edge.id());
        }
        destinations.iter_mut().for_each(|edges| edges.sort_unstable());
        Self { destinations: destinations.into_iter().map(Selected::Only).collect() }
    }

    fn retain(&mut self, set: &EdgeSet, is_selected: impl Fn(EdgeView<'_>) -> bool) {
        for at in 0..self.destinations.len() {
            let edges = self.edges_of(set, at).filter(|edge| is_selected(*edge));
            let edges: Vec<EdgeId> = edges.map(EdgeView::id).collect();
            if edges.len() < self.destinations[at].len() {
                self.destinations[at] = Selected::Only(edges);
            }
        }
    }

    /// The number of edges that are selected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.destinations.iter().map(Selected::len).sum()
    }

    /// Whether none is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of selected edges of a destination repository, given as its index.
    #[must_use]
    pub fn len_of(&self, destination: usize) -> usize {
        self.destinations[destination].len()
    }

    /// The selected edges of a destination repository, given as its index, in the order of `set`. This must be a selection
    /// of `set`.
    pub fn edges_of<'s>(
        &'s self,
        set: &'s EdgeSet,
        destination: usize,
    ) -> impl Iterator<Item = EdgeView<'s>> {
        let (all, only): (_, &[EdgeId]) = match &self.destinations[destination] {
            Selected::All(_) => (Some(set.edges_of(destination)), &[]),
            Selected::Only(edges) => (None, edges),
        };
        all.into_iter().flatten().chain(only.iter().map(|id| set.edge(*id)))
    }

    /// All selected edges of `set`.
    pub fn edges<'s>(&'s self, set: &'s EdgeSet) -> impl Iterator<Item = EdgeView<'s>> {
        (0..self.destinations.len()).flat_map(|destination| self.edges_of(set, destination))
    }
}
