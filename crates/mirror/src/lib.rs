//! Mirroring: everything that the tags below a registry prefix reach, put into a blob store, each
//! digest once.
//!
//! It writes blobs and manifests under their digests, and no tags: what a tag means is not for a store
//! to say. It removes nothing. The rules are the tables of `docs/mirror.md`.

mod list;
mod progress;
mod run;

pub use progress::{Event, Failure, Totals};
pub use run::{
    BLOBS_IN_MOTION, LISTED_AT_ONCE, MirrorOptions, Mode, REPOSITORIES_AT_ONCE, TAGS_AT_ONCE,
    mirror,
};
