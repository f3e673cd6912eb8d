//! What a request touches, and so what a token must allow.

use oci::{Host, Repository};
use url::Url;

use super::{Action, Scopes};

/// What a request touches.
#[derive(Clone, Debug)]
pub(crate) struct RequiredAccess {
    /// The registry as the user wrote it: a URL leaves out the default port.
    pub(crate) host: Host,
    pub(crate) repository: Option<Repository>,
    pub(crate) scopes: Scopes,
}

impl RequiredAccess {
    /// A request that any known user may make.
    pub(crate) fn registry(host: &Host) -> Self {
        Self { host: host.clone(), repository: None, scopes: Scopes::none() }
    }

    /// A list of all repositories.
    pub(crate) fn catalog(host: &Host) -> Self {
        Self { host: host.clone(), repository: None, scopes: Scopes::catalog() }
    }

    pub(crate) fn of(host: &Host, repository: &Repository, action: Action) -> Self {
        let scopes = Scopes::of(repository, action);
        Self { host: host.clone(), repository: Some(repository.clone()), scopes }
    }

    /// The registry whose credentials go with a request to `target`: as the user wrote it, if it is the one of this
    /// access; a session may be at another host.
    pub(crate) fn server(&self, target: &Url) -> Option<Host> {
        let (written, port) = (self.host.authority(), self.host.port());
        let is_default = port.is_some() && port == target.port_or_known_default();
        let without_port = written.rsplit_once(':').filter(|_| is_default).map(|(name, _)| name);
        if [Some(written), without_port].contains(&Some(target.authority())) {
            return Some(self.host.clone());
        }
        target.authority().parse().ok()
    }

    /// Another repository besides, as a mount needs it.
    #[must_use]
    pub(crate) fn and(mut self, repository: &Repository, action: Action) -> Self {
        self.scopes = self.scopes.and(repository, action);
        self
    }
}
