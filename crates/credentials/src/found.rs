//! Credentials that were found, and where.

use std::{fmt, path::PathBuf};

use oci::Host;

use crate::Credential;

/// Credentials, and where they come from.
#[derive(Clone, Debug)]
pub struct FoundCredential {
    /// What is sent.
    pub credential: Credential,
    /// Where it was found.
    pub source: CredentialSource,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// The caller gave them.
    Caller,
    /// A configuration file.
    File(PathBuf),
    /// A helper, and the configuration file that names it.
    Helper {
        /// Its name, without `docker-credential-`.
        name: Box<str>,
        /// The configuration file that names it.
        file: PathBuf,
    },
    /// Google's key, login or metadata server.
    Google,
}

impl CredentialSource {
    /// What to do where credentials for `host` from there are rejected.
    #[must_use]
    pub fn correction(&self, host: &Host) -> String {
        match self {
            Self::Caller => "correct the settings".to_owned(),
            Self::File(_) => format!("run `docker login {host}`, or correct that file"),
            Self::Helper { .. } => format!("run `docker login {host}`"),
            Self::Google => "check which account Google's credentials are of".to_owned(),
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller => f.write_str("the settings"),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Helper { name, file } => {
                write!(f, "docker-credential-{name}, which {} names,", file.display())
            }
            Self::Google => f.write_str("Google"),
        }
    }
}
