//! Who asks: what is sent with a request so that the registry knows it.
//!
//! Nothing is sent before an origin asked for it. What it asked for is kept, so that later requests
//! carry it from the start.
//!
//! Not here: where credentials come from ([`crate::credentials`]).
//!
//! Source: Docker's specifications of token authentication, with OAuth 2.0; RFC 9110 §11; RFC 7617; RFC 6750.

mod challenge;
mod realm;
mod scope;
mod token;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use oci::{Host, Repository};
use url::Url;

pub use challenge::{Challenge, read_challenges};
pub(crate) use realm::Verification;
pub(crate) use scope::{Action, Scopes};

use self::{
    realm::TokenRequest,
    token::{Slot, Token, TokenCache},
};
use crate::{
    Client, Credential, Credentials, Secret,
    fault::Fault,
    guard::Guard,
    host_memory::HostMemory,
    login::LoginMemory,
    pointer::{Pointer, Refusal, resolve},
};

/// What a request touches.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) repository: Option<Repository>,
    pub(crate) scopes: Scopes,
}

impl Access {
    /// A request that is answered to whoever is known.
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

/// What an origin asked for.
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
        slot: Slot,
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

/// Everything that a client knows of who it is, and to whom.
pub(crate) struct Authorizer {
    pub(crate) credentials: Credentials,
    pub(crate) logins: LoginMemory,
    schemes: Mutex<HashMap<String, Scheme>>,
    tokens: TokenCache,
    /// Which hosts of realms take no `POST`.
    posts: HostMemory<(), ()>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let (logins, schemes) = (LoginMemory::default(), Mutex::default());
        let (tokens, posts) = (TokenCache::default(), HostMemory::default());
        Self { credentials, logins, schemes, tokens, posts }
    }

    pub(crate) fn scheme(&self, origin: &Url) -> Option<Scheme> {
        let schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.get(&origin.origin().ascii_serialization()).cloned()
    }

    fn learn(&self, origin: &Url, scheme: Scheme) {
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(origin.origin().ascii_serialization(), scheme);
    }

    async fn credential(&self, asked: &Url, access: &Access) -> Result<Option<Credential>, Fault> {
        let Ok(host) = asked.authority().parse::<Host>() else { return Ok(None) };
        let found = self.credentials.get(&host, access.repository.as_ref()).await;
        found.map_err(|cause| Fault::Credentials { cause: Box::new(cause) })
    }

    fn forget(&self, asked: &Url) {
        if let Ok(host) = asked.authority().parse::<Host>() {
            self.credentials.forget(&host);
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer")
    }
}

impl Client {
    /// What to send with a request to `asked`; nothing where nothing was asked for, or nothing is
    /// there to be sent.
    pub(crate) async fn authorization(
        &self,
        asked: &Url,
        access: &Access,
    ) -> Result<Option<Authorization>, Fault> {
        let authorizer = &self.authorizer;
        let Some(scheme) = authorizer.scheme(asked) else { return Ok(None) };
        let credential = authorizer.credential(asked, access).await?;
        match scheme {
            Scheme::Basic => Ok(credential.and_then(|credential| match credential {
                Credential::Basic { user, password }
                | Credential::IdentityOrBasic { user, password, .. } => {
                    basic(&user, &password).map(Authorization::Basic)
                }
                Credential::Identity(_) | Credential::Token(_) => None,
            })),
            Scheme::Bearer { realm, service, guard } => {
                if let Some(Credential::Token(token)) = &credential {
                    return Ok(bearer(token).map(Authorization::Given));
                }
                let wanted = TokenRequest {
                    asked,
                    access,
                    realm: &realm,
                    service: service.as_deref(),
                    guard,
                };
                self.token(&wanted, credential).await
            }
        }
    }

    /// Learns what a 401 asks for, and forgets what it refused. Whether it asks for anything that we know how
    /// to give.
    pub(crate) async fn challenged(
        &self,
        asked: &Url,
        access: &mut Access,
        sent: Option<&Authorization>,
        headers: &HeaderMap,
        named: Named,
    ) -> Result<bool, Fault> {
        let challenges = challenge::challenges(headers);
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let scheme = if let Some(challenge) = of("bearer") {
            let scopes = challenge.parameter("scope").unwrap_or_default();
            access.scopes = std::mem::take(&mut access.scopes).and_asked(scopes);
            read_bearer(asked, challenge, named)?
        } else if of("basic").is_some() {
            Scheme::Basic
        } else {
            return Ok(false);
        };
        self.authorizer.learn(asked, scheme);
        match sent {
            None => {}
            Some(Authorization::Token { secret, slot, .. }) => {
                let mut held = slot.lock().await;
                // Another request may have renewed it meanwhile.
                if held.token.as_ref().is_some_and(|token| token.secret == *secret) {
                    held.token = None;
                }
            }
            Some(Authorization::Basic(_) | Authorization::Given(_)) => {
                self.authorizer.forget(asked);
            }
        }
        Ok(true)
    }

    /// Whether a refusal without a challenge may be due to a token that has expired: then that is forgotten. Some
    /// proxies and registries (Quay, ECR, GHCR) respond so by 400 or 403.
    pub(crate) async fn has_expired(&self, sent: Option<&Authorization>) -> bool {
        match sent {
            Some(Authorization::Token { secret, slot, is_cached: true, .. }) => {
                slot.lock().await.suspect(secret)
            }
            _ => false,
        }
    }

    /// A token from the cache, or from its realm.
    async fn token(
        &self,
        wanted: &TokenRequest<'_>,
        credential: Option<Credential>,
    ) -> Result<Option<Authorization>, Fault> {
        let slot = self.authorizer.tokens.slot(wanted.key());
        let mut held = slot.lock().await;
        let is_cached = held.token.as_ref().is_some_and(Token::is_fresh);
        let secret = match &held.token {
            Some(token) if is_cached => token.secret.clone(),
            _ => {
                held.token = None;
                if let Some(cause) = held.failure() {
                    return Err(Fault::Token { cause });
                }
                match Box::pin(self.ask_token(wanted, credential)).await {
                    Ok(token) => held.token.insert(token).secret.clone(),
                    Err(Fault::Token { cause }) => {
                        held.fail(Arc::clone(&cause));
                        return Err(Fault::Token { cause });
                    }
                    Err(fault) => return Err(fault),
                }
            }
        };
        drop(held);
        Ok(bearer(&secret).map(|value| Authorization::Token { value, secret, slot, is_cached }))
    }
}

/// Who the host of a realm is named by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// Where it is the registry's own host.
    pub(crate) own: Guard,
    /// Where it is another one.
    pub(crate) other: Guard,
}

fn read_bearer(asked: &Url, challenge: &Challenge, named: Named) -> Result<Scheme, Fault> {
    let realm = challenge.parameter("realm").unwrap_or_default();
    let (pointer, reason) = (Pointer::Realm, Refusal::NotHttp);
    let refused = Fault::NotFollowed { pointer, to: None, reason };
    // An empty one would be the registry's own URL.
    let realm = resolve(asked, realm).filter(|_| !realm.is_empty()).ok_or(refused)?;
    let guard = if realm.host() == asked.host() { named.own } else { named.other };
    let service = challenge.parameter("service").map(str::to_owned);
    Ok(Scheme::Bearer { realm, service, guard })
}

/// RFC 7617 §2. None for a user that cannot be told so.
fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    if user.contains(':') {
        return None;
    }
    let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
    secret_value(&format!("Basic {pair}"))
}

/// None for a token that no header can carry.
fn bearer(token: &Secret) -> Option<HeaderValue> {
    secret_value(&format!("Bearer {}", token.expose()))
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
