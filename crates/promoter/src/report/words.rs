//! The report as text: what was or would be done, then what does not hold and why. Edges with the same outcome are one
//! line, so that a tag that goes to 22 regions is printed once.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
};

use job::Confirm;
use oci::Digest;
use promotion_manifest::{DestinationRepository, EdgeSet, EdgeView, Problem};
use wording::{FailureGroups, Width, counted, list, one_line, row};

use super::{
    Report, Show, costs,
    counted_names::{CountedNames, NAMED},
    table::TextTable,
};
use crate::{
    Ending, Outcome, OutcomeKind, Summary,
    reason::{CauseKey, Reason},
};

/// The most lines of one kind (edges that hold, edges that do not, causes of failure) that are kept in memory. Further
/// edges are counted, and are only in the JSON report. The whole Kubernetes tree has 33,000 tags, more than anyone reads.
const MAX_LINES: usize = 5_000;

/// Writes the report as text.
pub struct WordsReport<W> {
    out: W,
    show: Show,
    width: Width,
    holding: BTreeMap<ReportLine, CountedNames>,
    not_holding: BTreeMap<ReportLine, CountedNames>,
    causes: FailureGroups<CountedNames, CauseKey>,
    /// The last cause and its text: most edges share the reason of the edge before them.
    last_cause: Option<(Arc<Reason>, CauseKey, String)>,
    left_out: u64,
    projects: BTreeMap<String, Summary>,
}

/// What edges have in common that are one line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ReportLine {
    kind: OutcomeKind,
    project: String,
    image: String,
    digest: Digest,
    attachments: Arc<[String]>,
    reason: Option<String>,
}

impl<W: Write> WordsReport<W> {
    /// A report to `out`, which should be buffered, in lines of this width.
    pub fn new(out: W, show: Show, width: Width) -> Self {
        Self {
            out,
            show,
            width,
            holding: BTreeMap::new(),
            not_holding: BTreeMap::new(),
            causes: FailureGroups::new(MAX_LINES),
            last_cause: None,
            left_out: 0,
            projects: BTreeMap::new(),
        }
    }

    fn count(&mut self, project: &str, kind: OutcomeKind) {
        if let Some(summary) = self.projects.get_mut(project) {
            summary.add(kind);
        } else {
            self.projects.entry(project.to_owned()).or_default().add(kind);
        }
    }

    fn add_line(&mut self, line: ReportLine, destination: &DestinationRepository) {
        let lines = if line.kind.is_failure() { &mut self.not_holding } else { &mut self.holding };
        if lines.len() < MAX_LINES || lines.contains_key(&line) {
            lines.entry(line).or_default().add_in_order(destination.prefix.to_string());
        } else {
            self.left_out += 1;
        }
    }

    fn add_cause(&mut self, reason: &Arc<Reason>, name: impl FnOnce() -> String) {
        if self.last_cause.as_ref().is_none_or(|(last, ..)| !Arc::ptr_eq(last, reason)) {
            self.last_cause = Some((Arc::clone(reason), reason.cause(), reason.to_string()));
        }
        let Some((_, key, text)) = &self.last_cause else { return };
        match self.causes.add(key.clone(), text) {
            Some(cause) => cause.kept.add(name),
            None => self.left_out += 1,
        }
    }

    fn write_lines(&mut self) -> io::Result<()> {
        let mut last = None;
        for (line, destinations) in self.holding.iter().chain(&self.not_holding) {
            if last.replace((line.kind, &line.project)) != Some((line.kind, &line.project)) {
                let project = one_line(&line.project);
                writeln!(self.out, "\n{} ({project})", heading(line.kind))?;
            }
            writeln!(self.out, "{}", row(2, &line.parts(destinations), self.width))?;
        }
        Ok(())
    }

    fn write_causes(&mut self) -> io::Result<()> {
        let mut causes: Vec<_> = self.causes.as_slice().iter().collect();
        causes.sort_by(|a, b| b.count().cmp(&a.count()).then(a.example().cmp(b.example())));
        if !causes.is_empty() {
            writeln!(self.out, "\nFailed")?;
        }
        for cause in causes {
            let edges = &cause.kept;
            writeln!(self.out, "{}", row(2, &[cause.summary("edge")], self.width))?;
            for name in &edges.names {
                let parts: Vec<_> = name.split("  ").collect();
                writeln!(self.out, "{}", row(4, &parts, self.width))?;
            }
            if edges.more() > 0 {
                writeln!(self.out, "    and {} more; --output json names each", edges.more())?;
            }
        }
        if self.left_out > 0 {
            let left_out = counted(self.left_out, "more edge");
            writeln!(self.out, "\nand {left_out}; --output json names each")?;
        }
        Ok(())
    }

    fn write_projects(&mut self, confirm: Confirm) -> io::Result<()> {
        if self.projects.is_empty() {
            return Ok(());
        }
        let kinds = OutcomeKind::all(confirm);
        let mut table =
            TextTable::new(["project"].into_iter().chain(kinds.map(OutcomeKind::as_str)));
        for (project, summary) in &self.projects {
            let counts = kinds.map(|kind| summary.count(kind).to_string());
            table.add([one_line(project)].into_iter().chain(counts));
        }
        table.write(&mut self.out, 0, self.width)
    }
}

impl ReportLine {
    /// The parts of the row: the image, the digest, the destinations, the attachments and the reason.
    fn parts(&self, destinations: &CountedNames) -> Vec<String> {
        let mut parts = vec![self.image.clone(), self.digest.to_string()];
        parts.push(format!("at {}", destinations.listed()));
        if !self.attachments.is_empty() {
            parts.push(format!("with attachments {}", list(self.attachments.iter(), NAMED)));
        }
        if let (Some(reason), Some(last)) = (&self.reason, parts.last_mut()) {
            last.push(':');
            parts.push(reason.clone());
        }
        parts
    }
}

const fn heading(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Present => "Present",
        OutcomeKind::ToCopy => "To copy",
        OutcomeKind::ToTag => "To tag",
        OutcomeKind::ToAttach => "To attach",
        OutcomeKind::Copied => "Copied",
        OutcomeKind::Tagged => "Tagged",
        OutcomeKind::Attached => "Attached",
        OutcomeKind::Lost => "Lost",
        OutcomeKind::Refused => "Refused",
        OutcomeKind::Failed => "Failed",
        OutcomeKind::AttachmentBroken => "Attachment broken",
    }
}

/// The reason as a row has it. That a repository could not be read is said once for each host, at the end.
fn row_reason(reason: &Arc<Reason>) -> Option<String> {
    let is_shown =
        |reason: &&Arc<Reason>| !matches!(***reason, Reason::NotKnownBeforeWriting { .. });
    match &**reason {
        Reason::Several { first, others } => {
            let shown = [first].into_iter().chain(others).filter(is_shown).cloned();
            Reason::several(shown).map(|reason| reason.to_string())
        }
        _ => Some(reason).filter(is_shown).map(ToString::to_string),
    }
}

/// The image as a line names it.
fn image(edge: EdgeView<'_>) -> String {
    let name = &edge.destination().name;
    match edge.tag() {
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_string(),
    }
}

impl<W: Write> Report for WordsReport<W> {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        for problem in problems {
            let problem = format!("problem: {problem}");
            writeln!(self.out, "{}", row(0, &[problem], self.width))?;
        }
        self.out.flush()
    }

    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()> {
        let edge = edges.edge(outcome.edge);
        let (destination, project) = (edge.destination(), edge.project());
        self.count(project, outcome.kind);
        match (outcome.kind, &outcome.reason) {
            (OutcomeKind::Present, _) if self.show == Show::Changes => {}
            (OutcomeKind::Failed, Some(reason)) => self.add_cause(reason, || {
                let (project, image) = (one_line(project), image(edge));
                format!("{project}: {image}  {}  at {}", edge.digest(), destination.prefix)
            }),
            (kind, reason) => {
                let line = ReportLine {
                    kind,
                    project: project.to_owned(),
                    image: image(edge),
                    digest: edge.digest(),
                    attachments: Arc::clone(&outcome.attachments),
                    reason: reason.as_ref().and_then(row_reason),
                };
                self.add_line(line, destination);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &EdgeSet, ending: &Ending) -> io::Result<()> {
        self.write_projects(ending.confirm)?;
        self.write_lines()?;
        self.write_causes()?;
        if !ending.unchecked.hosts.is_empty() {
            writeln!(self.out, "\nNot checked")?;
        }
        for host in &ending.unchecked.hosts {
            let unknown = format!("{host}: not logged in, or without access; contents unknown");
            writeln!(self.out, "{}", row(2, &[unknown], self.width))?;
        }
        costs::write(&mut self.out, ending, self.width)?;
        self.out.flush()
    }
}
