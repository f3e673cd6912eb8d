//! The request for a token at a realm, and its response.
//!
//! Not here: which tokens are kept (`token`).
//!
//! Source: Docker's specifications of token authentication, with OAuth 2.0.

use std::sync::Arc;

use credentials::Credential;
use http::{HeaderValue, Method, StatusCode, header};
use http_client::{Guard, RedactedUrl, RequestContent};
use oci::Host;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::{
    RequiredAccess, Scheme, Verification, basic, bearer,
    token::{Token, TokenKey},
};
use crate::{
    Error, RegistryClient,
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::{request::Request, response::FullResponse},
};

/// The longest response of a realm: tokens have some KiB.
const MAX_TOKEN_BYTES: usize = 1 << 20;
/// The client ID that is sent to a realm, where it wants one.
const CLIENT_ID: &str = "portolan";

/// A token that is wanted.
pub(super) struct TokenRequest<'a> {
    pub(super) target: &'a Url,
    pub(super) access: &'a RequiredAccess,
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) guard: Guard,
}

impl TokenRequest<'_> {
    pub(super) fn key(&self) -> TokenKey {
        TokenKey {
            origin: self.target.origin().ascii_serialization(),
            realm: self.realm.to_string(),
            service: self.service.map(str::to_owned),
            scopes: self.access.scopes.clone(),
        }
    }

    fn request(&self, credential: Option<Credential>) -> Request {
        let mut url = self.realm.clone();
        let mut request = match credential {
            Some(Credential::Identity(token)) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", CLIENT_ID)
                    .append_pair("refresh_token", token.expose())
                    .extend_pairs(self.service.map(|service| ("service", service)));
                let scopes: Vec<_> = self.access.scopes.iter().collect();
                form.append_pair("scope", &scopes.join(" "));
                let mut request = Request::bare(Method::POST, url);
                request.content = RequestContent::Bytes(form.finish().into());
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers.insert(header::CONTENT_TYPE, kind);
                request
            }
            credential => {
                url.query_pairs_mut()
                    .extend_pairs(self.service.map(|service| ("service", service)))
                    .extend_pairs(self.access.scopes.iter().map(|scope| ("scope", scope)));
                let mut request = Request::bare(Method::GET, url);
                if let Some(Credential::Basic { user, password }) = credential
                    && let Some(value) = basic(&user, &password)
                {
                    request.headers.insert(header::AUTHORIZATION, value);
                }
                request
            }
        };
        request.guard = self.guard;
        request
    }
}

impl RegistryClient {
    /// Whether the realm of a registry accepts credentials: it gets a request for a token without a scope. The response is not
    /// kept as a token, since cached tokens are shared by requests with the same scopes.
    pub(crate) async fn verify(
        &self,
        target: &Url,
        access: &RequiredAccess,
        scheme: &Scheme,
        credential: Credential,
    ) -> Verification {
        let Scheme::Bearer { realm, service, guard } = scheme else { return Verification::Unknown };
        let wanted =
            TokenRequest { target, access, realm, service: service.as_deref(), guard: *guard };
        match self.ask_token(&wanted, Some(credential)).await {
            Ok(_) => Verification::Accepted,
            Err(RequestFault::Token { cause }) if cause.is_unauthorized() => Verification::Rejected,
            Err(_) => Verification::Unknown,
        }
    }

    /// The realm's response. One that takes no `POST` gets `GET` with the user and password beside an identity
    /// token, and then at once.
    async fn token_response(
        &self,
        wanted: &TokenRequest<'_>,
        credential: Option<Credential>,
    ) -> Result<FullResponse, Error> {
        let Some(Credential::IdentityOrBasic { token, user, password }) = credential else {
            return self.fetch(wanted.request(credential), MAX_TOKEN_BYTES).await;
        };
        let (realm, memory) =
            (wanted.realm.authority().parse::<Host>().ok(), &self.authorizer.posts);
        let by_get = wanted.request(Some(Credential::Basic { user, password }));
        if realm.as_ref().is_some_and(|realm| memory.get(realm, ()).is_some()) {
            return self.fetch(by_get, MAX_TOKEN_BYTES).await;
        }
        let by_post = wanted.request(Some(Credential::Identity(token)));
        let posted = self.fetch(by_post, MAX_TOKEN_BYTES).await;
        if !posted.as_ref().is_err_and(takes_no_post) {
            return posted;
        }
        let response = self.fetch(by_get, MAX_TOKEN_BYTES).await?;
        if let Some(realm) = realm {
            memory.update(&realm, (), |_| Some(()));
        }
        Ok(response)
    }

    pub(super) async fn ask_token(
        &self,
        wanted: &TokenRequest<'_>,
        credential: Option<Credential>,
    ) -> Result<Token, RequestFault> {
        if wanted.realm.scheme() == "http" && !self.allows_plain(wanted.target, wanted.realm) {
            let to = Some(RedactedUrl::new(wanted.realm));
            let reason = PointerRefusal::of_plain_http(wanted.target, wanted.realm);
            let pointer = Pointer::Realm;
            return Err(RequestFault::NotFollowed { pointer, to, reason });
        }
        let has_credential = credential.is_some();
        let response = self.token_response(wanted, credential).await.map_err(|error| {
            if has_credential && error.is_unauthorized() {
                self.authorizer.forget(wanted.target, wanted.access);
            }
            RequestFault::Token { cause: Arc::new(error) }
        })?;
        let substitute = response.substitute();
        let FullResponse { target: realm, bytes: json, .. } = response;
        // What cannot be read is not quoted: it may be a secret all the same.
        let token = Token::read(&json, Instant::now()).ok().flatten();
        if token.as_ref().is_some_and(|token| bearer(&token.secret).is_none()) {
            let cause = Arc::new(realm.fails(RequestFault::UnusableToken));
            return Err(RequestFault::Token { cause });
        }
        token.ok_or_else(|| {
            let fault = substitute.map_or(RequestFault::NoToken, |it| it.fault("a token"));
            RequestFault::Token { cause: Arc::new(realm.fails(fault)) }
        })
    }
}

/// Whether a status says that a realm takes no `POST`: Docker's specification of tokens has `GET` alone.
fn takes_no_post(error: &Error) -> bool {
    matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED))
}
