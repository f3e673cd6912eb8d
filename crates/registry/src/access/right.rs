//! Who may do what, in two words.

use std::sync::Arc;

/// What a repository may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Pull,
    /// Write and delete.
    Push,
}

/// A user's name.
pub(crate) type User = Arc<str>;
