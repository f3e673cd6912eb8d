//! The root certificates that TLS trusts.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

/// The root certificates that are trusted.
#[derive(Debug)]
pub(crate) struct TrustedRoots {
    pub(crate) added: RootCertStore,
    /// Whether those of this machine are trusted too.
    pub(crate) system: bool,
    /// Both. This machine's are read when the first is needed: a run over plain HTTP needs none, and to read them takes
    /// longer than a request.
    all: OnceLock<Arc<RootCertStore>>,
}

impl TrustedRoots {
    /// None yet.
    pub(crate) const fn none() -> Self {
        let added = RootCertStore { roots: Vec::new() };
        Self { added, system: false, all: OnceLock::new() }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &Arc<RootCertStore> {
        self.all.get_or_init(|| {
            let mut all = if self.system { system_roots() } else { RootCertStore::empty() };
            all.roots.extend(self.added.roots.iter().cloned());
            Arc::new(all)
        })
    }
}

/// The root certificates of this machine, or of the file and directory that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("root certificates: {error}");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
