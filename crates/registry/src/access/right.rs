//! Rights and user names.

use std::sync::Arc;

/// A right to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Pull,
    /// Write and delete.
    Push,
}

/// A user's name.
pub(crate) type User = Arc<str>;
