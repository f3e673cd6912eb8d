//! What TLS trusts and presents.
//!
//! Source: RFC 8446; RFC 7468 for PEM.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{pinned::PinningVerifier, trusted_roots::TrustedRoots};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file in PEM that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No PEM, or a broken one.
    #[error("it is not PEM: {}", wording::pem_fault(.0))]
    NotPem(pem::Error),
    /// PEM, but not of a certificate.
    #[error("it has no certificate (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// PEM, but not of a private key.
    #[error("the key file has no unencrypted private key")]
    NoKey,
    /// A key of no kind that is supported.
    #[error("this kind of private key is not supported; use an RSA, ECDSA or Ed25519 key")]
    UnsupportedKey,
    /// A certificate that cannot be used, or a key of another certificate.
    #[error("it cannot be used: {}", wording::tls_fault(.0))]
    Unusable(rustls::Error),
}

/// The settings of TLS.
#[derive(Debug)]
pub struct TlsSettings {
    roots: TrustedRoots,
    /// Certificates that the user named, which servers may show as their own.
    pinned: Vec<CertificateDer<'static>>,
    identity: Option<Arc<CertifiedKey>>,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self::none()
    }
}

impl TlsSettings {
    /// No certificate is trusted or presented.
    pub const fn none() -> Self {
        Self { roots: TrustedRoots::none(), pinned: Vec::new(), identity: None }
    }

    /// Trusts the root certificates of this machine too, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    pub const fn trust_system(&mut self) {
        self.roots.system = true;
    }

    /// Trusts these certificates (PEM), and accepts them from servers as their own.
    ///
    /// # Errors
    /// When a certificate cannot be read, or there is none.
    pub fn trust_pem(&mut self, pem: &[u8]) -> Result<(), PemError> {
        for certificate in read_certificates(pem)? {
            self.roots.added.add(certificate.clone()).map_err(PemError::Unusable)?;
            self.pinned.push(certificate);
        }
        Ok(())
    }

    /// Presents this certificate, with its chain, and proves it by its key (all PEM) where a server requests one.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn identify(&mut self, chain: &[u8], key: &[u8]) -> Result<(), PemError> {
        let chain = read_certificates(chain)?;
        let key =
            PrivateKeyDer::from_pem_slice(&without_bom(key)).map_err(|error| match error {
                pem::Error::NoItemsFound => PemError::NoKey,
                error => PemError::NotPem(error),
            })?;
        let key = provider().key_provider.load_private_key(key);
        let identity = CertifiedKey::new(chain, key.map_err(|_error| PemError::UnsupportedKey)?);
        identity.keys_match().map_err(PemError::Unusable)?;
        self.identity = Some(Arc::new(identity));
        Ok(())
    }

    /// The settings of `rustls`, and the roots that they trust.
    #[must_use]
    pub(crate) fn client_config(self) -> (ClientConfig, Arc<TrustedRoots>) {
        // One provider for the whole program, named here, since no default is installed.
        let provider = Arc::new(provider());
        let roots = Arc::new(self.roots);
        let verifier = PinningVerifier::new(&roots, self.pinned, Arc::clone(&provider));
        #[expect(clippy::expect_used, reason = "ring offers the suites of TLS 1.2 and 1.3")]
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match self.identity {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        (config, roots)
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let pem = without_bom(pem);
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(PemError::NotPem)?;
    if certificates.is_empty() { Err(PemError::NoCertificate) } else { Ok(certificates) }
}

/// Text without the byte order marks that Windows editors put first, and concatenation then puts inside: a
/// line that begins with one would not be taken for the beginning of a certificate.
fn without_bom(text: &[u8]) -> Vec<u8> {
    let is_bom = |window: &[u8]| window == BYTE_ORDER_MARK;
    let (mut clean, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.windows(BYTE_ORDER_MARK.len()).position(is_bom) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + BYTE_ORDER_MARK.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}
