//! The credentials of a registry host, from the sources of `docs/reference/credentials.md`: files of docker and podman, credential
//! helpers, and Google's identities.
//!
//! Not here: challenges of registries, and the tokens that registries give for credentials. The crate imports
//! `http-client`, and `oci` for registry hosts and repositories.

mod cache;
mod docker_config;
mod error;
mod file;
mod found;
mod google;
mod helper;
mod http;
mod secret;
mod server_name;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_client::Pool;
use oci::{Host, Repository};

pub use crate::{
    cache::{CacheEntry, FetchError, FromCache, Lifetime, TokenCache},
    docker_config::DockerConfig,
    error::{CredentialError, FileProblem, HelperFault, first_line},
    file::without_mark,
    found::{CredentialSource, FoundCredential},
    google::{Google, is_google},
    http::{ServiceError, ServiceFault},
    secret::{Secret, hide, secrets_in},
};
use crate::{
    docker_config::server_of, file::CredentialFile, google::GoogleTokens, helper::Helpers,
    http::Http, server_name::other_name,
};

/// How long a credential helper may take: it may query a service, or wait for the user's fingerprint.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);

/// The credentials of a user at a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// User and password, as `Basic` sends them.
    Basic {
        /// The user.
        user: String,
        /// The password, or a token in its place.
        password: Secret,
    },
    /// An identity token, for which the registry's realm gives access tokens (`grant_type=refresh_token`).
    Identity(Secret),
    /// An identity token with user and password beside it, for realms that take no `POST`.
    IdentityOrBasic {
        /// The identity token.
        token: Secret,
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that is sent to the registry as it is, as `Bearer`.
    Token(Secret),
}

/// The credentials of registries. Sources are read when credentials are first needed, and their
/// results are cached until they are forgotten. All clones share them.
#[derive(Clone)]
pub struct Credentials(Arc<CredentialSources>);

struct CredentialSources {
    fixed: HashMap<Box<str>, Credential>,
    files: Vec<CredentialFile>,
    configurations: CacheEntry<Arc<[Configuration]>, CredentialError>,
    helpers: Helpers,
    from_helpers: HelperCache,
    acting: Option<GoogleTokens>,
    google: Option<GoogleTokens>,
    http: Arc<Http>,
}

/// The credentials of helpers, by helper and server.
type HelperCache = TokenCache<(Box<str>, Box<str>), Option<Credential>, CredentialError>;

/// A configuration file that was read.
struct Configuration {
    file: PathBuf,
    config: DockerConfig,
}

/// Where credentials come from: in the order given, but fixed ones first and Google's last.
#[derive(Debug)]
#[must_use = "settings do nothing until `build`"]
pub struct CredentialsBuilder {
    fixed: HashMap<Box<str>, Credential>,
    files: Vec<CredentialFile>,
    helpers: Helpers,
    acting: Option<Google>,
    google: Option<Google>,
    service_deadline: Duration,
}

impl CredentialsBuilder {
    /// Credentials of a host, whatever the other sources say.
    pub fn with(mut self, host: &Host, credential: Credential) -> Self {
        self.fixed.insert(host.as_str().into(), credential);
        self
    }

    /// A configuration file of docker or podman that the user named, and that must exist.
    pub fn named_config(mut self, path: PathBuf) -> Self {
        self.files.push(CredentialFile::Named(path));
        self
    }

    /// A configuration file of docker or podman where it usually is.
    pub fn usual_config(mut self, path: PathBuf) -> Self {
        self.files.push(CredentialFile::Usual(path));
        self
    }

    /// Looks for credential helpers in these directories. Default: the `PATH` of this process.
    pub fn helper_directories(mut self, directories: Vec<PathBuf>) -> Self {
        self.helpers.directories = Some(directories);
        self
    }

    /// How long a credential helper may take. Default: 30 s.
    pub fn helper_deadline(mut self, deadline: Duration) -> Self {
        self.helpers.deadline = deadline;
        self
    }

    /// How long one response of a service that issues tokens may take. Default: 10 s.
    pub fn service_deadline(mut self, deadline: Duration) -> Self {
        self.service_deadline = deadline;
        self
    }

    /// The service account at Google's registries, by its key or by impersonation. It precedes all sources except
    /// fixed credentials; where it gives no token, the other sources are used.
    pub fn acting(mut self, google: Google) -> Self {
        self.acting = Some(google);
        self
    }

    /// Google's ambient credentials, for Google's registries.
    pub fn google(mut self, google: Google) -> Self {
        self.google = Some(google);
        self
    }

    /// The credentials. Nothing is read yet.
    #[must_use]
    pub fn build(self) -> Credentials {
        let http = Arc::new(Http::new(self.service_deadline));
        Credentials(Arc::new(CredentialSources {
            fixed: self.fixed,
            files: self.files,
            configurations: CacheEntry::default(),
            helpers: self.helpers,
            from_helpers: TokenCache::default(),
            acting: self.acting.map(|google| GoogleTokens::new(google, Arc::clone(&http))),
            google: self.google.map(|google| GoogleTokens::new(google, Arc::clone(&http))),
            http,
        }))
    }
}

impl Credentials {
    /// No credentials.
    #[must_use]
    pub fn none() -> Self {
        Self::builder().build()
    }

    /// Sources to begin with: none.
    pub fn builder() -> CredentialsBuilder {
        CredentialsBuilder {
            fixed: HashMap::new(),
            files: Vec::new(),
            helpers: Helpers { directories: None, deadline: HELPER_DEADLINE },
            acting: None,
            google: None,
            service_deadline: http::DEADLINE,
        }
    }

    /// The credentials for a repository, or for a host as a whole; none where no source has any.
    ///
    /// # Errors
    /// When a source fails: the next one is not used in its place.
    pub async fn get(
        &self,
        host: &Host,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, CredentialError> {
        Ok(self.find(host, repository).await?.map(|found| found.credential))
    }

    /// The same, and where they come from.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn find(
        &self,
        host: &Host,
        repository: Option<&Repository>,
    ) -> Result<Option<FoundCredential>, CredentialError> {
        let from = |source| move |credential| FoundCredential { credential, source };
        let fixed = |host: &Host| self.0.fixed.get(host.as_str());
        if let Some(credential) = fixed(host).or_else(|| fixed(&other_name(host)?)) {
            return Ok(Some(from(CredentialSource::Caller)(credential.clone())));
        }
        if let Some(acting) = &self.0.acting
            && is_google(host)
            && let Some(credential) = acting.get().await?
        {
            return Ok(Some(from(CredentialSource::Google)(credential)));
        }
        let configurations = self.0.configurations.get(|| self.0.read()).await?.value;
        for configuration in &*configurations {
            if let Some(found) = self.0.configured(configuration, host, repository).await? {
                return Ok(Some(found));
            }
        }
        match &self.0.google {
            Some(google) if is_google(host) => {
                Ok(google.get().await?.map(from(CredentialSource::Google)))
            }
            _ => Ok(None),
        }
    }

    /// Sends requests to Google's servers by the connections of `pool`, with its certificates and settings, unless
    /// there are other ones already: those of the first client that uses these credentials.
    pub fn connect_by(&self, pool: &Arc<Pool>) {
        self.0.http.connect_by(pool);
    }

    /// Where credentials for `host` were looked for, in words: the files, and what the metadata server responded.
    #[must_use]
    pub fn looked_in(&self, host: &Host) -> String {
        let google = self.0.google.as_ref().filter(|_| is_google(host));
        match google.and_then(GoogleTokens::failure) {
            Some(failure) => format!("{}; Google's metadata server: {failure}", self.files()),
            None => self.files(),
        }
    }

    /// The files that are read when credentials are needed, whether or not they exist.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let google = self.0.acting.iter().chain(&self.0.google).flat_map(GoogleTokens::paths);
        self.0.files.iter().map(CredentialFile::path).chain(google)
    }

    fn files(&self) -> String {
        let files: Vec<_> =
            self.0.files.iter().map(|source| source.path().display().to_string()).collect();
        match &files[..] {
            [] => "no file of credentials is set".to_owned(),
            files => format!("looked in {}", files.join(" and ")),
        }
    }

    /// Forgets credentials that the registry refused: the sources are read again when they are next needed.
    pub fn forget(&self, host: &Host) {
        self.0.configurations.forget();
        let other = other_name(host);
        let servers = [Some(host), other.as_ref()].map(|host| host.map(server_of));
        self.0.from_helpers.forget(|(_, of)| servers.contains(&Some(&**of)));
        if is_google(host) {
            for google in self.0.acting.iter().chain(&self.0.google) {
                google.forget();
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl CredentialSources {
    /// The configuration files that are there.
    async fn read(&self) -> Result<(Arc<[Configuration]>, Lifetime), CredentialError> {
        let mut configurations = Vec::new();
        for source in &self.files {
            if let Some(bytes) = source.read().await? {
                let config =
                    DockerConfig::parse(&bytes).map_err(|problem| source.malformed(problem))?;
                configurations.push(Configuration { file: source.path().to_owned(), config });
            }
        }
        Ok((configurations.into(), Lifetime::UNLIMITED))
    }

    /// What a configuration has: for a path that leads to the repository; else a helper's, for the host; else
    /// the file's own, for the host.
    async fn configured(
        &self,
        Configuration { file, config }: &Configuration,
        host: &Host,
        repository: Option<&Repository>,
    ) -> Result<Option<FoundCredential>, CredentialError> {
        let own = |credential| FoundCredential {
            credential,
            source: CredentialSource::File(file.clone()),
        };
        let malformed = |problem| CredentialError::Malformed { file: file.clone(), problem };
        if let Some(credential) = config.of_path(host, repository).map_err(malformed)? {
            return Ok(Some(own(credential)));
        }
        if let Some(helper) = config.helper(host).map_err(malformed)? {
            for server in config.servers(host) {
                if let Some(credential) = self.credential_of(helper, &server, file).await? {
                    let (name, file) = (helper.into(), file.clone());
                    let source = CredentialSource::Helper { name, file };
                    return Ok(Some(FoundCredential { credential, source }));
                }
            }
        }
        Ok(config.of_host(host).map_err(malformed)?.map(own))
    }

    /// What a helper that `file` names has for a server.
    async fn credential_of(
        &self,
        helper: &str,
        server: &str,
        file: &Path,
    ) -> Result<Option<Credential>, CredentialError> {
        let fetch = || async {
            let found = self.helpers.get(helper, server).await;
            found.map(|credential| (credential, Lifetime::UNLIMITED)).map_err(|fault| {
                let (helper, server, file) = (helper.into(), server.into(), file.to_owned());
                CredentialError::Helper { helper, server, file, fault }
            })
        };
        let entry = self.from_helpers.entry((helper.into(), server.into()));
        Ok(entry.get(fetch).await?.value)
    }
}
