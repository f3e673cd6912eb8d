//! The requests of the distribution API, blobs aside: registries and their repositories, manifests, tags, listings,
//! referrers; and what was learned about hosts that lack parts of it.

pub(crate) mod conditions;
pub(crate) mod existence;
pub(crate) mod head_memory;
pub(crate) mod link;
pub(crate) mod listing;
mod prefix;
pub(crate) mod presence;
pub(crate) mod referrer_index;
pub(crate) mod referrers;
pub(crate) mod referrers_memory;
pub(crate) mod registry;
pub(crate) mod repository;
pub(crate) mod tag_write;
