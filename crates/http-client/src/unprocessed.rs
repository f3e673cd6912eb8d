//! Requests that a server of HTTP/2 has certainly not processed, and says so: they may be sent again.
//!
//! Source: RFC 9113 §6.8 (`GOAWAY`), §7 (`HTTP_1_1_REQUIRED`), §8.7 (`REFUSED_STREAM`).

use std::error::Error as StdError;

use h2::Reason;

use crate::causes::cause_of;

/// Why a request was not processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unprocessed {
    /// The server closed the connection, and the request was behind the last one that it processed.
    #[error(
        "the server closed the HTTP/2 connection before it processed the request (GOAWAY: {reason})"
    )]
    ConnectionClosed {
        /// The reason that it gave.
        reason: Box<str>,
    },
    /// The server refused the stream of the request.
    #[error("the server refused the request before it processed it (HTTP/2 REFUSED_STREAM)")]
    StreamRefused,
    /// The server takes the request over HTTP/1.1 only. The next one to its host is sent so.
    #[error("the server requires HTTP/1.1 (HTTP/2 HTTP_1_1_REQUIRED)")]
    Http1Required,
}

/// Why the request of an error that came before any header of a response was not processed, if that is certain. Of the
/// streams of a connection only those behind the last processed one end in the server's `GOAWAY`: the others end with
/// the connection.
pub(crate) fn unprocessed(error: &(dyn StdError + 'static)) -> Option<Unprocessed> {
    cause_of(error).and_then(of_http2)
}

fn of_http2(error: &h2::Error) -> Option<Unprocessed> {
    let reason = error.reason().filter(|_| error.is_remote())?;
    if reason == Reason::HTTP_1_1_REQUIRED {
        return Some(Unprocessed::Http1Required);
    }
    if error.is_go_away() {
        return Some(Unprocessed::ConnectionClosed { reason: format!("{reason:?}").into() });
    }
    (reason == Reason::REFUSED_STREAM).then_some(Unprocessed::StreamRefused)
}
