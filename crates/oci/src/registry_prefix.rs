//! Registry prefixes: a host with an optional path below which repositories lie, such as
//! `us-docker.pkg.dev/prod/images`.
//!
//! Source: the registry `name` of promotion manifests.

use std::{fmt, str::FromStr};

use crate::{Host, HostError, Repository, RepositoryError, shown::shown};

/// A registry host with the path below which its repositories lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryPrefix {
    /// The host of the registry.
    pub host: Host,
    /// The path before every repository name; none when repositories lie at the root.
    pub path: Option<Repository>,
}

impl RegistryPrefix {
    /// The full repository name of image `name` below this prefix.
    ///
    /// # Errors
    /// When path and name together are too long for a repository.
    pub fn repository(&self, name: &Repository) -> Result<Repository, RepositoryError> {
        match &self.path {
            Some(path) => path.join(name),
            None => Ok(self.host.repository(name)),
        }
    }

    /// What of `repository` lies below this prefix: on a path boundary, so that `prod` does not
    /// contain `prod-x`; nothing when it is outside or is the prefix itself.
    #[must_use]
    pub fn relative<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        match &self.path {
            None => Some(repository.as_str()),
            Some(path) => repository.as_str().strip_prefix(path.as_str())?.strip_prefix('/'),
        }
    }

    /// Whether a listed repository name, valid or not, is the path of this prefix or below it, on a path boundary.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.path.as_ref().is_none_or(|path| {
            let below = name.strip_prefix(path.as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    }
}

/// Why a text is not a registry prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryPrefixError {
    /// It begins with a scheme, such as `https://`.
    #[error("it is a URL; leave out `{0}`")]
    Scheme(String),
    /// It ends with `/`.
    #[error("leave out the slash at the end")]
    SlashAtEnd,
    /// It begins with `/`.
    #[error("no host before the first slash; write HOST or HOST/PATH")]
    NoHost,
    /// What is before the first `/`.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What is behind it.
    #[error("the path of the registry: {0}")]
    Path(RepositoryError),
}

impl FromStr for RegistryPrefix {
    type Err = RegistryPrefixError;

    fn from_str(text: &str) -> Result<Self, RegistryPrefixError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(RegistryPrefixError::Scheme(format!("{}://", shown(scheme))));
        }
        if text.ends_with('/') {
            return Err(RegistryPrefixError::SlashAtEnd);
        }
        if text.starts_with('/') {
            return Err(RegistryPrefixError::NoHost);
        }
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path.parse().map_err(RegistryPrefixError::Path)?)),
            None => (text, None),
        };
        Ok(Self { host: host.parse()?, path })
    }
}

impl fmt::Display for RegistryPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}/{path}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> RegistryPrefix {
        text.parse().expect(text)
    }

    #[test]
    fn hosts() {
        for (text, name, loopback) in [
            ("gcr.io", "gcr.io", false),
            ("localhost:5000", "localhost", true),
            ("127.0.0.1:1", "127.0.0.1", true),
            ("[::1]:5000", "::1", true),
            ("[::1]", "::1", true),
            ("Registry.Example", "registry.example", false),
            ("localhost.example", "localhost.example", false),
        ] {
            let host: Host = text.parse().expect(text);
            assert_eq!((host.name(), host.is_loopback()), (name, loopback));
        }
        for bad in [
            "", ":80", "a:0", "a:99999", "a:+8", "a b", "https:", "u@h", "[::g]", "a..b", "-a.b",
            "é.fr",
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_split_at_the_first_slash() {
        let both = prefix("us-docker.pkg.dev/prod/images");
        assert_eq!(both.host.as_str(), "us-docker.pkg.dev");
        assert_eq!(both.path.as_ref().map(Repository::as_str), Some("prod/images"));
        assert_eq!(both.to_string(), "us-docker.pkg.dev/prod/images");
        assert_eq!(prefix("gcr.io").path, None);
        for bad in ["", "/a", "gcr.io/", "gcr.io//a", "gcr.io/A", "https://gcr.io"] {
            assert!(bad.parse::<RegistryPrefix>().is_err(), "{bad:?}");
        }
        let error = "https://h/x".parse::<RegistryPrefix>().expect_err("a URL");
        assert_eq!(error.to_string(), "it is a URL; leave out `https://`");
        for (text, expected) in [
            ("host/prod/", "leave out the slash at the end"),
            ("host/", "leave out the slash at the end"),
            ("/prod/", "leave out the slash at the end"),
            ("/prod", "no host before the first slash; write HOST or HOST/PATH"),
            ("host//prod", "the path of the registry: leave out the slash at the beginning"),
        ] {
            let error = text.parse::<RegistryPrefix>().expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn relative_names_respect_path_boundaries() {
        let name = |text: &str| text.parse::<Repository>().expect(text);
        assert_eq!(prefix("h/prod").relative(&name("prod/a/b")), Some("a/b"));
        assert_eq!(prefix("h/prod").relative(&name("prod-x/a")), None);
        assert_eq!(prefix("h/prod").relative(&name("prod")), None);
        assert_eq!(prefix("h").relative(&name("a/b")), Some("a/b"));
        assert_eq!(prefix("h/prod").repository(&name("a/b")), Ok(name("prod/a/b")));
        assert_eq!(prefix("h").repository(&name("a")), Ok(name("a")));
    }

    #[test]
    fn a_prefix_contains_its_path_and_what_is_below_on_a_boundary() {
        let prefix = |text: &str| text.parse::<RegistryPrefix>().expect(text);
        for (text, name, is_contained) in [
            ("h", "a", true),
            ("h", "Not Valid", true),
            ("h/prod", "prod", true),
            ("h/prod", "prod/a", true),
            ("h/prod", "prod/Not Valid", true),
            ("h/prod", "prod-x", false),
            ("h/prod", "prodx/a", false),
            ("h/prod", "pro", false),
            ("h/prod", "a/prod", false),
            ("h/prod/images", "prod", false),
        ] {
            assert_eq!(prefix(text).contains(name), is_contained, "{text} {name}");
        }
    }
}
