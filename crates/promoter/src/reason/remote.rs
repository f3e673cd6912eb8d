//! Failures of registries and of transfers as reasons: their codes, and how failures of the same cause are recognized.

use std::{
    mem::{Discriminant, discriminant},
    sync::Arc,
};

use http::StatusCode;
use registry_client::{RequestFault, TransportError};
use transfer::{DestinationError, SourceError};

use super::ReasonCode;

/// What a registry did, or how a transfer failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A request to a registry failed.
    #[error(transparent)]
    Registry(Arc<registry_client::Error>),
    /// Content could not be copied.
    #[error(transparent)]
    Transfer(transfer::Error),
}

/// What two failures of one cause share: the host, and how it failed; not what was requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RemoteCause {
    code: ReasonCode,
    /// The host of the URL or repository.
    host: Option<String>,
    fault: Option<Discriminant<RequestFault>>,
    transport: Option<Discriminant<TransportError>>,
    status: Option<StatusCode>,
    /// The codes of the error body.
    error_codes: Vec<String>,
}

impl RemoteError {
    /// Whether the registry could not be contacted at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_unreachable(),
            Self::Transfer(error) => error.is_unreachable(),
        }
    }

    /// The code of the failure.
    pub(crate) fn code(&self) -> ReasonCode {
        match self {
            Self::Registry(error) => registry_code(error),
            Self::Transfer(transfer::Error::Source(error)) => source_code(error),
            Self::Transfer(transfer::Error::Destination(error)) => destination_code(error),
            Self::Transfer(_) => ReasonCode::TransferFailed,
        }
    }

    /// What it has in common with other failures of the same cause.
    pub(crate) fn cause(&self) -> RemoteCause {
        let registry = match self {
            Self::Registry(error) => Some(&**error),
            Self::Transfer(error) => error.of_registry(),
        };
        let fault = registry.map(|error| decisive(error).fault());
        let error_codes = match fault {
            Some(RequestFault::Status { body, .. }) => {
                body.errors.iter().map(|entry| entry.code.clone()).collect()
            }
            _ => Vec::new(),
        };
        let transport = match fault {
            Some(RequestFault::Transport(error)) => Some(discriminant(error)),
            _ => None,
        };
        RemoteCause {
            code: self.code(),
            host: registry.map_or_else(|| self.repository_host(), |error| Some(url_host(error))),
            fault: fault.map(discriminant),
            transport,
            status: registry.and_then(registry_client::Error::status),
            error_codes,
        }
    }

    /// The host of the repository that a transfer concerns.
    fn repository_host(&self) -> Option<String> {
        let Self::Transfer(error) = self else { return None };
        let repository = match error {
            transfer::Error::Source(error) => match &**error {
                SourceError::Missing { repository, .. }
                | SourceError::Read { repository, .. }
                | SourceError::Manifest { repository, .. }
                | SourceError::Size { repository, .. }
                | SourceError::TooLarge { repository, .. } => repository,
                _ => return None,
            },
            transfer::Error::Destination(error) => match &**error {
                DestinationError::Registry { destination, .. }
                | DestinationError::Store { destination, .. }
                | DestinationError::Lags { destination, .. }
                | DestinationError::Aborted { destination, .. } => destination,
                _ => return None,
            },
            _ => return None,
        };
        Some(repository.split('/').next().unwrap_or_default().to_owned())
    }
}

impl From<registry_client::Error> for RemoteError {
    fn from(error: registry_client::Error) -> Self {
        Self::Registry(Arc::new(error))
    }
}

impl From<Arc<registry_client::Error>> for RemoteError {
    fn from(error: Arc<registry_client::Error>) -> Self {
        Self::Registry(error)
    }
}

impl From<transfer::Error> for RemoteError {
    fn from(error: transfer::Error) -> Self {
        Self::Transfer(error)
    }
}

/// The request that decides: if a referrer was stored but could not be listed, the one that should list it.
fn decisive(error: &registry_client::Error) -> &registry_client::Error {
    match error.fault() {
        RequestFault::NotListed { cause, .. } => decisive(cause),
        _ => error,
    }
}

fn url_host(error: &registry_client::Error) -> String {
    let url = error.url().to_string();
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

fn registry_code(error: &registry_client::Error) -> ReasonCode {
    if error.is_unreachable() {
        return ReasonCode::Unreachable;
    }
    if error.is_login_rejected() {
        return ReasonCode::LoginRejected;
    }
    if error.is_throttled() {
        return ReasonCode::Throttled;
    }
    let fault = decisive(error).fault();
    match fault {
        RequestFault::Status { status, .. } => match *status {
            StatusCode::UNAUTHORIZED => ReasonCode::AuthenticationRequired,
            StatusCode::FORBIDDEN => ReasonCode::Denied,
            StatusCode::NOT_FOUND => ReasonCode::NotFound,
            _ => ReasonCode::RegistryError,
        },
        RequestFault::Transport(_) | RequestFault::NotCommitted { .. } => {
            ReasonCode::TransferFailed
        }
        RequestFault::Token { .. } | RequestFault::NoToken | RequestFault::Credentials { .. } => {
            ReasonCode::CredentialsUnavailable
        }
        RequestFault::RedirectedNotFound { .. } | RequestFault::ListedNotFound => {
            ReasonCode::NotFound
        }
        RequestFault::StaleTag => ReasonCode::TagUnreadable,
        RequestFault::LostRace { .. } => ReasonCode::LostRace,
        RequestFault::DigestMismatch { .. } => ReasonCode::DigestMismatch,
        RequestFault::Damaged { .. } | RequestFault::OtherLength { .. } => ReasonCode::SizeMismatch,
        RequestFault::Schema1 => ReasonCode::UnsupportedManifest,
        _ => ReasonCode::InvalidResponse,
    }
}

fn source_code(error: &SourceError) -> ReasonCode {
    match error {
        SourceError::Missing { .. } => ReasonCode::NotFound,
        SourceError::Read { cause, .. } => registry_code(cause),
        SourceError::Manifest { .. } => ReasonCode::UnsupportedManifest,
        SourceError::Size { .. } => ReasonCode::SizeMismatch,
        SourceError::TooLarge { .. } => ReasonCode::ImageTooLarge,
        _ => ReasonCode::TransferFailed,
    }
}

fn destination_code(error: &DestinationError) -> ReasonCode {
    match error {
        DestinationError::Registry { cause, .. } => registry_code(cause),
        DestinationError::Lags { .. } => ReasonCode::SlowDestination,
        DestinationError::Aborted { .. } => ReasonCode::SourceFailed,
        _ => ReasonCode::TransferFailed,
    }
}
