//! The files that `portolan promote` writes.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
    time::SystemTime,
};

use anyhow::Context as _;
use job::{FileError, NamedWriter, ReplacedFile};
use promoter::{
    Ending,
    report::{JsonReport, Report, Reports, Show, WordsReport},
};

use super::spooled_writer::{SpooledWriter, go_to_same_file};
use crate::{
    arguments::{Output, Promote},
    printer::Printer,
};

/// The index of the report of `--report`: the first is that on standard output.
const FILE_REPORT: usize = 1;

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
        let [report, metrics] = create(promote)?;
        for (flag, file) in [("--report", &report), ("--metrics-file", &metrics)] {
            if let Some(file) = file.as_ref().filter(|file| file.replaces(io::stdout())) {
                anyhow::bail!(
                    "{flag} {}: standard output goes to this file too, and would be lost; name another file",
                    file.path().display()
                );
            }
        }
        if let Some(file) = &report {
            reports.push(report_to(file, printer, show)?);
        }
        Ok(Self { reports: Reports::new(reports), report, metrics })
    }

    /// Writes what remains, each file whether or not another one fails, and returns the failures.
    pub(super) fn close(self, ending: &Ending) -> Vec<anyhow::Error> {
        let Self { reports, report, metrics } = self;
        let failures = reports.failures();
        // What is incomplete replaces nothing.
        let is_whole = failures.iter().all(|failure| failure.report != FILE_REPORT);
        let report = report.filter(|_| is_whole).map(|file| Ok(file.replace()?));
        let metrics = metrics.map(|file| {
            file.write(&promoter::metrics(ending, SystemTime::now()))?;
            Ok(file.replace()?)
        });
        let failures =
            failures.into_iter().map(|it| Err(it.error).context("the report cannot be written"));
        failures.chain(report).chain(metrics).filter_map(Result::err).collect()
    }
}

/// Creates the files of the report and of the metrics. To open a pipe waits for its reader, and a signal ends the process
/// meanwhile, so it is opened before a temporary file is made that would be left behind.
fn create(promote: &Promote) -> Result<[Option<ReplacedFile>; 2], FileError> {
    let flags = &promote.output_flags;
    let paths = [flags.report.as_deref(), flags.metrics_file.as_deref()];
    let may_wait = |path: &Path| fs::metadata(path).is_ok_and(|found| !found.is_file());
    let mut files = [None, None];
    for waiting in [true, false] {
        for (file, path) in files.iter_mut().zip(paths) {
            if let Some(path) = path.filter(|path| file.is_none() && may_wait(path) == waiting) {
                *file = Some(ReplacedFile::create(path)?);
            }
        }
    }
    Ok(files)
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
