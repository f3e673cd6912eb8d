//! What can go wrong with a proxy.

use std::{error::Error as StdError, io, time::Duration};

use http::StatusCode;

use super::Proxy;
use crate::{
    Authority,
    causes::{BoxError, NoConnection, cause_of},
    tls_fault::{TlsCause, is_not_tls, tls_error},
};

/// A variable that names no proxy that can be used. The value is left out: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxySettingError {
    /// No URL.
    #[error("the variable {variable} is not a URL: {cause}; write http://HOST:PORT")]
    NotUrl {
        /// The variable.
        variable: &'static str,
        /// Why.
        cause: url::ParseError,
    },
    /// A URL without a host.
    #[error("the variable {variable} names no host; write http://HOST:PORT")]
    NoHost {
        /// The variable.
        variable: &'static str,
    },
    /// A proxy of another protocol.
    #[error(
        "the variable {variable} names a `{scheme}` proxy; only `http://` and `https://` are supported"
    )]
    Scheme {
        /// The variable.
        variable: &'static str,
        /// The scheme of its URL.
        scheme: Box<str>,
    },
}

/// A proxy that made no connection to the target. `Display` includes the cause.
#[derive(Debug, thiserror::Error)]
#[error("proxy {proxy}: {fault}")]
pub struct ProxyError {
    proxy: Authority,
    fault: ProxyFault,
}

/// Why a proxy made no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyFault {
    #[error(
        "407 Proxy Authentication Required; put the user and the password into {variable}={scheme}://USER:PASSWORD@HOST:PORT"
    )]
    Unauthenticated { variable: &'static str, scheme: &'static str },
    #[error(
        "407 Proxy Authentication Required: the proxy rejected the user or the password in {variable}; correct them"
    )]
    Rejected { variable: &'static str },
    #[error("{status} in response to CONNECT {target}")]
    Status { status: StatusCode, target: Box<str> },
    #[error("{}", NoConnection(&**cause))]
    Connect { cause: BoxError },
    #[error("TLS failed: {}", TlsCause(&**cause))]
    Tls { cause: BoxError },
    #[error("it does not speak TLS; write http://HOST:PORT in {variable}")]
    NotTls { variable: &'static str },
    #[error("the connection broke before the response to CONNECT: {0}")]
    Broken(io::Error),
    #[error("no response to CONNECT within {0:?}")]
    TimedOut(Duration),
    #[error("its response to CONNECT is not HTTP; check that {variable} names an HTTP proxy")]
    Malformed { variable: &'static str },
}

impl ProxyError {
    pub(crate) fn new(proxy: &Proxy, fault: ProxyFault) -> Self {
        Self { proxy: proxy.authority.clone(), fault }
    }

    /// No connection.
    pub(super) fn no_connection(proxy: &Proxy, cause: BoxError) -> Self {
        let fault = match () {
            () if is_not_tls(&*cause) => ProxyFault::NotTls { variable: proxy.variable },
            () if tls_error(&*cause).is_some() => ProxyFault::Tls { cause },
            () => ProxyFault::Connect { cause },
        };
        Self::new(proxy, fault)
    }

    /// A response with 407.
    pub(crate) fn unauthenticated(proxy: &Proxy) -> Self {
        let variable = proxy.variable;
        let fault = match proxy.authorization {
            Some(_) => ProxyFault::Rejected { variable },
            None => ProxyFault::Unauthenticated { variable, scheme: proxy.scheme },
        };
        Self::new(proxy, fault)
    }

    /// Whether the same request may well succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match &self.fault {
            ProxyFault::Connect { .. } | ProxyFault::Broken(_) | ProxyFault::TimedOut(_) => true,
            ProxyFault::Status { status, .. } => status.is_server_error(),
            ProxyFault::Unauthenticated { .. }
            | ProxyFault::Rejected { .. }
            | ProxyFault::Tls { .. }
            | ProxyFault::NotTls { .. }
            | ProxyFault::Malformed { .. } => false,
        }
    }
}

/// The error of a proxy behind an error of a connection, if it is one.
pub(crate) fn proxy_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ProxyError> {
    cause_of(error)
}
