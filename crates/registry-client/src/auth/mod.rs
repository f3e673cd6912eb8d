//! Authorization: what is sent with a request to identify the user.
//!
//! Nothing is sent before an origin's challenge. The challenge is kept, so that later requests carry the
//! authorization from the start.
//!
//! Not here: where credentials come from (crate `credentials`).
//!
//! Source: Docker's specifications of token authentication, with OAuth 2.0; RFC 9110 §11; RFC 7617; RFC 6750.

mod access;
mod authorizer;
mod challenge;
mod login;
mod login_memory;
mod realm;
mod scope;
mod token;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use credentials::{Credential, FromCache, Secret};
use http::{HeaderMap, HeaderValue};
use http_client::{ForeignText, Guard};
use url::Url;

pub(crate) use access::RequiredAccess;
pub(crate) use authorizer::{Authorization, Authorizer, Scheme};
pub use challenge::{Challenge, read_challenges};
pub(crate) use login_memory::Verification;
pub(crate) use scope::{Action, Scopes};

use self::realm::TokenRequest;
use crate::{
    RegistryClient,
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::pointer::resolve,
};

impl RegistryClient {
    /// What to send with a request to `target`; nothing without a challenge or without credentials.
    pub(crate) async fn authorization(
        &self,
        target: &Url,
        access: &RequiredAccess,
    ) -> Result<Option<Authorization>, RequestFault> {
        let authorizer = &self.authorizer;
        let Some(scheme) = authorizer.scheme(target) else { return Ok(None) };
        let credential = authorizer.credential(target, access).await?;
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
                    target,
                    access,
                    realm: &realm,
                    service: service.as_deref(),
                    guard,
                };
                self.token(&wanted, credential).await
            }
        }
    }

    /// Reads the challenge of a 401, and forgets the credentials that were refused. Returns whether it requires a scheme that is supported.
    pub(crate) async fn challenged(
        &self,
        target: &Url,
        access: &mut RequiredAccess,
        sent: Option<&Authorization>,
        headers: &HeaderMap,
        named: Named,
    ) -> Result<bool, RequestFault> {
        let challenges = challenge::challenges(headers);
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let scheme = if let Some(challenge) = of("bearer") {
            let scopes = challenge.parameter("scope").unwrap_or_default();
            access.scopes = std::mem::take(&mut access.scopes).and_requested(scopes);
            read_bearer(target, challenge, named)?
        } else if of("basic").is_some() {
            Scheme::Basic
        } else {
            return Ok(false);
        };
        self.authorizer.learn(target, scheme);
        match sent {
            None => {}
            Some(Authorization::Token { secret, entry, .. }) => {
                entry.forget_value(|token| token == secret).await;
            }
            Some(Authorization::Basic(_) | Authorization::Given(_)) => {
                self.authorizer.forget(target, access);
            }
        }
        Ok(true)
    }

    /// The schemes that a response requires, if it requires none that is supported.
    pub(crate) fn unsupported_schemes(headers: &HeaderMap) -> Option<String> {
        let challenges = challenge::challenges(headers);
        let mut schemes: Vec<_> = challenges.into_iter().map(|it| it.scheme).collect();
        schemes.dedup();
        let is_supported = schemes.iter().any(|it| matches!(it.as_str(), "basic" | "bearer"));
        (!schemes.is_empty() && !is_supported)
            .then(|| ForeignText(&schemes.join(" or ")).to_string())
    }

    /// Whether a refusal without a challenge may be due to a token that has expired: then that is forgotten. Some
    /// proxies and registries (Quay, ECR, GHCR) respond so by 400 or 403.
    pub(crate) async fn has_expired(&self, sent: Option<&Authorization>) -> bool {
        match sent {
            Some(Authorization::Token { secret, entry, is_cached: true, .. }) => {
                entry.suspect(|token| token == secret).await
            }
            _ => false,
        }
    }

    /// A token from the cache, or from its realm.
    async fn token(
        &self,
        wanted: &TokenRequest<'_>,
        credential: Option<Credential>,
    ) -> Result<Option<Authorization>, RequestFault> {
        let entry = self.authorizer.tokens.entry(wanted.key());
        let fetch = || async {
            let token = Box::pin(self.ask_token(wanted, credential)).await?;
            Ok((token.secret, token.lifetime))
        };
        let FromCache { value: secret, is_cached } = entry.get(fetch).await?;
        Ok(bearer(&secret).map(|value| Authorization::Token { value, secret, entry, is_cached }))
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

fn read_bearer(target: &Url, challenge: &Challenge, named: Named) -> Result<Scheme, RequestFault> {
    let realm = challenge.parameter("realm").unwrap_or_default();
    let (pointer, reason) = (Pointer::Realm, PointerRefusal::NotHttp);
    let refused = RequestFault::NotFollowed { pointer, to: None, reason };
    // An empty one would be the registry's own URL.
    let realm = resolve(target, realm).filter(|_| !realm.is_empty()).ok_or(refused)?;
    let guard = if realm.host() == target.host() { named.own } else { named.other };
    let service = challenge.parameter("service").map(str::to_owned);
    Ok(Scheme::Bearer { realm, service, guard })
}

/// RFC 7617 §2. None for a user name with a colon, which it cannot carry.
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
