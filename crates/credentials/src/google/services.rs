//! Google's services that issue access tokens: the token endpoint, and the IAM Credentials API.
//!
//! Not here: the metadata server ([`super::metadata`]).

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::{Google, SCOPE, key::ServiceKey};
use crate::{
    CredentialError, Lifetime, Secret, ServiceError, first_line,
    http::{Http, ServiceRequest, ServiceResponse},
};

const TOKENS: &str = "https://oauth2.googleapis.com/token";
const IAM: &str = "https://iamcredentials.googleapis.com/";
/// The requested lifetime of tokens of another account: the longest without a special permission.
const LIFETIME: Duration = Duration::from_secs(3600);

/// An access token, and how long it is used.
pub(super) struct Grant {
    pub(super) token: Secret,
    pub(super) lifetime: Lifetime,
}

/// The services.
pub(super) struct Services {
    http: Arc<Http>,
    /// Where tokens are requested, unless a file names another URL.
    pub(super) tokens: Url,
    iam: Url,
}

impl Services {
    #[expect(clippy::expect_used, reason = "the defaults are well-formed, as every test shows")]
    pub(super) fn new(settings: &Google, http: Arc<Http>) -> Self {
        let url = |own: &Option<Url>, usual: &str| {
            own.clone().unwrap_or_else(|| usual.parse().expect("a URL"))
        };
        Self { http, tokens: url(&settings.tokens, TOKENS), iam: url(&settings.iam, IAM) }
    }

    pub(super) async fn of_service_account(
        &self,
        key: &ServiceKey,
        assertion: &Secret,
    ) -> Result<Grant, CredentialError> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose()),
        ];
        let failure = format!("no access token for {}", first_line(&key.email));
        self.token(&failure, &ServiceRequest::form(key.token_uri.clone(), &fields)).await
    }

    pub(super) async fn of_user(
        &self,
        client_id: &str,
        client_secret: &Secret,
        refresh_token: &Secret,
    ) -> Result<Grant, CredentialError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
            ("refresh_token", refresh_token.expose()),
        ];
        let failure = "no access token for the user of `gcloud auth application-default login`";
        self.token(failure, &ServiceRequest::form(self.tokens.clone(), &fields)).await
    }

    async fn token(
        &self,
        failure: &str,
        request: &ServiceRequest,
    ) -> Result<Grant, CredentialError> {
        let start = Instant::now();
        let response = self.send(failure, request).await?;
        grant(failure, request, &response, start)
    }

    async fn send(
        &self,
        failure: &str,
        request: &ServiceRequest,
    ) -> Result<ServiceResponse, CredentialError> {
        self.http.send(request).await.map_err(|cause| failed(failure, cause))
    }

    /// Where tokens of another service account are requested.
    pub(super) fn impersonation_url(&self, account: &str) -> Result<Url, CredentialError> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "@.-_:".contains(c);
        let is_email = account.contains('@') && account.chars().all(is_fine);
        let path = format!("v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        let url = self.iam.join(&path).ok().filter(|_| is_email);
        url.ok_or_else(|| {
            let account = first_line(account);
            let text = format!("`{account}` is not the e-mail address of a service account");
            CredentialError::Setting(text.into())
        })
    }

    /// A token of another account, for the token of one that may act as it.
    pub(super) async fn act_as(
        &self,
        account: &str,
        url: Url,
        delegates: &[String],
        token: Secret,
    ) -> Result<Grant, CredentialError> {
        let lifetime = format!("{}s", LIFETIME.as_secs());
        let mut body = json!({"scope": [SCOPE], "lifetime": lifetime});
        if !delegates.is_empty() {
            body["delegates"] = delegates.into();
        }
        let failure = format!("no access token as {account}");
        let request = ServiceRequest::json(url, &body).bearer(token);
        let start = Instant::now();
        let response = self.send(&failure, &request).await?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let token = usable(&failure, &request, &body["accessToken"])?;
        // Its `expireTime` is by its clock; the requested lifetime needs none.
        Ok(Grant { token, lifetime: Lifetime::of_token(start, Some(LIFETIME)) })
    }
}

/// The error of a request that failed.
pub(super) fn failed(failure: &str, cause: ServiceError) -> CredentialError {
    CredentialError::Exchange { failure: failure.into(), cause: cause.into() }
}

/// The token of a response to a request that was sent at `start`.
pub(super) fn grant(
    failure: &str,
    request: &ServiceRequest,
    response: &ServiceResponse,
    start: Instant,
) -> Result<Grant, CredentialError> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let token = usable(failure, request, &body["access_token"])?;
    let stated = body["expires_in"].as_u64().map(Duration::from_secs);
    Ok(Grant { token, lifetime: Lifetime::of_token(start, stated) })
}

/// The token of a response, if a header can carry it.
fn usable(
    failure: &str,
    request: &ServiceRequest,
    token: &Value,
) -> Result<Secret, CredentialError> {
    let wrong = |problem| CredentialError::InvalidResponse {
        failure: failure.into(),
        url: request.shown_url(),
        problem,
    };
    let token = token.as_str().ok_or_else(|| wrong("is not the JSON of an access token"))?;
    let is_fine = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fine { Ok(token.into()) } else { Err(wrong("has an access token that cannot be sent")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_addresses() {
        let services = Services::new(&Google::new(), Arc::new(Http::new(LIFETIME)));
        let url = services.impersonation_url("a-b@p.iam.gserviceaccount.com").expect("a URL");
        assert_eq!(
            url.as_str(),
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/\
             a-b@p.iam.gserviceaccount.com:generateAccessToken"
        );
        for bad in ["", "a", "a@b/../c", "a@b?c", "a@b c", "ä@b", "a@b%2f"] {
            assert!(services.impersonation_url(bad).is_err(), "{bad}");
        }
    }
}
