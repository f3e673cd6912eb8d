//! The files that `portolan promote` writes.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    time::SystemTime,
};

use anyhow::Context as _;
use job::{NamedWriter, ReplacedFile, is_same_file};
use promoter::{
    Ending,
    report::{JsonReport, Report, Reports, Show, WordsReport},
};

use super::spooled_writer::{SpooledWriter, go_to_same_file};
use crate::{
    arguments::{Output, Promote},
    printer::Printer,
};

/// A flag with the file that it names.
type FileFlag<'a> = (&'static str, &'a Path);

/// Checks that each file that is written is neither read nor written by another flag.
///
/// # Errors
/// When one is: it would be overwritten.
pub(super) fn check(promote: &Promote) -> anyhow::Result<()> {
    let flags = &promote.output_flags;
    let report = flags.report.as_deref().map(|file| ("--report", file));
    let metrics = flags.metrics_file.as_deref().map(|file| ("--metrics-file", file));
    if let (Some(report), Some(metrics)) = (report, metrics) {
        differ(report, metrics)?;
    }
    for written in report.into_iter().chain(metrics) {
        read_files(promote).try_for_each(|read| differ(written, read))?;
        if let Some(directory) = &promote.manifests.thin_manifest_dir
            && is_manifest_in(directory, written.1)
        {
            let ((flag, file), directory) = (written, directory.display());
            anyhow::bail!(
                "{flag} {}: --thin-manifest-dir {directory} reads this file; name another file to write to",
                file.display()
            );
        }
    }
    Ok(())
}

/// The files that flags name and that are read.
fn read_files(promote: &Promote) -> impl Iterator<Item = FileFlag<'_>> {
    let tls = &promote.registries.tls_files;
    let manifest = promote.manifests.manifest.iter().map(|file| ("--manifest", file));
    let credentials = promote.credentials.iter().map(|(_, file)| ("--credentials", file));
    let ca = tls.ca_file.iter().map(|file| ("--ca-file", file));
    let certificate = tls.client_certificate.iter().map(|file| ("--client-certificate", file));
    let key = tls.client_key.iter().map(|file| ("--client-key", file));
    let files = manifest.chain(credentials).chain(ca).chain(certificate).chain(key);
    files.map(|(flag, file)| (flag, file.as_path()))
}

fn differ(written: FileFlag<'_>, other: FileFlag<'_>) -> anyhow::Result<()> {
    if is_same_file(written.1, other.1) {
        let [written, other] =
            [written, other].map(|(flag, file)| format!("{flag} {}", file.display()));
        anyhow::bail!("{written} and {other} are the same file; name another file to write to");
    }
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

/// Where the run is reported, besides the terminal.
pub(super) struct Outputs {
    pub(super) reports: Reports,
    report: Option<ReplacedFile>,
    metrics: Option<ReplacedFile>,
}

impl Outputs {
    /// Opens all of them before anything is done, so that a file that cannot be written is reported at once.
    pub(super) fn open(promote: &Promote, printer: &Printer) -> anyhow::Result<Self> {
        let show = if promote.output_flags.all { Show::Everything } else { Show::Changes };
        let out = BufWriter::new(NamedWriter::new("standard output", printer.stdout()));
        let mut reports: Vec<Box<dyn Report>> = vec![match promote.output_flags.output {
            Output::Json => Box::new(JsonReport::new(out, show)),
            Output::Table => Box::new(WordsReport::new(out, show, printer.width())),
        }];
        let report =
            promote.output_flags.report.as_deref().map(ReplacedFile::create).transpose()?;
        if let Some(file) = &report {
            reports.push(report_to(file, printer, show)?);
        }
        let metrics = promote.output_flags.metrics_file.as_deref();
        let metrics = metrics.map(ReplacedFile::create).transpose()?;
        Ok(Self { reports: Reports(reports), report, metrics })
    }

    pub(super) fn close(self, ending: &Ending) -> anyhow::Result<()> {
        drop(self.reports);
        if let Some(file) = self.report {
            file.replace()?;
        }
        if let Some(file) = self.metrics {
            file.write(&promoter::metrics(ending, SystemTime::now()))?;
            file.replace()?;
        }
        Ok(())
    }
}

/// The JSON report that is written to `file`. What is written to standard output comes first where both go to the same
/// place.
fn report_to(
    file: &ReplacedFile,
    printer: &Printer,
    show: Show,
) -> anyhow::Result<Box<dyn Report>> {
    let name = file.path().display().to_string();
    let out = file.writer()?;
    if !go_to_same_file(&out, io::stdout()) {
        return Ok(json_report(name, printer.screen().data(out), show));
    }
    let spooled = SpooledWriter::new(printer.screen().data(out));
    let spooled = spooled.with_context(|| format!("cannot write {name}"))?;
    Ok(json_report(name, spooled, show))
}

fn json_report(name: String, out: impl Write + 'static, show: Show) -> Box<dyn Report> {
    Box::new(JsonReport::new(BufWriter::new(NamedWriter::new(name, out)), show))
}
