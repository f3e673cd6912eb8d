//! Causes of failures in words, as reports print them.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use oci::{RegistryPrefix, Repository, Tag};
use wording::{Chain, counted};

use crate::{FailedContent, FailureCause, FailureCode};

impl Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted; run again to continue"),
            Self::NoTags { prefix } => {
                write!(f, "no repository with tags at or below {prefix}; check the prefix")
            }
            Self::RepositoriesUnknown { prefix, error } => unlisted(f, self.code(), prefix, error),
            Self::InvalidRepositoryName { name } => invalid::<Repository>(f, "repository", name),
            Self::InvalidTagName { name } => invalid::<Tag>(f, "tag", name),
            Self::TagsNotListed { error } => write!(f, "cannot list its tags: {}", Chain(&**error)),
            Self::RegistryUnreachable { host, tags, error } => {
                match tags {
                    0 => f.write_str("cannot list its tags")?,
                    tags => write!(f, "{} not mirrored", counted(*tags, "tag"))?,
                }
                write!(f, ": {host} does not respond ({})", Chain(&**error))
            }
            Self::TagNotResolved { error } => {
                write!(f, "it cannot be resolved: {}", Chain(&**error))
            }
            Self::TagIncomplete(failed) => write!(f, "it is incomplete: {failed}"),
            Self::TagTooLarge(bound) => write!(f, "it is refused: it reaches {bound}"),
            Self::NotCopied(error) => Chain(error).fmt(f),
            Self::InvalidManifest(error) => Chain(&**error).fmt(f),
            Self::NotStored(error) => Chain(&**error).fmt(f),
            Self::StoreUnwritable { store, error } => {
                write!(f, "{store} cannot be written to: {}", Chain(&**error))
            }
        }
    }
}

impl Display for FailedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what_failed = match self.code {
            FailureCode::ContentMissing => "is missing from the registry",
            FailureCode::ContentUnreadable => "could not be read",
            FailureCode::ContentInvalid => "is corrupt or malformed at the registry",
            _ => "could not be stored",
        };
        write!(f, "{} {what_failed}", self.content)
    }
}

/// Why a listed name that is not a `T` was not mirrored. It may have any characters, so they are escaped.
fn invalid<T: FromStr<Err: Display>>(
    f: &mut fmt::Formatter<'_>,
    noun: &str,
    name: &str,
) -> fmt::Result {
    write!(f, "the listed {noun} `{}` is skipped: the name is invalid", name.escape_debug())?;
    if let Err(error) = name.parse::<T>() {
        write!(f, ": {error}")?;
    }
    f.write_str("; rename or delete it")
}

fn unlisted(
    f: &mut fmt::Formatter<'_>,
    code: FailureCode,
    prefix: &RegistryPrefix,
    error: &registry_client::Error,
) -> fmt::Result {
    let (host, error) = (&prefix.host, Chain(error));
    write!(f, "cannot list the repositories below {prefix}")?;
    match code {
        FailureCode::LoginRejected => write!(f, ": the login failed: {error}"),
        FailureCode::LoginRequired => write!(
            f,
            ": {host} requires a login for it ({error}); run `docker login {host}`, or use a \
             repository as the prefix"
        ),
        FailureCode::CatalogNotOffered => write!(
            f,
            ": {host} has no list of repositories ({error}); use a repository as the prefix"
        ),
        _ => write!(f, ": {error}"),
    }
}
