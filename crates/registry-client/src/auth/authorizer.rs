//! The credentials and tokens of a client, and the challenges of registries.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use credentials::{Credential, Credentials, Secret};
use http::HeaderValue;
use http_client::Guard;
use url::Url;

use super::{
    RequiredAccess,
    login_memory::LoginMemory,
    token::{TokenEntry, Tokens},
};
use crate::{error::fault::RequestFault, host_memory::HostMemory};

/// What the challenge of an origin wants.
#[derive(Clone, Debug)]
pub(crate) enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String>, guard: Guard },
}

impl Scheme {
    /// Whether these credentials are sent to the registry itself.
    pub(crate) const fn sends(&self, credential: &Credential) -> bool {
        match self {
            Self::Basic => {
                matches!(credential, Credential::Basic { .. } | Credential::IdentityOrBasic { .. })
            }
            Self::Bearer { .. } => matches!(credential, Credential::Token(_)),
        }
    }
}

/// What is sent, and where it comes from.
#[derive(Clone)]
pub(crate) enum Authorization {
    Basic(HeaderValue),
    /// A token as it stands in the configuration.
    Given(HeaderValue),
    Token {
        value: HeaderValue,
        secret: Secret,
        entry: TokenEntry,
        /// Whether it was there before this request.
        is_cached: bool,
    },
}

impl Authorization {
    pub(crate) const fn header(&self) -> &HeaderValue {
        match self {
            Self::Basic(value) | Self::Given(value) | Self::Token { value, .. } => value,
        }
    }
}

/// The credentials and tokens of a client.
pub(crate) struct Authorizer {
    pub(crate) credentials: Credentials,
    pub(crate) logins: LoginMemory,
    schemes: Mutex<HashMap<String, Scheme>>,
    pub(super) tokens: Tokens,
    /// Which hosts of realms take no `POST`.
    pub(super) posts: HostMemory<(), ()>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let (logins, schemes) = (LoginMemory::default(), Mutex::default());
        let (tokens, posts) = (Tokens::default(), HostMemory::default());
        Self { credentials, logins, schemes, tokens, posts }
    }

    pub(crate) fn scheme(&self, origin: &Url) -> Option<Scheme> {
        let schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.get(&origin.origin().ascii_serialization()).cloned()
    }

    pub(super) fn learn(&self, origin: &Url, scheme: Scheme) {
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(origin.origin().ascii_serialization(), scheme);
    }

    pub(super) async fn credential(
        &self,
        target: &Url,
        access: &RequiredAccess,
    ) -> Result<Option<Credential>, RequestFault> {
        let Some(host) = access.server(target) else { return Ok(None) };
        let found = self.credentials.get(&host, access.repository.as_ref()).await;
        found.map_err(|cause| RequestFault::Credentials { cause: Box::new(cause) })
    }

    pub(super) fn forget(&self, target: &Url, access: &RequiredAccess) {
        if let Some(host) = access.server(target) {
            self.credentials.forget(&host);
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer")
    }
}
