//! Blobs: reading them, and pushing them by mounts and upload sessions.

pub(crate) mod commits;
pub(crate) mod mounts;
pub(crate) mod part;
pub(crate) mod push;
pub(crate) mod reader;
pub(crate) mod source;
pub(crate) mod upload;
