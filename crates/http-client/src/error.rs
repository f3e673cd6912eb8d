//! What can go wrong on the way to a server and back, in words for people: one line each, causes included.
//!
//! Not here: which request it was, and what its response means.

use std::{error::Error as StdError, io, net::IpAddr, sync::Arc, time::Duration};

use hyper_util::client::legacy;

use crate::{
    causes::{BoxError, Causes, NoConnection, is_out_of_descriptors},
    guard::{NotPublic, not_public},
    proxy::{ProxyError, proxy_error},
    tls_fault::{TlsCause, is_alert, is_not_tls},
    unprocessed::{Unprocessed, unprocessed},
};

/// Why an exchange with a server broke off, or never began. `Display` includes the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A public host named one that only we can reach, and that was not allowed.
    #[error(
        "a public host points to the private address {address}; allow its host with `--allow-private`"
    )]
    NotPublic {
        /// The address.
        address: IpAddr,
    },
    /// A public host named one that by its name is of this network, and that was not allowed.
    #[error("a public host points to the private name `{name}`; allow it with `--allow-private`")]
    NotPublicName {
        /// The name.
        name: Box<str>,
    },
    /// A proxy made no connection to the host.
    #[error("{}", Causes(&**cause))]
    Proxy {
        /// What the proxy did.
        cause: BoxError,
    },
    /// A URL that cannot be requested.
    #[error("the URL cannot be used: {cause}")]
    BadUrl {
        /// Why.
        cause: http::uri::InvalidUri,
    },
    /// No connection: name resolution, refusal, no route, or too long.
    #[error("{}", NoConnection(&**cause))]
    Connect {
        /// Why.
        cause: BoxError,
    },
    /// No connection, and that is this machine's fault: too many files are open.
    #[error(
        "cannot connect, because this process has too many files open: {}; raise `ulimit -n`",
        Causes(&**cause)
    )]
    NoDescriptors {
        /// Why.
        cause: BoxError,
    },
    /// A connection, but no TLS on it, such as for a certificate that is not trusted.
    #[error("TLS failed: {}", TlsCause(&**cause))]
    Tls {
        /// Why.
        cause: BoxError,
    },
    /// TLS was spoken to a port that does not speak it.
    #[error("this port speaks plain HTTP; use --plain-http {host}")]
    SpeaksPlain {
        /// The host.
        host: Box<str>,
    },
    /// The same for a host that was named for TLS.
    #[error("this port speaks plain HTTP; leave out --tls {host}")]
    NamedForTls {
        /// The host.
        host: Box<str>,
    },
    /// Plain HTTP was spoken to a port that speaks TLS.
    #[error("this port speaks TLS; leave out --plain-http {host}")]
    SpeaksTls {
        /// The host.
        host: Box<str>,
    },
    /// TLS was not even tried.
    #[error(
        "TLS cannot be used, because this machine has no root certificates; install the package ca-certificates, or name a file of certificates in SSL_CERT_FILE"
    )]
    NoRootCertificates,
    /// No headers of a response within the deadline.
    #[error("no response within {after:?}")]
    NoResponse {
        /// The deadline.
        after: Duration,
    },
    /// The connection broke before the response was complete.
    #[error("the connection broke after {received} bytes of the response: {}", Causes(&**cause))]
    Lost {
        /// How much of the body had come.
        received: u64,
        /// Why.
        cause: BoxError,
    },
    /// A response that is not HTTP as it should be, such as one with a malformed header.
    #[error("the response is not valid HTTP: {}", Causes(&**cause))]
    Malformed {
        /// What is wrong with it.
        cause: BoxError,
    },
    /// The server has certainly not processed the request.
    #[error("{reason}")]
    NotProcessed {
        /// Why not.
        reason: Unprocessed,
    },
    /// The connection ended before as many bytes had come as announced.
    #[error("the response ended after {received} of {expected} bytes")]
    Truncated {
        /// The announced length of the body.
        expected: u64,
        /// How much of it came.
        received: u64,
    },
    /// The body of the response stopped.
    #[error("no data for {after:?} after {received} bytes of the response")]
    Silent {
        /// How long was waited.
        after: Duration,
        /// How much of the body had come.
        received: u64,
    },
    /// The body of the response came below the least rate.
    #[error("transfer too slow: {received} bytes in {} s (minimum {} KiB/s)", after.as_secs(), least >> 10)]
    CameTooSlowly {
        /// How much of the body came in that time.
        received: u64,
        /// How long was waited for it.
        after: Duration,
        /// The least rate, in bytes a second.
        least: u64,
    },
    /// The registry took the content below the least rate.
    #[error("transfer too slow: {sent} bytes sent in {} s (minimum {} KiB/s)", after.as_secs(), least >> 10)]
    TakenTooSlowly {
        /// How much of the content was taken in that time.
        sent: u64,
        /// How long was waited for it.
        after: Duration,
        /// The least rate, in bytes a second.
        least: u64,
    },
    /// A body that is held in memory took too long in all.
    #[error("the response was incomplete after {after:?}: {received} bytes had arrived")]
    TooSlow {
        /// How long it was given.
        after: Duration,
        /// How much of the body had come.
        received: u64,
    },
    /// The server has all of the content, and did not respond to it.
    #[error("no response within {after:?} after all of the content was sent")]
    NoResponseToContent {
        /// How long was waited.
        after: Duration,
    },
    /// The registry stopped taking the content.
    #[error("no progress for {after:?}, after {sent} bytes were sent")]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// How much of the content had been handed to the connection.
        sent: u64,
    },
    /// A response that is longer than a limit.
    #[error("the response is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The caller's stream failed to provide the content to be sent.
    #[error("the content broke off after {sent} bytes: {}", Causes(&**cause))]
    Content {
        /// How much of it had been handed to the connection.
        sent: u64,
        /// The error of the stream.
        cause: Arc<dyn StdError + Send + Sync>,
    },
}

impl TransportError {
    /// What a failure before the headers of the response was.
    pub(crate) fn before_headers(error: legacy::Error) -> Self {
        let source = error.source();
        // The TCP connector has an error type of its own; what is plain I/O comes from the handshake.
        let in_handshake = source.and_then(|source| source.downcast_ref::<io::Error>());
        // A connection that breaks meanwhile says nothing of TLS: it is what balancers do that change over.
        let inner =
            in_handshake.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let is_tls = in_handshake.is_some_and(|error| is_refused(inner.unwrap_or(error)));
        if let Some(NotPublic(address)) = not_public(&error) {
            return Self::NotPublic { address };
        }
        if proxy_error(&error).is_some() && !is_out_of_descriptors(&error) {
            return Self::Proxy { cause: error.into() };
        }
        if error.is_connect() && is_out_of_descriptors(&error) {
            return Self::NoDescriptors { cause: error.into() };
        }
        if let Some(reason) = unprocessed(&error) {
            return Self::NotProcessed { reason };
        }
        if !error.is_connect() && is_malformed(&error) {
            return Self::Malformed { cause: error.into() };
        }
        let is_tls = is_tls || is_alert(&error);
        match (error.is_connect(), is_tls) {
            (true, false) => Self::Connect { cause: error.into() },
            (_, true) => Self::Tls { cause: error.into() },
            (false, false) => Self::Lost { received: 0, cause: error.into() },
        }
    }

    /// The error of the connection that is behind this one, if there is one. `Display` includes it.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Connect { cause }
            | Self::NoDescriptors { cause }
            | Self::Tls { cause }
            | Self::Proxy { cause }
            | Self::Malformed { cause }
            | Self::Lost { cause, .. } => Some(&**cause),
            _ => None,
        }
    }

    /// Whether TLS failed since the other side responded by something that is not TLS.
    #[must_use]
    pub fn is_not_tls(&self) -> bool {
        matches!(self, Self::Tls { cause } if is_not_tls(&**cause))
    }

    /// Whether a proxy failed in a way that may pass.
    pub(crate) fn is_transient_of_proxy(&self) -> bool {
        let Self::Proxy { cause } = self else { return false };
        proxy_error(&**cause).is_some_and(ProxyError::is_transient)
    }

    /// Whether there was no exchange at all: the name, the connection, TLS, or silence until the deadline. Not so
    /// where this machine is at fault, having too many files open.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Proxy { .. }
                | Self::Tls { .. }
                | Self::SpeaksPlain { .. }
                | Self::NamedForTls { .. }
                | Self::SpeaksTls { .. }
                | Self::NoRootCertificates
                | Self::NoResponse { .. }
        )
    }
}

/// Whether the head of a response cannot be read.
fn is_malformed(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        cause = error.source();
    }
    false
}
