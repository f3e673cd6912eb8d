//! The files that `portolan promote` reads, none of which it may write to.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use job::is_same_file;

use crate::{arguments::Promote, credentials::credentials, environment};

/// Where Linux shows the file that standard input is.
const STANDARD_INPUT: &str = "/dev/stdin";

/// A file, and what names it: a flag, or what it is for.
struct NamedFile {
    named_by: &'static str,
    /// As the user knows it.
    name: PathBuf,
    path: PathBuf,
}

impl NamedFile {
    fn new(named_by: &'static str, path: &Path) -> Self {
        Self { named_by, name: path.to_owned(), path: path.to_owned() }
    }
}

impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.named_by, self.name.display())
    }
}

/// Checks that no file is written that this run reads, or that another flag writes.
///
/// # Errors
/// When one is: it would be overwritten.
pub(super) fn check(promote: &Promote) -> anyhow::Result<()> {
    let flags = &promote.output_flags;
    let report = flags.report.as_deref().map(|file| NamedFile::new("--report", file));
    let metrics = flags.metrics_file.as_deref().map(|file| NamedFile::new("--metrics-file", file));
    if let (Some(report), Some(metrics)) = (&report, &metrics) {
        differ(report, metrics)?;
    }
    for written in report.iter().chain(&metrics) {
        of_flags(promote).try_for_each(|read| differ(written, &read))?;
        of_environment(promote)?.try_for_each(|read| differ(written, &read))?;
        if let Some(directory) = &promote.manifests.thin_manifest_dir
            && is_manifest_in(directory, &written.path)
        {
            let directory = directory.display();
            anyhow::bail!(
                "{written}: --thin-manifest-dir {directory} reads this file; name another file to write to"
            );
        }
    }
    Ok(())
}

/// The files that flags name and that are read.
fn of_flags(promote: &Promote) -> impl Iterator<Item = NamedFile> {
    let tls = &promote.registries.tls_files;
    let manifest = promote.manifests.manifest.iter().map(|file| {
        let is_standard_input = file == Path::new("-");
        let path = if is_standard_input { Path::new(STANDARD_INPUT) } else { file };
        NamedFile { path: path.to_owned(), ..NamedFile::new("--manifest", file) }
    });
    let credentials =
        promote.credentials.iter().map(|(_, file)| NamedFile::new("--credentials", file));
    let ca = tls.ca_file.iter().map(|file| NamedFile::new("--ca-file", file));
    let certificate =
        tls.client_certificate.iter().map(|file| NamedFile::new("--client-certificate", file));
    let key = tls.client_key.iter().map(|file| NamedFile::new("--client-key", file));
    manifest.chain(credentials).chain(ca).chain(certificate).chain(key)
}

/// The files that environment variables name, or that are in the usual places.
fn of_environment(promote: &Promote) -> anyhow::Result<impl Iterator<Item = NamedFile>> {
    let credentials = credentials(&super::places(&promote.registries))?;
    let credentials: Vec<_> =
        credentials.paths().map(|path| NamedFile::new("the file of credentials", path)).collect();
    let certificates = environment::certificate_files();
    let certificates = certificates.into_iter();
    let certificates =
        certificates.map(|path| NamedFile::new("the file of root certificates", &path));
    Ok(credentials.into_iter().chain(certificates))
}

fn differ(written: &NamedFile, other: &NamedFile) -> anyhow::Result<()> {
    anyhow::ensure!(
        !is_same_file(&written.path, &other.path),
        "{written} and {other} are the same file; name another file to write to"
    );
    Ok(())
}

/// Whether an existing file is a YAML file below the two folders of a thin manifest directory.
fn is_manifest_in(directory: &Path, file: &Path) -> bool {
    let is_yaml = |file: &Path| file.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let Ok(file) = file.canonicalize() else { return false };
    let is_below = |folder: &str| {
        let folder = directory.join(folder).canonicalize();
        folder.is_ok_and(|folder| file.starts_with(folder))
    };
    is_yaml(&file) && (is_below("images") || is_below("manifests"))
}
