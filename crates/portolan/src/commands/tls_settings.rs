//! What TLS trusts and presents, from the files that flags name.

use std::path::Path;

use anyhow::Context as _;
use http_client::TlsSettings;

use crate::{arguments::TlsFiles, environment, input_file};

/// The certificates that the flags name, without those of the system.
///
/// # Errors
/// When a file cannot be read, or does not contain what it should.
pub(super) fn tls_settings(files: &TlsFiles) -> anyhow::Result<TlsSettings> {
    if let Some(file) = environment::certificate_file() {
        let named = || format!("the variable SSL_CERT_FILE: {}", file.display());
        input_file::check(&file).with_context(named)?;
    }
    let mut tls = TlsSettings::none();
    for file in &files.ca_file {
        tls.trust_pem(&read(file)?).with_context(|| file.display().to_string())?;
    }
    if let (Some(chain), Some(key)) = (&files.client_certificate, &files.client_key) {
        let names = || format!("{} and {}", chain.display(), key.display());
        tls.identify(&read(chain)?, &read(key)?).with_context(names)?;
    }
    Ok(tls)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    input_file::read(file).with_context(|| format!("{}: the file cannot be read", file.display()))
}
