//! Why something was not mirrored: typed, with a stable code and a kind by which equal failures are grouped.
//!
//! Not here: the words (`reason`).

use std::{error::Error, mem::Discriminant, sync::Arc};

use blob_store::ErrorKind;
use oci::{Host, ManifestError, RegistryPrefix};
use registry_client::RequestFault;
use transfer::{BoundExceeded, Content};

use crate::FailureCode;

/// Why something was not mirrored. `Display` says all of it, in words.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// The run was stopped.
    Interrupted,
    /// There is no tag at or below the prefix.
    NoTags {
        /// The prefix.
        prefix: RegistryPrefix,
    },
    /// The repositories below the prefix could not be listed.
    RepositoriesUnknown {
        /// The prefix.
        prefix: RegistryPrefix,
        /// The error of the request.
        error: Arc<registry_client::Error>,
    },
    /// The name of a listed repository is not valid.
    InvalidRepositoryName {
        /// As it is listed.
        name: String,
    },
    /// The name of a listed tag is not valid.
    InvalidTagName {
        /// As it is listed.
        name: String,
    },
    /// The tags of a repository could not be listed.
    TagsNotListed {
        /// The error of the request.
        error: Arc<registry_client::Error>,
    },
    /// The registry stopped responding.
    RegistryUnreachable {
        /// The registry.
        host: Host,
        /// How many tags of the repository were not reached; 0 if they were not listed.
        tags: u64,
        /// The request that had no response.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// The digest of a tag could not be read.
    TagNotResolved {
        /// The error of the request.
        error: Arc<registry_client::Error>,
    },
    /// Content that the tag reaches failed; another failure gives its cause.
    TagIncomplete(FailedContent),
    /// The tag reaches more than a bound allows.
    TagTooLarge(BoundExceeded),
    /// Content could not be copied.
    NotCopied(transfer::Error),
    /// A manifest is not valid.
    InvalidManifest(Arc<ManifestError>),
    /// The store failed to read or write one object.
    NotStored(Arc<blob_store::Error>),
    /// Nothing can be written to the store.
    StoreUnwritable {
        /// The store's URL.
        store: String,
        /// The error of the first write.
        error: Arc<blob_store::Error>,
    },
}

/// The content that failed first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedContent {
    /// Which content.
    pub content: Content,
    /// How it failed: one of the codes of content.
    pub code: FailureCode,
}

/// The kind of a failure: equal for failures that differ at most in what was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureKind {
    code: FailureCode,
    detail: Option<Detail>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Detail {
    Status(u16),
    Fault(Discriminant<RequestFault>),
    Store(ErrorKind),
    Content(FailureCode),
    Bound(BoundExceeded),
}

impl FailureCause {
    /// The code in reports.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Interrupted => FailureCode::Interrupted,
            Self::NoTags { .. } => FailureCode::NoTags,
            Self::RepositoriesUnknown { error, .. } => unlisted(error),
            Self::InvalidRepositoryName { .. } => FailureCode::InvalidRepositoryName,
            Self::InvalidTagName { .. } => FailureCode::InvalidTagName,
            Self::TagsNotListed { .. } => FailureCode::TagsNotListed,
            Self::RegistryUnreachable { .. } => FailureCode::Unreachable,
            Self::TagNotResolved { .. } => FailureCode::TagNotResolved,
            Self::TagIncomplete(_) => FailureCode::TagIncomplete,
            Self::TagTooLarge(_) => FailureCode::TagTooLarge,
            Self::NotCopied(error) => content_code(error),
            Self::InvalidManifest(_) => FailureCode::ContentInvalid,
            Self::NotStored(_) => FailureCode::ContentNotStored,
            Self::StoreUnwritable { .. } => FailureCode::StoreUnwritable,
        }
    }

    /// Whether both are one event, because of which several stores lack content.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        use transfer::Error::Source;
        match (self, other) {
            (Self::NotCopied(Source(one)), Self::NotCopied(Source(other))) => {
                Arc::ptr_eq(one, other)
            }
            (Self::InvalidManifest(one), Self::InvalidManifest(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Its kind: equal for failures that differ at most in what was requested.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        let detail = match self {
            Self::RepositoriesUnknown { error, .. }
            | Self::TagsNotListed { error }
            | Self::TagNotResolved { error } => Some(Detail::of_registry(error)),
            Self::TagIncomplete(failed) => Some(Detail::Content(failed.code)),
            Self::TagTooLarge(bound) => Some(Detail::Bound(*bound)),
            Self::NotCopied(error) => error
                .of_registry()
                .map(Detail::of_registry)
                .or_else(|| error.of_store().map(|error| Detail::Store(error.kind()))),
            Self::NotStored(error) | Self::StoreUnwritable { error, .. } => {
                Some(Detail::Store(error.kind()))
            }
            _ => None,
        };
        FailureKind { code: self.code(), detail }
    }
}

impl Detail {
    fn of_registry(error: &registry_client::Error) -> Self {
        let status = error.status().map(|status| Self::Status(status.as_u16()));
        status.unwrap_or_else(|| Self::Fault(std::mem::discriminant(error.fault())))
    }
}

/// The code of content that could not be copied.
fn content_code(error: &transfer::Error) -> FailureCode {
    match () {
        () if error.is_missing() => FailureCode::ContentMissing,
        () if error.is_broken() => FailureCode::ContentInvalid,
        () if error.follows_from_source() => FailureCode::ContentUnreadable,
        () => FailureCode::ContentNotStored,
    }
}

/// Whether the registry responds, but does not offer its catalogue to this client.
pub(crate) fn is_not_offered(error: &registry_client::Error) -> bool {
    error.status().is_some_and(|status| status.is_client_error()) && !error.is_transient()
}

/// The code of a failed listing of repositories.
fn unlisted(error: &registry_client::Error) -> FailureCode {
    let needs_login = error.status().is_some_and(|status| matches!(status.as_u16(), 401 | 403));
    match () {
        () if error.is_login_rejected() => FailureCode::LoginRejected,
        () if needs_login => FailureCode::LoginRequired,
        () if is_not_offered(error) => FailureCode::CatalogNotOffered,
        () => FailureCode::CatalogUnreadable,
    }
}
