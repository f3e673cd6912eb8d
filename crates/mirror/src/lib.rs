//! Mirroring: everything that the tags below a registry prefix reach, written to blob stores, each digest once: what
//! is wanted (`wanted`), less what a store has (`stored`, `plan`), is written (`execute`). The registry is read once
//! for all stores.
//!
//! It writes blobs and manifests under their digests, and no tags: what a tag means is not for a store
//! to say. It removes nothing. The rules are the tables of `docs/reference/mirror.md`.

mod execute;
mod failure_cause;
mod failure_code;
mod list;
mod mirror;
mod once;
mod plan;
mod reason;
mod report;
mod run;
mod state;
mod stored;
mod stores;
mod tag_walk;
mod totals;
mod wanted;

pub use failure_cause::{FailedContent, FailureCause, FailureKind};
pub use failure_code::FailureCode;
pub use list::LISTINGS_AT_ONCE;
pub use mirror::{TAGS_AT_ONCE, mirror};
pub use plan::{MirrorPlan, PlannedWrite, WriteAction};
pub use report::{MirrorReport, mirror_report_schema};
pub use run::{BLOBS_IN_MOTION, MirrorOptions, READS_AT_ONCE};
pub use stores::{MAX_STORES, StoreSet, Stores, StoresError};
pub use tag_walk::LIGHT_TREE_BYTES;
pub use totals::{Failure, StoreTotals, Totals, WriteCounts};
pub use wanted::LISTED_AT_ONCE;
