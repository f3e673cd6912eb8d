//! TLS for the server: a certificate and its key, from PEM. Which versions and ciphers are spoken is
//! rustls's choice.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio_rustls::TlsAcceptor;

use crate::certificate_dates::{OutOfDate, out_of_date};

/// A certificate with its key, which may be replaced while it is in use. The key does not print. Cheap to clone;
/// the clones are one.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerIdentity>>>);

/// What clients are shown, and how.
struct ServerIdentity {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    chain_name: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// A file in PEM: its name for messages, and its content.
#[derive(Clone, Copy)]
pub struct PemFile<'a> {
    /// As the user named it.
    pub name: &'a str,
    /// All of it.
    pub content: &'a [u8],
}

/// Why a certificate cannot be used. Each names its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// One of the files is broken PEM.
    #[error("{file} is not readable as PEM: {}", wording::pem_fault(.cause))]
    NotPem {
        /// Which.
        file: String,
        /// Printed in our words: its own text is debug output.
        cause: pem::Error,
    },
    /// The first file has no certificate.
    #[error("{chain} has no certificate; a PEM file has a line `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// The file.
        chain: String,
    },
    /// The first file has a key instead of a certificate.
    #[error("{chain} has no certificate, but a private key; are the two files swapped?")]
    KeyForCertificate {
        /// The file.
        chain: String,
    },
    /// The second file has no private key.
    #[error("{key} has no private key; a PEM file has a line `-----BEGIN PRIVATE KEY-----`")]
    NoKey {
        /// The file.
        key: String,
    },
    /// The second file has a certificate instead of a key.
    #[error("{key} has no private key, but a certificate; name the file of its private key")]
    CertificateForKey {
        /// The file.
        key: String,
    },
    /// The key can be read only with a password.
    #[error("{key} is encrypted with a password; decrypt it: `openssl pkey -in {key} -out FILE`")]
    EncryptedKey {
        /// The file.
        key: String,
    },
    /// The key is of no kind that is supported, or malformed.
    #[error("{key} has no usable private key; use an RSA, ECDSA (P-256, P-384) or Ed25519 key")]
    UnsupportedKey {
        /// The file.
        key: String,
    },
    /// The key is that of another certificate.
    #[error("{key} is not the key of the first certificate in {chain}")]
    OtherKey {
        /// The file of the key.
        key: String,
        /// The file of the certificate.
        chain: String,
    },
    /// A certificate without extensions, and so without host names.
    #[error("{chain} is an X.509 version 1 certificate; issue it as version 3")]
    Version1 {
        /// The file.
        chain: String,
    },
    /// The certificate is not valid in another way.
    #[error("{chain} cannot be used: {}", wording::tls_fault(.cause))]
    Unusable {
        /// The file.
        chain: String,
        /// Printed in our words: its own text is partly debug output.
        cause: rustls::Error,
    },
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key. Whether the certificates
    /// have expired is not checked: see [`out_of_date`](Self::out_of_date).
    ///
    /// # Errors
    /// When either is not PEM, or they do not go together.
    pub fn from_pem(chain_file: PemFile<'_>, key_file: PemFile<'_>) -> Result<Self, TlsError> {
        let chain_name = chain_file.name.to_owned();
        let chain = read_chain(chain_file)?;
        let key = read_key(key_file)?;
        let provider = Arc::new(ring::default_provider());
        let identity = certified_key(chain.clone(), key, &provider, (&chain_name, key_file.name))?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|cause| unusable(&chain_name, cause))?;
        let resolver = Arc::new(SingleCertAndKey::from(identity));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec();
        let identity = ServerIdentity { config: Arc::new(config), chain, chain_name };
        Ok(Self(Arc::new(RwLock::new(Arc::new(identity)))))
    }

    /// From now on, new connections get the certificate of `newer`.
    pub fn replace_with(&self, newer: &Self) {
        let newer = newer.current();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    /// The certificates of the chain that have expired at `now` or are not valid yet, in their order.
    #[must_use]
    pub fn out_of_date(&self, now: SystemTime) -> Vec<OutOfDate> {
        let identity = self.current();
        out_of_date(&identity.chain_name, &identity.chain, now)
    }

    fn current(&self) -> Arc<ServerIdentity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current().config))
    }
}

fn read_chain(file: PemFile<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = without_mark(file.content);
    let chain = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|cause| not_pem(file.name, cause))?;
    let name = || file.name.to_owned();
    match chain.is_empty() {
        false => Ok(chain),
        true if PrivateKeyDer::from_pem_slice(content).is_ok() || is_encrypted(content) => {
            Err(TlsError::KeyForCertificate { chain: name() })
        }
        true => Err(TlsError::NoCertificate { chain: name() }),
    }
}

fn read_key(file: PemFile<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let content = without_mark(file.content);
    let key = || file.name.to_owned();
    PrivateKeyDer::from_pem_slice(content).map_err(|cause| match cause {
        pem::Error::NoItemsFound if is_encrypted(content) => TlsError::EncryptedKey { key: key() },
        pem::Error::NoItemsFound if CertificateDer::from_pem_slice(content).is_ok() => {
            TlsError::CertificateForKey { key: key() }
        }
        pem::Error::NoItemsFound => TlsError::NoKey { key: key() },
        cause => not_pem(file.name, cause),
    })
}

/// The chain with the key, if they go together.
fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    (chain_name, key_name): (&str, &str),
) -> Result<CertifiedKey, TlsError> {
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_error| TlsError::UnsupportedKey { key: key_name.to_owned() })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::OtherKey { key: key_name.to_owned(), chain: chain_name.to_owned() })
        }
        Err(cause) => Err(unusable(chain_name, cause)),
    }
}

fn unusable(chain: &str, cause: rustls::Error) -> TlsError {
    use rustls::{CertificateError::Other, Error::InvalidCertificate};
    let chain = chain.to_owned();
    match &cause {
        // webpki has a cause for it that rustls does not, and its text is the name of that.
        InvalidCertificate(Other(other)) if other.to_string() == "UnsupportedCertVersion" => {
            TlsError::Version1 { chain }
        }
        _ => TlsError::Unusable { chain, cause },
    }
}

fn not_pem(file: &str, cause: pem::Error) -> TlsError {
    TlsError::NotPem { file: file.to_owned(), cause }
}

/// Whether the file has a password-protected private key, in either of its two forms.
fn is_encrypted(content: &[u8]) -> bool {
    let has = |mark: &[u8]| content.windows(mark.len()).any(|window| window == mark);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

/// Without the byte order mark that editors on Windows put at the start of a text: PEM would not begin
/// where its first line does.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}
