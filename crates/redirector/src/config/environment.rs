//! The environment variables that archeio reads, and one of our own, as overrides of the built-in configuration. Reading
//! the environment itself is the caller's business: this is a function of values.

use super::{Config, ConfigError, ConfigProblem, Serves, values};

/// The values of the variables, as far as they are set. What each overrides is in
/// `docs/reference/configuration.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentOverrides {
    /// `PORTOLAN_ADMIN`
    pub admin: Option<String>,
    /// `PORT`
    pub port: Option<String>,
    /// `UPSTREAM_REGISTRY_ENDPOINT`
    pub upstream_endpoint: Option<String>,
    /// `UPSTREAM_REGISTRY_PATH`; empty: repositories lie at the root
    pub upstream_path: Option<String>,
    /// `SIGNATURE_UPSTREAM_ENDPOINT`
    pub signature_endpoint: Option<String>,
    /// `DEFAULT_AWS_BASE_URL`
    pub default_base_url: Option<String>,
}

impl Config {
    /// This configuration with the variables' values in place of its own.
    ///
    /// # Errors
    /// Names each variable whose value makes no sense.
    pub fn with_environment(
        mut self,
        variables: &EnvironmentOverrides,
    ) -> Result<Self, ConfigError> {
        let mut read = Read::default();
        // The canonical upstream is the upstream unless it is named on its own.
        let follows = self.canonical_upstream == self.upstream;
        if let Some(port) = read.value("PORT", &variables.port, values::port) {
            self.listen.set_port(port);
        }
        if let Some(admin) = read.value("PORTOLAN_ADMIN", &variables.admin, values::address) {
            self.admin = Some(admin);
        }
        let endpoint = &variables.upstream_endpoint;
        if let Some(url) = read.value("UPSTREAM_REGISTRY_ENDPOINT", endpoint, values::endpoint) {
            self.upstream.endpoint = url;
        }
        // archeio joins the path with slashes of its own, so that more of them do no harm.
        let path = variables.upstream_path.as_deref().map(|path| path.trim_matches('/').to_owned());
        if path.is_some() {
            self.upstream.path = read.value("UPSTREAM_REGISTRY_PATH", &path, values::repository);
        }
        if follows {
            self.canonical_upstream = self.upstream.clone();
        } else if variables.upstream_path.is_some() {
            self.canonical_upstream.path.clone_from(&self.upstream.path);
        }
        let endpoint = &variables.signature_endpoint;
        if let Some(url) = read.value("SIGNATURE_UPSTREAM_ENDPOINT", endpoint, values::endpoint) {
            self.canonical_upstream.endpoint = url;
        }
        if let Some(url) =
            read.value("DEFAULT_AWS_BASE_URL", &variables.default_base_url, values::base)
        {
            let all_clients = |serves: &Serves| serves.cloud == Serves::ALL_CLIENTS;
            let defaults =
                self.stores.iter_mut().filter(|store| store.serves.iter().any(all_clients));
            defaults.for_each(|store| store.url = url.clone());
        }
        if read.problems.is_empty() {
            Ok(self)
        } else {
            Err(ConfigError { problems: read.problems })
        }
    }
}

#[derive(Default)]
struct Read {
    problems: Vec<ConfigProblem>,
}

impl Read {
    fn value<T>(
        &mut self,
        name: &str,
        text: &Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        let refused = |message| {
            self.problems.push(ConfigProblem { source: name.to_owned(), position: None, message });
        };
        parse(text).map_err(refused).ok()
    }
}
