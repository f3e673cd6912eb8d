//! Whether the certificates of a chain are valid at a time. Nothing else about them is verified here.
//!
//! Source: RFC 5280 §4.1.2.5.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, Error, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
    server::ParsedCertificate,
};

/// A certificate that clients will not accept for its dates. It prints as a clause with its file and date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfDate {
    file: String,
    /// From 1 on; the first one is the server's own.
    position: usize,
    problem: DateProblem,
}

/// The date is as a message has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DateProblem {
    Expired(String),
    NotYetValid(String),
}

impl OutOfDate {
    /// Whether it is the server's own certificate, and has expired: no client accepts that one, where one of
    /// an authority may be replaced by what the client has.
    #[must_use]
    pub const fn is_expired_server_certificate(&self) -> bool {
        self.position == 1 && matches!(self.problem, DateProblem::Expired(_))
    }
}

impl fmt::Display for OutOfDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            1 => write!(f, "the certificate in {} ", self.file)?,
            position => write!(f, "certificate {position} in {} ", self.file)?,
        }
        match &self.problem {
            DateProblem::Expired(date) => write!(f, "expired on {date}"),
            DateProblem::NotYetValid(date) => write!(f, "is not valid before {date}"),
        }
    }
}

pub(crate) fn out_of_date(
    file: &str,
    chain: &[CertificateDer<'_>],
    now: SystemTime,
) -> Vec<OutOfDate> {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now = UnixTime::since_unix_epoch(since_epoch);
    let each = chain.iter().enumerate();
    let found = each.filter_map(|(at, certificate)| {
        let problem = problem(certificate, now)?;
        Some(OutOfDate { file: file.to_owned(), position: at + 1, problem })
    });
    found.collect()
}

/// The dates are the first thing that is verified, so that without any authority to trust an error for them
/// comes first, and all other errors mean that they are right.
fn problem(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<DateProblem> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let no_roots = RootCertStore::empty();
    let verified =
        verify_server_cert_signed_by_trust_anchor(&parsed, &no_roots, &[], now, algorithms);
    let Err(Error::InvalidCertificate(error)) = verified else { return None };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(DateProblem::Expired(wording::certificate_date(not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(DateProblem::NotYetValid(wording::certificate_date(not_before)))
        }
        _ => None,
    }
}
