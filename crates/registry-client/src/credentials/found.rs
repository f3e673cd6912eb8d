//! Credentials that were found, and where.

use std::{fmt, path::PathBuf};

use oci::Host;

use super::Credential;

/// Credentials, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) credential: Credential,
    pub(crate) source: Origin,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The caller gave them.
    Caller,
    /// A configuration file.
    File(PathBuf),
    /// A helper, and the configuration file that names it.
    Helper { name: Box<str>, file: PathBuf },
    /// Google's key, login or metadata server.
    Google,
}

impl Origin {
    /// What to do where credentials for `host` from there are rejected.
    pub(crate) fn correction(&self, host: &Host) -> String {
        match self {
            Self::Caller => "correct the settings".to_owned(),
            Self::File(_) => format!("run `docker login {host}`, or correct that file"),
            Self::Helper { .. } => format!("run `docker login {host}`"),
            Self::Google => "check which account Google's credentials are of".to_owned(),
        }
    }
}

impl fmt::Display for Origin {
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
