//! Which registries have a digest, so that it can be copied from them.

use std::{collections::HashMap, sync::Arc};

use oci::Digest;
use promotion_manifest::{EdgeSet, Selection};

use crate::{
    PromotionSettings, edge_presence::EdgePresence, inventory::DestinationResult,
    planned::ImageOrigin, reason::Reason,
};

/// How many destinations are kept as origins of a digest, besides its sources.
const MAX_HOLDERS: usize = 3;

/// The registries that have a digest, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders {
    pub origins: Vec<ImageOrigin>,
    /// Why a registry that may have it could not be read: the first reason.
    pub unread: Option<Arc<Reason>>,
}

impl Holders {
    /// Adds a registry that has the digest, unless there are enough.
    pub(crate) fn add(&mut self, origin: ImageOrigin) {
        if self.origins.len() < MAX_HOLDERS && !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
    }

    /// Adds a registry that may have the digest and could not be read.
    pub(crate) fn add_unread(&mut self, reason: &Arc<Reason>) {
        self.unread.get_or_insert_with(|| Arc::clone(reason));
    }
}

/// The destinations that have each digest.
pub(crate) fn destination_holders(
    edges: &EdgeSet,
    selection: &Selection,
    settings: &PromotionSettings,
    destinations: &[DestinationResult],
) -> HashMap<Digest, Holders> {
    let mut holders: HashMap<Digest, Holders> = HashMap::new();
    // The canonical registry comes first, since it has all attachments.
    let mut order: Vec<_> = edges.destinations().iter().zip(destinations).enumerate().collect();
    order.sort_by_key(|(_, (repository, _))| !settings.is_canonical(repository));
    for (destination, (_, content)) in order {
        for (index, edge) in selection.edges_of(edges, destination).enumerate() {
            let holders = holders.entry(edge.digest()).or_default();
            match content.as_ref().map(|content| &content.edges[index]) {
                Ok(presence) if presence.has_digest() => {
                    holders.add(ImageOrigin::Destination(destination));
                }
                Err(reason) | Ok(EdgePresence::Unread(reason)) => holders.add_unread(reason),
                Ok(_) => {}
            }
        }
    }
    holders
}
