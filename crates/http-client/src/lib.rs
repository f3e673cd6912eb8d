//! Outbound HTTP: connection pool, TLS roots and client certificates, address guard, timeouts, request bodies with
//! progress, and the decision whether a request is sent again.
//!
//! Not here: what a registry is, credentials, redirects, and the reading of responses. The crate imports nothing of
//! ours but `wording`.
//!
//! Source: RFC 9110 (HTTP semantics), RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2), RFC 8446 (TLS 1.3).

mod authority;
mod causes;
mod chance;
mod content;
mod error;
mod failure_class;
mod foreign;
mod guard;
mod handshake;
mod not_resolved;
mod pinned;
mod pool;
mod protocol;
mod proxy;
mod rate;
mod resolver;
mod retry;
mod tls;
mod tls_fault;
mod trusted_roots;
mod unprocessed;
mod url;

pub use crate::{
    authority::Authority,
    causes::{BoxError, Causes},
    chance::Chance,
    content::{CommitTimeout, OutgoingBody, Pieces, RequestContent, RequestTimeouts, SendProgress},
    error::TransportError,
    failure_class::{FailureClass, is_throttled},
    foreign::ForeignText,
    guard::{Guard, is_public},
    pool::{Pool, PoolSettings, Versions, is_public_peer},
    protocol::{HostProtocol, Protocols},
    proxy::{Proxies, ProxyError, ProxySettingError, ProxyVariables},
    rate::{LEAST_RATE, LeastRate, Meter, RATE_WINDOW, TooSlow},
    retry::{Next, Replay, Retrier, Retries, RetryBudget, SoFar, Tries, retry_after},
    tls::{PemError, TlsSettings},
    unprocessed::Unprocessed,
    url::{RedactedUrl, strip_user},
};
