//! The TLS error behind an error of a connection. Its words are in `wording`.

use std::{error::Error as StdError, fmt, io};

use rustls::{AlertDescription, Error};

use crate::causes::Causes;

/// The TLS error behind an error of the connection, if it is one.
pub(crate) fn tls_error(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found.clone());
        }
        if let Some(found) = error.downcast_ref().and_then(alert_in) {
            return Some(found);
        }
        // The source of an I/O error is that of the error in it: the one in it comes first.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// The alert that an I/O error is. HTTP/2 keeps only the text of an error of the connection.
fn alert_in(error: &io::Error) -> Option<Error> {
    if error.kind() != io::ErrorKind::InvalidData {
        return None;
    }
    let text = error.to_string();
    let mut alerts = (0..=u8::MAX).map(|code| Error::AlertReceived(AlertDescription::from(code)));
    alerts.find(|alert| alert.to_string() == text)
}

/// Whether the other side ended TLS by an alert. In TLS 1.3 the alert about a client certificate comes after the
/// handshake is complete for the client (RFC 8446 §4.4.2.4, §6.2).
pub(crate) fn is_alert(error: &(dyn StdError + 'static)) -> bool {
    matches!(tls_error(error), Some(Error::AlertReceived(_)))
}

/// Whether the other side responded by something that is not TLS.
pub(crate) fn is_not_tls(error: &(dyn StdError + 'static)) -> bool {
    matches!(tls_error(error), Some(Error::InvalidMessage(_)))
}

/// Why TLS failed, in words where it is TLS's own error.
pub(crate) struct TlsCause<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for TlsCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tls_error(self.0) {
            Some(error) => f.write_str(&wording::tls_fault(&error)),
            None => Causes(self.0).fmt(f),
        }
    }
}
