//! Google's ambient credentials: the identity of this machine or of its user, as an access token.
//!
//! Not here: federated identities (`external_account`).
//!
//! Source: <https://google.aip.dev/auth/4110> (where credentials are looked for);
//! <https://cloud.google.com/artifact-registry/docs/docker/authentication#token>.

mod file;
mod key;
mod metadata;
mod services;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use oci::Host;
use url::Url;

use crate::{
    CacheEntry, Credential, CredentialError, FileProblem, Lifetime, Secret, file::CredentialFile,
    http::Http,
};
use file::{GoogleFile, GoogleIdentity};
use metadata::{ABSENT_FOR, MetadataServer, WAIT};
use services::{Grant, Services};

/// The scope of tokens: Google's APIs, within the rights of the account.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The user name that goes with an access token.
const TOKEN_USER: &str = "oauth2accesstoken";

/// Where Google's ambient credentials come from. Nothing is requested yet.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until they are given to `CredentialsBuilder::google`"]
pub struct Google {
    files: Vec<CredentialFile>,
    account: Option<String>,
    metadata: Option<Host>,
    is_on_google: bool,
    metadata_wait: Duration,
    tokens: Option<Url>,
    iam: Option<Url>,
}

impl Google {
    /// The metadata server alone, of which there is one on each of Google's machines.
    pub const fn new() -> Self {
        Self {
            files: Vec::new(),
            account: None,
            metadata: None,
            is_on_google: false,
            metadata_wait: WAIT,
            tokens: None,
            iam: None,
        }
    }

    /// A file that the user named, and that must exist: a service account's key, or what `gcloud` writes.
    /// Of several files, the first that is there counts.
    pub fn named_file(mut self, path: PathBuf) -> Self {
        self.files.push(CredentialFile::Named(path));
        self
    }

    /// A file where such files usually are.
    pub fn usual_file(mut self, path: PathBuf) -> Self {
        self.files.push(CredentialFile::Usual(path));
        self
    }

    /// Impersonates this service account. The identity of the other settings needs the right to.
    pub fn impersonate(mut self, email: String) -> Self {
        self.account = Some(email);
        self
    }

    /// Where the metadata server is. Default: `metadata.google.internal`. A server that is named is waited for.
    pub fn metadata_host(mut self, host: Host) -> Self {
        self.metadata = Some(host);
        self
    }

    /// This machine is one of Google's, so that its metadata server is waited for.
    pub fn on_google(mut self) -> Self {
        self.is_on_google = true;
        self
    }

    /// How long a metadata server that should exist is waited for. Default: 12 s.
    pub fn metadata_wait(mut self, wait: Duration) -> Self {
        self.metadata_wait = wait;
        self
    }

    /// Where tokens are requested of users, and of service accounts whose key does not say it. Default: `https://oauth2.googleapis.com/token`.
    pub fn token_url(mut self, url: Url) -> Self {
        self.tokens = Some(url);
        self
    }

    /// Where the IAM Credentials API is. Default: `https://iamcredentials.googleapis.com/`.
    pub fn iam_url(mut self, url: Url) -> Self {
        self.iam = Some(url);
        self
    }
}

impl Default for Google {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a host is one of Google's registries: the hosts to which the kubelet's credential provider for Google Cloud
/// sends access tokens. No other host gets one; the rate and the page size of Google's registries follow from it too.
#[must_use]
pub fn is_google(host: &Host) -> bool {
    let name = host.name();
    matches!(name, "gcr.io" | "container.cloud.google.com")
        || [".gcr.io", ".pkg.dev"].iter().any(|domain| name.ends_with(domain))
}

/// The access token of one identity, kept as long as it lasts.
pub(crate) struct GoogleTokens {
    settings: Google,
    services: Services,
    metadata: MetadataServer,
    token: CacheEntry<Option<Secret>, CredentialError>,
}

impl GoogleTokens {
    pub(crate) fn new(settings: Google, http: Arc<Http>) -> Self {
        let services = Services::new(&settings, Arc::clone(&http));
        let metadata = MetadataServer::new(&settings, http);
        Self { settings, services, metadata, token: CacheEntry::default() }
    }

    /// The credentials for Google's registries; none where there are no ambient ones.
    pub(crate) async fn get(&self) -> Result<Option<Credential>, CredentialError> {
        let token = self.token.get(|| self.fetch()).await?.value;
        let user = TOKEN_USER.to_owned();
        Ok(token.map(|password| Credential::Basic { user, password }))
    }

    /// The files that are read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.settings.files.iter().map(CredentialFile::path)
    }

    /// Why the metadata server gave no credentials, if it was requested.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.metadata.failure()
    }

    pub(crate) fn forget(&self) {
        self.token.forget();
    }

    async fn fetch(&self) -> Result<(Option<Secret>, Lifetime), CredentialError> {
        let Some(mut grant) = self.own_grant().await? else {
            return Ok((None, Lifetime::exactly(ABSENT_FOR)));
        };
        if let Some(account) = &self.settings.account {
            let url = self.services.impersonation_url(account)?;
            grant = self.services.act_as(account, url, &[], grant.token).await?;
        }
        Ok((Some(grant.token), grant.lifetime))
    }

    /// The token of the first identity that exists.
    async fn own_grant(&self) -> Result<Option<Grant>, CredentialError> {
        for source in &self.settings.files {
            if let Some(bytes) = source.read().await? {
                return self.grant_of_file(source, &bytes).await.map(Some);
            }
        }
        self.metadata.token().await
    }

    async fn grant_of_file(
        &self,
        source: &CredentialFile,
        bytes: &[u8],
    ) -> Result<Grant, CredentialError> {
        // Read again for each token, so that a key that is replaced counts.
        let file = GoogleFile::parse(bytes, &self.services.tokens)
            .map_err(|problem| source.malformed(problem))?;
        let grant = match &file.identity {
            GoogleIdentity::ServiceAccount(key) => {
                let assertion = key.assertion(SystemTime::now()).ok_or_else(|| {
                    source.malformed(FileProblem::new("`private_key` does not sign"))
                })?;
                self.services.of_service_account(key, &assertion).await?
            }
            GoogleIdentity::User { client_id, client_secret, refresh_token } => {
                self.services.of_user(client_id, client_secret, refresh_token).await?
            }
        };
        match file.acts_as {
            Some(other) => {
                let account = "the service account that the file names";
                self.services.act_as(account, other.url, &other.delegates, grant.token).await
            }
            None => Ok(grant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_googles_registries_are_google() {
        for (host, is) in [
            ("gcr.io", true),
            ("eu.gcr.io", true),
            ("us-docker.pkg.dev", true),
            ("us-docker.pkg.dev:443", true),
            ("docker.pkg.dev", true),
            ("container.cloud.google.com", true),
            ("google.com", false),
            ("sites.google.com", false),
            ("evil.container.cloud.google.com", false),
            ("pkg.dev", false),
            ("evilgcr.io", false),
            ("gcr.io.example", false),
            ("us-docker.pkg.dev.example", false),
            ("evilpkg.dev", false),
            ("registry.k8s.io", false),
        ] {
            assert_eq!(is_google(&host.parse().expect(host)), is, "{host}");
        }
    }
}
