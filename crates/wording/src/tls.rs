//! Messages for failures of TLS and for certificate files that cannot be used. Some messages of rustls are debug output.

use std::{
    fmt::Debug,
    time::{Duration, SystemTime},
};

use rustls::{
    AlertDescription, CertificateError, Error, PeerIncompatible,
    pki_types::{ServerName, UnixTime, pem},
};

/// The message for an error of rustls.
#[must_use]
pub fn tls_fault(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(problem) => certificate(problem),
        Error::AlertReceived(alert) => self::alert(*alert),
        Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::NoApplicationProtocol => {
            "the server supports neither TLS 1.2 nor TLS 1.3 in a way that is safe".to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!("the TLS of the server is not compatible: {}", spaced(why))
        }
        Error::InvalidMessage(_) => "the response is not TLS".to_owned(),
        Error::InvalidCertRevocationList(_) => {
            "the list of revoked certificates is not valid".to_owned()
        }
        Error::PeerMisbehaved(why) => {
            format!("the server violates the TLS protocol: {}", spaced(why))
        }
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => "the server violates the TLS protocol".to_owned(),
        Error::InconsistentKeys(_) => "the key is not that of the first certificate".to_owned(),
        Error::InvalidEncryptedClientHello(why) => {
            format!("the encrypted ClientHello failed: {}", spaced(why))
        }
        Error::FailedToGetCurrentTime => "the time is not known".to_owned(),
        _ => format!("the handshake failed: {error}"),
    }
}

/// The message for a PEM file that cannot be read.
#[must_use]
pub fn pem_fault(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a section has no `-----END …-----` line; is the file cut off?".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => "a `-----BEGIN` line is malformed".to_owned(),
        pem::Error::Base64Decode(_) => "the text of a section is not base64".to_owned(),
        pem::Error::SectionTooLarge => "a section is too long".to_owned(),
        pem::Error::NoItemsFound => "the section is missing".to_owned(),
        _ => "it is malformed".to_owned(),
    }
}

/// The name of a cause of rustls that has no message, as words: `TooMuchData` becomes "too much data". Its fields are left
/// out.
fn spaced(cause: &dyn Debug) -> String {
    let debug = format!("{cause:?}");
    let end = debug.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(debug.len());
    let name = &debug[..end];
    let mut text = String::with_capacity(name.len() * 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

fn certificate(problem: &CertificateError) -> String {
    let text = match problem {
        CertificateError::NotValidForNameContext { expected, presented } => {
            return other_name(expected, presented);
        }
        CertificateError::NotValidForName => "the certificate is for another name",
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!("the certificate expired on {}", certificate_date(*not_after));
        }
        CertificateError::Expired => "the certificate has expired",
        CertificateError::NotValidYetContext { not_before, .. } => {
            let date = certificate_date(*not_before);
            return format!(
                "the certificate is not valid before {date}; check the clock of this machine"
            );
        }
        CertificateError::NotValidYet => {
            "the certificate is not valid yet; check the clock of this machine"
        }
        CertificateError::UnknownIssuer => {
            "the certificate is issued by an unknown authority; use --ca-file to trust it"
        }
        CertificateError::Revoked => "the certificate is revoked",
        CertificateError::BadEncoding => "the certificate is malformed",
        CertificateError::BadSignature => "the signature of the certificate is wrong",
        CertificateError::UnhandledCriticalExtension => {
            "the certificate has a critical extension that is not supported"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not one of a server"
        }
        // A cause of webpki that rustls does not have. Its text is its name.
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the certificate is self-signed, or an authority's own; use --ca-file to trust it"
        }
        CertificateError::Other(other) if other.to_string() == "UnsupportedCertVersion" => {
            "the certificate is of X.509 version 1; issue it as version 3"
        }
        CertificateError::Other(other) => {
            return format!("the certificate is not valid: {}", spaced(&other.0));
        }
        _ => return format!("the certificate is not valid: {}", spaced(problem)),
    };
    text.to_owned()
}

fn other_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    // As webpki prints them: `DnsName("a")`, `IpAddress(1.2.3.4)`.
    let name = |text: &String| {
        let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(text).trim_matches('"').to_owned()
    };
    let names: Vec<_> = presented.iter().map(name).collect();
    if names.is_empty() {
        return format!("the certificate names no host, and so not {expected}");
    }
    format!("the certificate is for {}, not {expected}", names.join(", "))
}

fn alert(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the server requires a client certificate; use --client-certificate and --client-key"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => "the server does not accept the client certificate",
        AlertDescription::UnrecognisedName => "the server has no certificate for this name",
        AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => {
            "the server supports neither TLS 1.2 nor TLS 1.3 in a way that is safe"
        }
        AlertDescription::HandshakeFailure => {
            "the server ended the handshake: it may require a client certificate, or another cipher"
        }
        AlertDescription::InternalError => "the server had an internal error",
        _ => return format!("the server ended the handshake: {}", spaced(&alert)),
    };
    text.to_owned()
}

/// A date of a certificate, as messages show it.
#[must_use]
pub fn certificate_date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // The format has four digits for the year.
    time.filter(|time| *time < SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800))
        .map_or_else(|| "a date after the year 9999".to_owned(), httpdate::fmt_http_date)
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use rustls::{InconsistentKeys, InvalidMessage, OtherError, PeerMisbehaved};

    use super::*;

    #[test]
    fn every_likely_cause_is_printed_in_words() {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(784_111_777));
        let name = ServerName::try_from("registry.example").expect("a name");
        let other = |presented: &[&str]| {
            let presented = presented.iter().map(|name| (*name).to_owned()).collect();
            CertificateError::NotValidForNameContext { expected: name.clone(), presented }.into()
        };
        for (error, text) in [
            (
                other(&["DnsName(\"a.example\")", "IpAddress(192.0.2.1)"]),
                "the certificate is for a.example, 192.0.2.1, not registry.example",
            ),
            (other(&[]), "the certificate names no host, and so not registry.example"),
            (
                CertificateError::ExpiredContext { time, not_after: time }.into(),
                "the certificate expired on Sun, 06 Nov 1994 08:49:37 GMT",
            ),
            (
                CertificateError::NotValidYetContext { time, not_before: time }.into(),
                "the certificate is not valid before Sun, 06 Nov 1994 08:49:37 GMT; check the clock \
                 of this machine",
            ),
            (
                CertificateError::UnknownIssuer.into(),
                "the certificate is issued by an unknown authority; use --ca-file to trust it",
            ),
            (CertificateError::Revoked.into(), "the certificate is revoked"),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "the server requires a client certificate; use --client-certificate and --client-key",
            ),
            (
                PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
                "the server supports neither TLS 1.2 nor TLS 1.3 in a way that is safe",
            ),
            (InvalidMessage::InvalidContentType.into(), "the response is not TLS"),
            (
                PeerIncompatible::EcPointsExtensionRequired.into(),
                "the TLS of the server is not compatible: ec points extension required",
            ),
            (
                PeerMisbehaved::WrongGroupForKeyShare.into(),
                "the server violates the TLS protocol: wrong group for key share",
            ),
            (
                Error::AlertReceived(AlertDescription::DecodeError),
                "the server ended the handshake: decode error",
            ),
            (
                CertificateError::InvalidOcspResponse.into(),
                "the certificate is not valid: invalid ocsp response",
            ),
            (
                Error::General("no entropy".to_owned()),
                "the handshake failed: unexpected error: no entropy",
            ),
        ] {
            assert_eq!(tls_fault(&error), text, "{error:?}");
        }
    }

    #[test]
    fn no_cause_is_printed_as_debug_output() {
        let unsupported = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1],
            supported_algorithms: Vec::new(),
        };
        let version = io::Error::other("UnsupportedCertVersion");
        for (error, text) in [
            (
                unsupported.into(),
                "the certificate is not valid: unsupported signature algorithm context",
            ),
            (
                CertificateError::Other(OtherError(Arc::new(version))).into(),
                "the certificate is of X.509 version 1; issue it as version 3",
            ),
            (InconsistentKeys::KeyMismatch.into(), "the key is not that of the first certificate"),
        ] {
            assert_eq!(tls_fault(&error), text, "{error:?}");
        }
        let cut = pem::Error::MissingSectionEnd { end_marker: b"-----END".to_vec() };
        let text = "a section has no `-----END …-----` line; is the file cut off?";
        assert_eq!(pem_fault(&cut), text);
    }
}
