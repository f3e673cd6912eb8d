//! The registry's bounds, each with its reason: [`Limits`] are settings, the constants are not.

use std::time::Duration;

/// Bounds that an operator may set. The defaults are the constants beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest accepted manifest, in bytes: at most [`MAX_STORED_MANIFEST_BYTES`].
    pub max_manifest_bytes: u64,
    /// The longest accepted blob, in bytes; by default the storage decides.
    pub max_blob_bytes: Option<u64>,
    /// The number of uploads in progress, open sessions included.
    pub max_uploads: usize,
    /// The idle time after which a session is dropped.
    pub upload_life: Duration,
    /// The number of reading requests in flight, and also of writing ones.
    pub max_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_manifest_bytes: MAX_MANIFEST_BYTES,
            max_blob_bytes: None,
            max_uploads: MAX_UPLOADS,
            upload_life: UPLOAD_LIFE,
            max_requests: MAX_REQUESTS,
        }
    }
}

/// The size that distribution-spec 1.1 ("Pushing Manifests") requires registries to accept, and clients not to
/// exceed.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// The longest manifest that can be stored, in bytes, whatever the setting: it is read into memory whole, and a
/// longer file in its place is damaged.
pub const MAX_STORED_MANIFEST_BYTES: u64 = 64 << 20;

/// The longest blob in a directory, in bytes: far above any real layer, so that it stops only endless
/// uploads.
pub const MAX_DIRECTORY_BLOB_BYTES: u64 = 64 << 30;

/// The longest blob in memory, in bytes: it is held there whole.
pub const MAX_MEMORY_BLOB_BYTES: u64 = 1 << 30;

/// Each upload uses disk space, and each active one a batch in memory.
pub const MAX_UPLOADS: usize = 256;

/// Clients that resume do so within minutes.
pub const UPLOAD_LIFE: Duration = Duration::from_secs(60 * 60);

/// The least idle time of a session that is dropped for another upload of its client. An active upload pauses for
/// one round trip between two requests.
pub const LEAST_IDLE: Duration = Duration::from_secs(10);

/// Each holds a connection, a file or two and its buffers.
pub const MAX_REQUESTS: usize = 256;

/// Open connections. Kept alive they cost 16 KiB each, 128 MiB together; more are closed or wait, as
/// `docs/internals/http-server.md` says. Where the limit of open files is lower, so is this.
pub const MAX_CONNECTIONS: usize = 8_192;

/// One client may have this part of the requests in flight, of the uploads and of the password checks: a half, as of
/// the connections, so that one client never stops the others.
pub const CLIENT_DIVISOR: usize = 2;

/// Requests that write may have this part of the connections: a half, so that uploads that stall leave connections
/// for pulls, also where the limit of open files is low.
pub const WRITE_DIVISOR: usize = 2;

/// The interval at which idle sessions are dropped.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The `Retry-After` of a 429, in seconds: about the time of a layer.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// The longest pause within a request body: a stalled client would hold its session for ever.
pub const BODY_IDLE: Duration = Duration::from_secs(60);

/// The most names in one page of a list: about 1 MB of JSON for long names.
pub const MAX_PAGE: usize = 10_000;

/// The longest JSON of the descriptors in one page of referrers, in bytes: clients read an index of at most 4 MiB,
/// which has other members too.
pub const MAX_REFERRERS_BYTES: usize = (4 << 20) - (4 << 10);

/// The most tags that one push may name. The specification requires at least 10. Each is a header of the
/// response, of which hyper's clients accept 100 by default, those that proxies add included; and each costs a
/// sync of the disk.
pub const MAX_TAGS_OF_A_PUSH: usize = 64;

/// How many tags are deleted with a manifest before others may write to the repository: each costs up to
/// some milliseconds.
pub const MAX_TAGS_AT_ONCE: usize = 50;

/// The size of a batch of an upload that is hashed and written at once, in bytes: large enough that the
/// hand-over to the writing thread costs little, and small enough that
/// [`MAX_UPLOADS`] times two of them fit into memory.
pub const BATCH_BYTES: usize = 256 << 10;

/// The pieces in which a file is read, in bytes: as for a response.
pub const READ_PIECE_BYTES: usize = http_server::READ_PIECE_BYTES;

/// The limit of a rejected request's body that is read and discarded after the response is sent, in bytes:
/// clients that send all of a body before they read get the response instead of a broken pipe. It costs
/// bandwidth only; a manifest or layer that is larger by mistake fits in.
pub const MAX_DISCARDED_BYTES: usize = 256 << 20;

/// The same without valid credentials, where they are needed: most manifests fit in, and anyone can send more.
pub const MAX_DISCARDED_BYTES_WITHOUT_LOGIN: usize = 1 << 20;

/// How many bodies are discarded at once; the connections of further ones are closed. As many clients that
/// make the same mistake at the same time are rare, and each costs its bandwidth.
pub const MAX_DISCARDS: usize = 32;

/// The longest time of one discard: as nginx's `lingering_time`.
pub const DISCARD_TIME: Duration = Duration::from_secs(30);

/// How many blobs of an image a HEAD of its manifest looks at: Docker makes no image with more layers, and
/// each costs a few calls of the system.
pub const MAX_CHECKED_BLOBS: usize = 128;

/// How many missing digests one refusal names: as many as a person reads.
pub const MAX_NAMED: usize = 100;

/// How many passwords are checked at once: each costs a core tens of milliseconds by design.
pub const MAX_PASSWORD_CHECKS: usize = 2;

/// The number of password checks, running and waiting; further ones get 429. So a flood of wrong passwords leaves
/// most of [`MAX_REQUESTS`] to users whose password was checked before.
pub const MAX_WAITING_CHECKS: usize = 64;

/// How long requests under way may take to end after the signal to stop.
pub const DRAIN: Duration = Duration::from_secs(10);
