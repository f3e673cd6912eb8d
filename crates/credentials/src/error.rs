//! Why there are no credentials: what failed, where, and what to do. No error contains a secret.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use http_client::{Causes, RedactedUrl};

use crate::{FetchError, ServiceError};

/// How many characters of a foreign text are shown.
const SHOWN: usize = 300;

/// Why there are no credentials. Many requests may need the same ones, so the error can be copied.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// An existing file cannot be read, or a named file does not exist.
    #[error("{}: the file cannot be read: {}; make it readable, or use another file", file.display(), Causes(&**cause))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// A file does not hold what it should.
    #[error("{}{problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong in it, and where.
        problem: FileProblem,
    },
    /// A credential helper failed.
    #[error(
        "docker-credential-{helper} (named in {}) gave no credentials for {server}: {fault}",
        file.display()
    )]
    Helper {
        /// Its name, without `docker-credential-`.
        helper: Box<str>,
        /// The server whose credentials it was to return.
        server: Box<str>,
        /// The configuration file that names it.
        file: PathBuf,
        /// What went wrong.
        fault: HelperFault,
    },
    /// A service that issues tokens refused, or could not be reached.
    #[error("{failure}: {cause}{}", advice(cause))]
    Exchange {
        /// What failed, and for which account.
        failure: Box<str>,
        /// What went wrong.
        cause: Arc<ServiceError>,
    },
    /// A service that issues tokens responded with something else.
    #[error("{failure}: the response of {url} {problem}")]
    InvalidResponse {
        /// What failed, and for which account.
        failure: Box<str>,
        /// The URL that responded.
        url: RedactedUrl,
        /// What is wrong with the response.
        problem: &'static str,
    },
    /// A setting that cannot be used.
    #[error("{0}")]
    Setting(Box<str>),
}

impl CredentialError {
    /// Whether a file, a program or a setting of this machine is at fault, and not a service.
    #[must_use]
    pub const fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Unreadable { .. }
            | Self::Malformed { .. }
            | Self::Helper { .. }
            | Self::Setting(_) => true,
            Self::Exchange { .. } | Self::InvalidResponse { .. } => false,
        }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Helper { fault, .. } => matches!(fault, HelperFault::TooLate { .. }),
            Self::Exchange { cause, .. } => cause.is_transient(),
            Self::Unreadable { .. }
            | Self::Malformed { .. }
            | Self::InvalidResponse { .. }
            | Self::Setting(_) => false,
        }
    }
}

impl FetchError for CredentialError {
    fn to_cached(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// What to do about a refusal.
fn advice(cause: &ServiceError) -> &'static str {
    match cause.status() {
        Some(_) if cause.is_about_time() => {
            "; the server takes the time of this request for wrong: check the clock of this machine"
        }
        Some(status) if status.is_client_error() && !cause.is_transient() => {
            "; renew the key or log in again, and check that the account exists and may get tokens"
        }
        _ => "",
    }
}

/// What is wrong in a file, and where. Prints as what follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// Line and column, from 1, where they are known.
    place: Option<(usize, usize)>,
    what: Box<str>,
}

impl FileProblem {
    pub(crate) fn new(what: impl Into<Box<str>>) -> Self {
        Self { place: None, what: what.into() }
    }

    /// A problem at the byte `offset` of `text`.
    pub(crate) fn at(text: &[u8], offset: usize, what: impl Into<Box<str>>) -> Self {
        let before = &text[..offset.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Self { place: Some((line, before.len() - line_start + 1)), what: what.into() }
    }

    /// Text that is not JSON, or not an object. Errors of serde about data quote the data, which may be secrets; its
    /// errors about syntax do not.
    #[must_use]
    pub fn of_json(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self { place: Some((1, 1)), what: "not a JSON object; write `{…}`".into() };
        }
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        let place = Some((error.line(), error.column().max(1)));
        let what = match what.strip_prefix("EOF while parsing") {
            Some(_) if error.column() == 0 && error.line() == 1 => "the file is empty".into(),
            Some(inside) => not_json(&format!("the file ends inside{inside}")),
            None => not_json(what),
        };
        Self { place, what }
    }
}

fn not_json(why: &str) -> Box<str> {
    format!("not valid JSON: {why}; correct the file, or delete it and log in again").into()
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// How a credential helper failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperFault {
    /// There is no such program.
    #[error("it is not installed; install it, or remove it from that file")]
    Missing,
    /// It cannot be run.
    #[error("it cannot be run: {0}")]
    NotRun(Arc<io::Error>),
    /// It did not end in time.
    #[error(
        "it did not exit within {after:?} and was killed; run it by hand to see what it waits for"
    )]
    TooLate {
        /// How long it was given.
        after: Duration,
    },
    /// It ended as a failure.
    #[error("{status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// How it ended, such as `exit status: 1`.
        status: Box<str>,
        /// The first line of what it said; empty when it said nothing, or what might be the secret.
        said: Box<str>,
    },
    /// It printed more than a credential can be.
    #[error("it printed more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It printed a token that cannot be sent.
    #[error(
        "its `Secret` is a token with a line break or another control character; run `docker login` again"
    )]
    UnusableToken,
    /// It printed something else than a credential. The output is not shown, since it may contain one.
    #[error(
        "it exited with status 0, but did not print a JSON object with `Username` and `Secret`"
    )]
    Garbled,
}

/// A foreign text in one short line: its first line that is not blank, without control characters.
#[must_use]
pub fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut shown: String =
        line.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one() {
        for (offset, place) in [(0, ":1:1"), (2, ":1:3"), (3, ":2:1"), (5, ":2:3"), (99, ":2:3")] {
            assert_eq!(FileProblem::at(b"ab\ncd", offset, "x").to_string(), format!("{place}: x"));
        }
        assert_eq!(FileProblem::new("x").to_string(), ": x");
    }

    #[test]
    fn what_others_say_is_one_short_line() {
        let long = "x".repeat(301);
        for (said, shown) in
            [("", ""), ("\n  \r\n a\x1b[2Jb \nc", "a [2Jb"), (&long, &format!("{}…", &long[1..]))]
        {
            assert_eq!(first_line(said), shown);
        }
    }
}
