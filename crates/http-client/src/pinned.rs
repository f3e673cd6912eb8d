//! Which server certificates are trusted: those of an authority, and those that the user named themselves.
//!
//! A self-signed certificate is often one of an authority too (`openssl req -x509`), and webpki rejects a
//! server that presents such a one (RFC 5280 §4.2.1.9 does not forbid it). OpenSSL, curl and Go accept it if it is among the trusted
//! ones. Its dates and its names are checked all the same.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::trusted_roots::TrustedRoots;

/// Verifies the certificates of servers.
#[derive(Debug)]
pub(crate) struct PinningVerifier {
    roots: Arc<TrustedRoots>,
    /// Made for the first certificate. None where there are no roots.
    by_roots: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl PinningVerifier {
    pub(crate) fn new(
        roots: &Arc<TrustedRoots>,
        pinned: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let roots = Arc::clone(roots);
        Self { roots, by_roots: OnceLock::new(), pinned, provider }
    }

    fn by_roots(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let verifier = self.by_roots.get_or_init(|| {
            let (roots, provider) = (Arc::clone(self.roots.all()), &self.provider);
            let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
            // It fails only where there are no roots.
            builder.build().ok()
        });
        verifier.as_ref()
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = Err(CertificateError::UnknownIssuer.into());
        let verified = self.by_roots().map_or(unknown, |verifier| {
            let (chain, name) = (intermediates, server_name);
            verifier.verify_server_cert(end_entity, chain, name, ocsp_response, now)
        });
        match verified {
            Err(error)
                if is_about_trust(&error) && self.pinned.iter().any(|it| it == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

/// Whether an error is about who vouches for a certificate. webpki checks the dates before (`check_validity`), so
/// that they are right then; the name is checked here.
fn is_about_trust(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
                | CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. }
                | CertificateError::Other(_)
        )
    )
}
