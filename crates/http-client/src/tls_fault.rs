//! The TLS error behind an error of a connection. Its words are in `wording`.

use std::{error::Error as StdError, fmt, io};

use rustls::Error;

use crate::causes::Causes;

/// The TLS error behind an error of the connection, if it is one.
pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an I/O error is that of the error in it: the one in it comes first.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
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
            Some(error) => f.write_str(&wording::tls_fault(error)),
            None => Causes(self.0).fmt(f),
        }
    }
}
