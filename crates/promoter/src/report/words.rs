//! The report in words, for people: what is or would be done, then what is not as asked and why.
//! Edges that fared alike are one line: a tag that goes to 22 regions is said once.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    sync::Arc,
};

use promotion_manifest::{EdgeSet, Problem};
use transfer::Confirm;

use super::{Report, Show};
use crate::{Outcome, Summary, Verdict};

/// The most lines kept in memory; what is beyond is counted and left to the JSON report. The whole
/// Kubernetes tree has 33,000 tags; nobody reads that many lines.
const MAX_LINES: usize = 5_000;

/// Writes the report as text.
pub struct WordsReport<W> {
    out: W,
    show: Show,
    lines: BTreeMap<Line, u64>,
    causes: HashMap<Arc<str>, u64>,
    left_out: u64,
    projects: BTreeMap<String, Summary>,
}

/// What edges must share to be one line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    verdict: Verdict,
    project: String,
    image: String,
    reason: Option<Arc<str>>,
}

impl<W: Write> WordsReport<W> {
    /// A report to `out`, which should be buffered.
    pub fn new(out: W, show: Show) -> Self {
        let (lines, projects) = (BTreeMap::new(), BTreeMap::new());
        Self { out, show, lines, causes: HashMap::new(), left_out: 0, projects }
    }

    fn write_lines(&mut self) -> io::Result<()> {
        let mut last = None;
        for (line, edges) in &self.lines {
            if last.replace((line.verdict, &line.project)) != Some((line.verdict, &line.project)) {
                writeln!(self.out, "\n{} ({})", heading(line.verdict), line.project)?;
            }
            write!(self.out, "  {}  {}", line.image, destinations(*edges))?;
            match &line.reason {
                Some(reason) => writeln!(self.out, ": {reason}")?,
                None => writeln!(self.out)?,
            }
        }
        if self.left_out > 0 {
            writeln!(self.out, "\nand {} edges more; --output json names each", self.left_out)?;
        }
        Ok(())
    }

    fn write_causes(&mut self) -> io::Result<()> {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        if !causes.is_empty() {
            writeln!(self.out, "\nFailed")?;
        }
        for (reason, edges) in causes.iter().take(MAX_LINES) {
            writeln!(self.out, "  {edges} edges: {reason}")?;
        }
        Ok(())
    }

    fn write_projects(&mut self, confirm: Confirm) -> io::Result<()> {
        let width = self.projects.keys().map(String::len).max().unwrap_or(0).max(7);
        let columns = columns(confirm);
        write!(self.out, "\n{:width$}", "project")?;
        for verdict in columns {
            write!(self.out, "  {:>8}", verdict.as_str())?;
        }
        writeln!(self.out)?;
        for (project, summary) in &self.projects {
            write!(self.out, "{project:width$}")?;
            for verdict in columns {
                write!(self.out, "  {:>8}", summary.count(verdict))?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }
}

/// The verdicts that a run can end with.
const fn columns(confirm: Confirm) -> [Verdict; 6] {
    let (copied, tagged) = match confirm {
        Confirm::Write => (Verdict::Copied, Verdict::Tagged),
        Confirm::DryRun => (Verdict::ToCopy, Verdict::ToTag),
    };
    [Verdict::Present, copied, tagged, Verdict::Lost, Verdict::Refused, Verdict::Failed]
}

const fn heading(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present => "Present",
        Verdict::ToCopy => "To copy",
        Verdict::ToTag => "To tag",
        Verdict::Copied => "Copied",
        Verdict::Tagged => "Tagged",
        Verdict::Lost => "Lost",
        Verdict::Refused => "Refused",
        Verdict::Failed => "Failed",
    }
}

fn destinations(edges: u64) -> String {
    if edges == 1 { "at 1 destination".to_owned() } else { format!("at {edges} destinations") }
}

impl<W: Write> Report for WordsReport<W> {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        for problem in problems {
            writeln!(self.out, "problem: {problem}")?;
        }
        self.out.flush()
    }

    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()> {
        let place = &edges.destinations()[outcome.edge.destination];
        let edge = &place.edges[outcome.edge.edge];
        let project = &edges.wish(edge).manifest.project;
        if let Some(summary) = self.projects.get_mut(project) {
            summary.add(outcome.verdict);
        } else {
            self.projects.entry(project.clone()).or_default().add(outcome.verdict);
        }
        match (outcome.verdict, &outcome.reason) {
            (Verdict::Present, _) if self.show == Show::Changes => return Ok(()),
            (Verdict::Failed, Some(reason)) => {
                *self.causes.entry(Arc::clone(reason)).or_default() += 1;
                return Ok(());
            }
            _ => {}
        }
        let digest = edges.digest(edge);
        let image = match edges.tag(edge) {
            Some(tag) => format!("{}:{tag}  {digest}", place.name),
            None => format!("{}  {digest}", place.name),
        };
        let (project, reason) = (project.clone(), outcome.reason.clone());
        let line = Line { verdict: outcome.verdict, project, image, reason };
        if self.lines.len() < MAX_LINES || self.lines.contains_key(&line) {
            *self.lines.entry(line).or_default() += 1;
        } else {
            self.left_out += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _: &EdgeSet, _: &Summary, confirm: Confirm) -> io::Result<()> {
        self.write_lines()?;
        self.write_causes()?;
        self.write_projects(confirm)?;
        self.out.flush()
    }
}
