//! A registry behind a token service, as three public registries run one: how they respond to a repository
//! that does not exist yet depends on what the token allows.
//!
//! A model of what clients have seen of them, not of their code.
//!
//! Source: Docker's token authentication specification; docker/hub-feedback #1771 and distribution #1676 (Docker
//! Hub); quay's `v2auth` (Quay); reports of `403 DENIED` by clients that push to it first (GitHub).

use std::ops::Deref;

use ::registry::{Registry, Storage};
use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE},
};
use serde_json::json;

use crate::TestRegistry;

/// `user:password` as RFC 7617 sends it.
const BASIC: &str = "Basic dXNlcjpwYXNzd29yZA==";

/// Which public registry's behaviour is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenModel {
    /// The realm always gives a token. One for `pull` of a repository that does not exist allows nothing, and
    /// requests with it get 401 (`insufficient_scope`); one for `pull,push` gets 404.
    DockerHub,
    /// The same, but a token for `pull,push` creates the repository: its list of tags is empty.
    Quay,
    /// The realm itself responds with 403 (`DENIED`) to `pull` of a package that does not exist; with a token for
    /// `pull,push`, requests get 404.
    GitHub,
}

/// What the user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRights {
    /// Read and write.
    Push,
    /// Read what exists.
    Pull,
}

/// A registry behind a token service. The user is `user`, with the password `password`; without credentials a token
/// allows nothing, and with others the realm gives none.
#[derive(Debug)]
pub struct TokenRegistry(TestRegistry);

impl TokenRegistry {
    /// An empty registry in memory.
    pub async fn start(model: TokenModel, rights: TokenRights) -> Self {
        let registry = Registry::new(Storage::memory());
        let service = Service { model, rights, registry: registry.clone() };
        let respond = move |request| {
            let service = service.clone();
            async move { service.respond(request).await }
        };
        Self(TestRegistry::behind(registry, respond).await)
    }
}

impl Deref for TokenRegistry {
    type Target = TestRegistry;

    fn deref(&self) -> &TestRegistry {
        &self.0
    }
}

#[derive(Clone)]
struct Service {
    model: TokenModel,
    rights: TokenRights,
    registry: Registry,
}

impl Service {
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/token" {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let authorization = request.headers().get(AUTHORIZATION).cloned();
            return self.token(&query, authorization).await;
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let action = if is_read { "pull" } else { "push" };
        let allowed = allowed(request.headers());
        let name = repository(request.uri().path()).map(str::to_owned);
        let is_allowed = match (&allowed, &name) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(allowed), Some(name)) => allows(allowed, name, action),
        };
        if !is_allowed {
            return self.refusal(request.headers(), name.as_deref(), action, allowed.as_deref());
        }
        let is_list = request.uri().path().ends_with("/tags/list");
        let response = self.registry.respond(request).await;
        if self.model == TokenModel::Quay && is_list && response.status() == StatusCode::NOT_FOUND {
            return respond(StatusCode::OK, &json!({"name": name, "tags": []}));
        }
        response
    }

    /// A token is what it allows: `allow~<name>=<actions>`.
    async fn token(&self, query: &str, authorization: Option<HeaderValue>) -> Response<Body> {
        let is_wrong = authorization.as_ref().is_some_and(|value| value != BASIC);
        if is_wrong {
            let status = match self.model {
                TokenModel::DockerHub | TokenModel::Quay => StatusCode::UNAUTHORIZED,
                TokenModel::GitHub => StatusCode::FORBIDDEN,
            };
            let denied = json!({"errors": [{"code": "DENIED", "message": "incorrect password"}]});
            return respond(status, &denied);
        }
        let is_user = authorization.is_some();
        let mut allowed = "allow".to_owned();
        for scope in query.split('&').filter_map(|pair| pair.strip_prefix("scope=")) {
            let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
            let Some((name, actions)) =
                scope.strip_prefix("repository:").and_then(|scope| scope.rsplit_once(':'))
            else {
                continue;
            };
            let may_push = self.rights == TokenRights::Push && actions.contains("push");
            if is_user && may_push {
                allowed.push_str(&format!("~{name}=pull,push"));
            } else if is_user && self.exists(name).await {
                allowed.push_str(&format!("~{name}=pull"));
            } else if self.model == TokenModel::GitHub {
                let denied = json!({"errors": [{
                    "code": "DENIED", "message": "requested access to the resource is denied",
                }]});
                return respond(StatusCode::FORBIDDEN, &denied);
            }
        }
        respond(StatusCode::OK, &json!({"token": allowed, "expires_in": 300}))
    }

    async fn exists(&self, name: &str) -> bool {
        let request = Request::builder().uri(format!("/v2/{name}/tags/list"));
        let request = request.body(Body::empty()).expect("a request");
        self.registry.respond(request).await.status() == StatusCode::OK
    }

    fn refusal(
        &self,
        headers: &HeaderMap,
        name: Option<&str>,
        action: &str,
        token: Option<&str>,
    ) -> Response<Body> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let scope = name.map(|name| format!(r#",scope="repository:{name}:{action}""#));
        let error = if token.is_some() { r#",error="insufficient_scope""# } else { "" };
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="registry"{}{error}"#,
            scope.unwrap_or_default()
        );
        let required = json!({"errors": [{
            "code": "UNAUTHORIZED", "message": "authentication required",
        }]});
        let mut response = respond(StatusCode::UNAUTHORIZED, &required);
        let challenge = HeaderValue::try_from(challenge).expect("a header value");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    }
}

/// What the token of a request allows; none without a token.
fn allowed(headers: &HeaderMap) -> Option<String> {
    let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    Some(token.to_owned())
}

fn allows(token: &str, name: &str, action: &str) -> bool {
    let entries = token.split('~').filter_map(|entry| entry.split_once('='));
    entries
        .filter(|(entry, _)| *entry == name)
        .any(|(_, actions)| actions.split(',').any(|allowed| allowed == action))
}

/// The repository that a path is about.
fn repository(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/")?;
    let ends = ["/manifests/", "/blobs/", "/tags/", "/referrers/"];
    ends.iter().find_map(|end| rest.split_once(end)).map(|(name, _)| name)
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
