//! What a request touches, and so what a token must allow.

use oci::Repository;

use super::{Action, Scopes};

/// What a request touches.
#[derive(Clone, Debug)]
pub(crate) struct RequiredAccess {
    pub(crate) repository: Option<Repository>,
    pub(crate) scopes: Scopes,
}

impl RequiredAccess {
    /// A request that any known user may make.
    pub(crate) const fn registry() -> Self {
        Self { repository: None, scopes: Scopes::none() }
    }

    /// A list of all repositories.
    pub(crate) fn catalog() -> Self {
        Self { repository: None, scopes: Scopes::catalog() }
    }

    pub(crate) fn of(repository: &Repository, action: Action) -> Self {
        Self { repository: Some(repository.clone()), scopes: Scopes::of(repository, action) }
    }

    /// Another repository besides, as a mount needs it.
    #[must_use]
    pub(crate) fn and(mut self, repository: &Repository, action: Action) -> Self {
        self.scopes = self.scopes.and(repository, action);
        self
    }
}
