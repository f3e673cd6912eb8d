//! Choosing the edges to be looked at: those of some projects, or those that another set does not have.
//!
//! What is not chosen stays known: conflicts are with all edges, and content may come from wherever it is asked for.

use std::mem;

use crate::{DestinationRepository, Edge, EdgeSet, Wish};

impl EdgeSet {
    /// Of the edges that are chosen, leaves those that a project asks for whose name `is_chosen`.
    pub fn choose_projects(&mut self, is_chosen: impl Fn(&str) -> bool) {
        let chosen: Vec<bool> =
            self.manifests().iter().map(|manifest| is_chosen(&manifest.project)).collect();
        let is_chosen = |wish: Wish<'_>| chosen[self.manifest_of(wish.id)];
        let kept = self.keep(|_, place, edge| self.sources(edge, place).any(is_chosen));
        self.apply(kept);
    }

    /// Of the edges that are chosen, leaves those that `before` does not ask for: at the same host and
    /// repository, under the same tag or none, on the same digest, and from the same source repositories.
    pub fn choose_changed(&mut self, before: &Self) {
        let kept = {
            let mut old = before.destinations.iter().peekable();
            let mut matching: Vec<Option<&DestinationRepository>> = Vec::new();
            // Both are in the order of hosts and names.
            for place in &self.destinations {
                while old.next_if(|old| position(old) < position(place)).is_some() {}
                matching.push(old.next_if(|old| position(old) == position(place)));
            }
            self.keep(|index, place, edge| match matching[index] {
                None => true,
                Some(old) => !self.is_in(edge, place, before, old),
            })
        };
        self.apply(kept);
    }

    /// Whether `old`, of `before`, asks for what `edge` asks for.
    fn is_in(
        &self,
        edge: &Edge,
        place: &DestinationRepository,
        before: &Self,
        old: &DestinationRepository,
    ) -> bool {
        let key = self.key(edge);
        let found = [&old.edges, &old.others].into_iter().find_map(|edges| {
            let at = edges.binary_search_by(|other| before.key(other).cmp(&key)).ok()?;
            Some(&edges[at])
        });
        let Some(found) = found else { return false };
        let sources = |set: &Self, edge: &Edge, place: &DestinationRepository| {
            let of =
                |wish: Wish<'_>| (wish.source_prefix().host.clone(), wish.source_repository().ok());
            let mut sources: Vec<_> = set.sources(edge, place).map(of).collect();
            sources.sort_unstable();
            sources.dedup();
            sources
        };
        // Nearly always there is one source, and it is written alike.
        let (new_wish, old_wish) = (self.wish(edge), before.wish(found));
        let is_alone = !self.is_repeated(edge, place) && !before.is_repeated(found, old);
        if is_alone
            && new_wish.source_prefix() == old_wish.source_prefix()
            && new_wish.image.name == old_wish.image.name
        {
            return true;
        }
        sources(self, edge, place) == sources(before, found, old)
    }

    fn is_repeated(&self, edge: &Edge, place: &DestinationRepository) -> bool {
        self.sources(edge, place).nth(1).is_some()
    }

    /// Of each destination, which of its chosen edges stay so.
    fn keep(&self, stays: impl Fn(usize, &DestinationRepository, &Edge) -> bool) -> Vec<Vec<bool>> {
        let of = |(index, place): (usize, &DestinationRepository)| {
            place.edges.iter().map(|edge| stays(index, place, edge)).collect()
        };
        self.destinations.iter().enumerate().map(of).collect()
    }

    fn apply(&mut self, kept: Vec<Vec<bool>>) {
        let mut destinations = mem::take(&mut self.destinations);
        for (place, kept) in destinations.iter_mut().zip(kept) {
            if kept.iter().all(|kept| *kept) {
                continue;
            }
            let edges = mem::take(&mut place.edges);
            let (chosen, left): (Vec<_>, Vec<_>) =
                edges.into_iter().zip(kept).partition(|(_, kept)| *kept);
            place.edges = chosen.into_iter().map(|(edge, _)| edge).collect();
            place.others.extend(left.into_iter().map(|(edge, _)| edge));
            place.others.sort_by(|a, b| self.key(a).cmp(&self.key(b)));
        }
        self.destinations = destinations;
    }
}

/// What destinations are ordered by.
fn position(place: &DestinationRepository) -> impl Ord + '_ {
    (&place.prefix.host, &place.repository)
}
