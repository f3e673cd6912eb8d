//! A host name whose address was not found, in words: the system's own differ from one C library to the next.

use std::io;

use wording::level;

/// What the standard library writes before the text of the system.
const LOOKUP_FAILED: &str = "failed to lookup address information: ";
/// The texts of the C libraries for a name that does not exist or has no address: glibc, musl, macOS.
const NO_SUCH_HOST: [&str; 6] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided, or not known",
    "No address associated with name",
];
/// Their texts for a name server that does not respond, or fails.
const TEMPORARY: [&str; 2] = ["Temporary failure in name resolution", "Try again"];

/// A host name whose address was not found.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {name}: {reason}")]
pub(crate) struct NotResolved {
    name: Box<str>,
    reason: Box<str>,
}

impl NotResolved {
    pub(crate) fn new(name: &str, cause: &io::Error) -> Self {
        let text = level(cause);
        let reason = match text.strip_prefix(LOOKUP_FAILED).unwrap_or(&text) {
            said if NO_SUCH_HOST.contains(&said) => "no such host",
            said if TEMPORARY.contains(&said) => "temporary failure in name resolution",
            said => said,
        };
        Self { name: name.into(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_look_up_is_printed_in_words() {
        for (said, words) in [
            ("Name or service not known", "no such host"),
            ("Temporary failure in name resolution", "temporary failure in name resolution"),
            (
                "Non-recoverable failure in name resolution",
                "Non-recoverable failure in name resolution",
            ),
        ] {
            let cause = io::Error::other(format!("{LOOKUP_FAILED}{said}"));
            let error = NotResolved::new("registry.example", &cause);
            assert_eq!(error.to_string(), format!("cannot resolve registry.example: {words}"));
        }
    }
}
