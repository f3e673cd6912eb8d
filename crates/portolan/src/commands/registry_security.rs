//! The files that flags of `portolan registry serve` name: users, rights, certificate and key.

use std::{fs, os::unix::fs::FileTypeExt as _, path::Path, time::SystemTime};

use anyhow::Context as _;
use http_server::{OutOfDate, PemFile, Tls};
use registry::{Access, NamedText};

use crate::{arguments::RegistrySecurity, input_file};

/// What a file that is read may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A pipe too: at start it may be a process substitution of the shell.
    Any,
    /// What can be read more than once.
    RegularFile,
}

pub(super) fn access(
    security: &RegistrySecurity,
    source: Source,
) -> anyhow::Result<Option<Access>> {
    let Some(htpasswd) = &security.htpasswd else { return Ok(None) };
    let rights = security.rights.as_ref();
    let rights = rights.map(|path| Ok((path.display().to_string(), read_text(path, source)?)));
    let (users_text, rights) = both(read_text(htpasswd, source), rights.transpose())?;
    let users = htpasswd.display().to_string();
    let rights = rights.as_ref().map(|(name, text)| NamedText { name, text });
    let users = NamedText { name: &users, text: &users_text };
    Ok(Some(Access::new(users, rights)?))
}

pub(super) fn tls(security: &RegistrySecurity, source: Source) -> anyhow::Result<Option<Tls>> {
    let (Some(chain), Some(key)) = (&security.tls_cert, &security.tls_key) else { return Ok(None) };
    let (chain_text, key_text) = both(read(chain, source), read(key, source))?;
    let (chain, key) = (chain.display().to_string(), key.display().to_string());
    let chain = PemFile { name: &chain, content: &chain_text };
    let key = PemFile { name: &key, content: &key_text };
    Ok(Some(Tls::from_pem(chain, key)?))
}

/// Warns of rights that grant nothing, by which every request is denied.
pub(super) fn warn_of_rights(access: Option<&Access>, security: &RegistrySecurity) {
    if let (Some(rule), Some(rights)) = (access.and_then(Access::missing_rule), &security.rights) {
        tracing::warn!(
            "no rule in {} grants anything, so all requests are denied; add a rule, such as `{rule}`",
            rights.display()
        );
    }
}

/// Warns of the certificates that clients will not accept for their dates. They are served all the same: clients
/// may be configured to ignore it, and the clock of this machine may be wrong.
pub(super) fn warn_of_dates(tls: Option<&Tls>) {
    for certificate in out_of_date(tls) {
        tracing::warn!("{certificate}; clients will reject it: renew it, or correct the clock");
    }
}

/// A newer certificate that has expired does not replace one that is still valid.
pub(super) fn check_dates(present: Option<&Tls>, newer: Option<&Tls>) -> anyhow::Result<()> {
    let expired = |tls| {
        let mut dates = out_of_date(tls).into_iter();
        dates.find(OutOfDate::is_expired_server_certificate)
    };
    match (expired(newer), expired(present)) {
        (Some(newer), None) => anyhow::bail!("{newer}; the old one stays"),
        _ => Ok(()),
    }
}

fn out_of_date(tls: Option<&Tls>) -> Vec<OutOfDate> {
    tls.map(|tls| tls.out_of_date(SystemTime::now())).unwrap_or_default()
}

/// Both, or what is wrong with either.
pub(super) fn both<A, B>(a: anyhow::Result<A>, b: anyhow::Result<B>) -> anyhow::Result<(A, B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => anyhow::bail!("{a:#}\n{b:#}"),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn read(path: &Path, source: Source) -> anyhow::Result<Vec<u8>> {
    if source == Source::RegularFile {
        check_regular(path)?;
    }
    input_file::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_text(path: &Path, source: Source) -> anyhow::Result<String> {
    wording::utf8(read(path, source)?).with_context(|| format!("cannot read {}", path.display()))
}

/// Opening a pipe waits for a program that writes to it, and reading a device may never end.
fn check_regular(path: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    anyhow::bail!("{} is {what}; a re-read needs a file", path.display())
}
