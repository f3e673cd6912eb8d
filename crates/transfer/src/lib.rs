//! The fan-out engine: an image, and all that it reaches, read once from one repository and written to
//! any number of destinations, with back-pressure and verification.
//!
//! It writes no tags and deletes nothing. Which image goes where is its caller's decision; the rules of
//! moving are the tables of `docs/internals/transfer.md`.

mod confirmed;
mod copied;
mod copy;
mod destination;
mod error;
mod fan_out;
mod image;
mod lag;
mod lane;
mod load;
mod per_digest;
mod reachable;
mod recipient;
mod walk;
mod walk_bounds;

pub use confirmed::MAX_CONFIRMED;
pub use copied::Copied;
pub use copy::BLOBS_AT_ONCE;
pub use destination::Destination;
pub use error::{Content, DestinationError, Error, SourceError};
pub use fan_out::{BlobOutcome, copy_blob};
pub use image::{Image, ImageNode, check_size};
pub use lag::{MAX_LAG, together};
pub use lane::PIECES_WAITING;
pub use per_digest::{PerDigest, TransferState};
pub use reachable::reachable_manifests;
pub use recipient::MAX_REPAIRS;
pub use walk::{Walk, WalkEntry, WalkError};
pub use walk_bounds::{BoundExceeded, MAX_DEPTH, MAX_MANIFESTS, MAX_TREE_BYTES, WalkBounds};
