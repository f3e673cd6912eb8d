//! Why a request of the front itself failed, in words: refused, not resolved, the certificate, a timeout, the status.

use std::{error::Error, fmt, io, time::Duration};

use http::StatusCode;
use http_client::TransportError;

/// Why there is no usable response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    /// The request could not be made.
    #[error("invalid request: {0}")]
    Request(http::Error),
    /// No response.
    #[error("{}", transport(.0))]
    Transport(#[from] TransportError),
    /// No response in time.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// A response with a status that does not help.
    #[error("the response is {0}")]
    Status(StatusCode),
    /// An HTML page instead of a blob.
    #[error(
        "the response is an HTML page (200, text/html) instead of a blob; check the store's `url` and `blob_prefix`, and any proxy or CDN in front of it"
    )]
    WebPage,
}

/// Why there was no response.
fn transport(error: &TransportError) -> String {
    error.cause().map_or_else(|| error.to_string(), |cause| Cause(cause).to_string())
}

/// The cause of an error in words: the client's own text is only "client error (Connect)".
struct Cause<'e>(&'e (dyn Error + 'static));

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = || std::iter::successors(Some(self.0), |error| below(*error));
        if let Some(error) = causes().find_map(|error| error.downcast_ref::<rustls::Error>()) {
            return f.write_str(&tls(error));
        }
        let io = causes().filter_map(|error| error.downcast_ref::<io::Error>()).last();
        match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => f.write_str("connection refused"),
            Some(io::ErrorKind::ConnectionReset) => f.write_str("connection reset"),
            // The last cause is the most specific; those above name only the step.
            _ => match causes().last() {
                Some(error) => f.write_str(&wording::level(error)),
                None => Ok(()),
            },
        }
    }
}

/// What caused an error. An `io::Error` around another error names as its source what is below that one.
fn below<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => "the port does not speak TLS".into(),
        other => format!("TLS failed: {}", wording::tls_fault(other)),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, pki_types::ServerName};

    use super::*;

    #[test]
    fn causes_are_printed_in_words() {
        let certificate = |error| rustls::Error::InvalidCertificate(error);
        let expected = ServerName::try_from("store.example").expect("a name");
        let presented = vec!["DnsName(\"other.example\")".into()];
        for (error, words) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "connection refused"),
            (io::Error::from(io::ErrorKind::ConnectionReset), "connection reset"),
            (
                io::Error::other(certificate(CertificateError::NotValidForNameContext {
                    expected: expected.to_owned(),
                    presented,
                })),
                "TLS failed: the certificate is for other.example, not store.example",
            ),
            (
                io::Error::other(io::Error::other(certificate(CertificateError::UnknownIssuer))),
                "TLS failed: the certificate is issued by an unknown authority; use --ca-file to trust it",
            ),
            (
                io::Error::other(certificate(CertificateError::Expired)),
                "TLS failed: the certificate has expired",
            ),
            (
                io::Error::other(rustls::Error::InvalidMessage(
                    rustls::InvalidMessage::InvalidContentType,
                )),
                "the port does not speak TLS",
            ),
        ] {
            assert_eq!(Cause(&error).to_string(), words);
        }
    }
}
