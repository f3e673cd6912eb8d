//! The registry's bounds, each with its reason. None is a setting yet.

use std::time::Duration;

/// The longest manifest taken, in bytes: what distribution-spec 1.1 ("Pushing Manifests") asks
/// registries to take at least, and tells clients not to exceed.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// The longest blob that a directory takes, in bytes: far above any layer in the field, so that only
/// an upload without end meets it.
pub const MAX_DIRECTORY_BLOB_BYTES: u64 = 64 << 30;

/// The longest blob that the memory takes, in bytes: it is held there whole.
pub const MAX_MEMORY_BLOB_BYTES: u64 = 1 << 30;

/// How many uploads may be under way at once, open sessions and uploads in one request together: each
/// holds a file open, and the usual limit of a process is 1,024 files, connections included.
pub const MAX_UPLOADS: usize = 256;

/// How long a session may lie idle before it is dropped, once another upload starts: clients that
/// resume do so within minutes.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(60 * 60);

/// How long a request body may stay silent: a stalled client would hold its session for ever.
pub const BODY_IDLE: Duration = Duration::from_secs(60);

/// The most names in one page of a list: about 1 MB of JSON for long names.
pub const MAX_PAGE: usize = 10_000;

/// The pieces in which a file is read, in bytes: large enough that the hand-over to the thread that
/// reads is lost in the reading.
pub const READ_PIECE_BYTES: usize = 128 << 10;

/// How much of a refused request's body is read and thrown away, in bytes, so that the client sees the
/// answer instead of a connection cut under its hands.
pub const MAX_DISCARDED_BYTES: usize = 8 << 20;

/// How long requests under way may take to end once the registry is told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);
