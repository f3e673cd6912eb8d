//! With which credentials a refused request was sent, as its error says it.

use std::fmt;

/// What is known of the credentials of a refused request. Prints as what follows the refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// There are none.
    Missing { host: Box<str>, looked_in: Box<str> },
    /// The registry requires another scheme than those that are supported.
    Unsupported { schemes: Box<str> },
    /// The registry does not accept them.
    Rejected { who: Box<str>, instead: Box<str> },
    /// It is not known whether the registry accepts them.
    Sent { who: Box<str> },
    /// The registry accepts them, and they lack the right to do that.
    Accepted { who: Box<str>, what: Box<str> },
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { host, looked_in } => {
                write!(f, "; no credentials for {host} were found ({looked_in})")
            }
            Self::Unsupported { schemes } => {
                write!(
                    f,
                    "; the registry requires the authentication scheme {schemes}, and Portolan supports Basic and \
                     Bearer: allow one of these there"
                )
            }
            Self::Rejected { who, instead } => write!(f, "; {who} rejected: {instead}"),
            Self::Sent { who } => write!(f, "; {who} sent"),
            Self::Accepted { who, what } => {
                write!(
                    f,
                    "; {who}, but may not {what}; grant that right, or log in as another user"
                )
            }
        }
    }
}
