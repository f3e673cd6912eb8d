//! The report in words, for people: what is or would be done, then what is not as asked and why.
//! Edges that fared alike are one line: a tag that goes to 22 regions is said once.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    sync::Arc,
};

use promotion_manifest::{DestinationRepository, Edge, EdgeSet, Problem, one_line};
use transfer::Confirm;

use super::{Report, Show, costs};
use crate::{Ending, Outcome, Summary, Verdict};

/// The most lines of one kind (what holds, or what does not, or causes of failure) that are kept in
/// memory; edges beyond are counted, and left to the JSON report. The whole Kubernetes tree has
/// 33,000 tags; nobody reads that many lines.
const MAX_LINES: usize = 5_000;

/// How many destinations a line names, and a cause of failure edges, before it only counts them.
const NAMED: usize = 5;

/// Writes the report as text.
pub struct WordsReport<W> {
    out: W,
    show: Show,
    fine: BTreeMap<Line, Few>,
    amiss: BTreeMap<Line, Few>,
    causes: HashMap<Arc<str>, Few>,
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

/// How many there are, and the names of the first.
#[derive(Default)]
struct Few {
    count: u64,
    names: Vec<String>,
}

impl Few {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name());
        }
    }

    fn more(&self) -> u64 {
        self.count - self.names.len() as u64
    }
}

impl<W: Write> WordsReport<W> {
    /// A report to `out`, which should be buffered.
    pub fn new(out: W, show: Show) -> Self {
        Self {
            out,
            show,
            fine: BTreeMap::new(),
            amiss: BTreeMap::new(),
            causes: HashMap::new(),
            left_out: 0,
            projects: BTreeMap::new(),
        }
    }

    fn count(&mut self, project: &str, verdict: Verdict) {
        if let Some(summary) = self.projects.get_mut(project) {
            summary.add(verdict);
        } else {
            self.projects.entry(project.to_owned()).or_default().add(verdict);
        }
    }

    fn add_line(&mut self, line: Line, place: &DestinationRepository) {
        let lines = if line.verdict.is_amiss() { &mut self.amiss } else { &mut self.fine };
        if lines.len() < MAX_LINES || lines.contains_key(&line) {
            lines.entry(line).or_default().add(|| place.prefix.to_string());
        } else {
            self.left_out += 1;
        }
    }

    fn add_cause(&mut self, reason: &Arc<str>, name: impl FnOnce() -> String) {
        if self.causes.len() < MAX_LINES || self.causes.contains_key(reason) {
            self.causes.entry(Arc::clone(reason)).or_default().add(name);
        } else {
            self.left_out += 1;
        }
    }

    fn write_lines(&mut self) -> io::Result<()> {
        let mut last = None;
        for (line, places) in self.fine.iter().chain(&self.amiss) {
            if last.replace((line.verdict, &line.project)) != Some((line.verdict, &line.project)) {
                let project = one_line(&line.project);
                writeln!(self.out, "\n{} ({project})", heading(line.verdict))?;
            }
            write!(self.out, "  {}  at {}", line.image, destinations(line, places))?;
            match &line.reason {
                Some(reason) => writeln!(self.out, ": {reason}")?,
                None => writeln!(self.out)?,
            }
        }
        Ok(())
    }

    fn write_causes(&mut self) -> io::Result<()> {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by(|a, b| b.1.count.cmp(&a.1.count).then(a.0.cmp(b.0)));
        if !causes.is_empty() {
            writeln!(self.out, "\nFailed")?;
        }
        for (reason, edges) in causes {
            writeln!(self.out, "  {} edges: {reason}", edges.count)?;
            for name in &edges.names {
                writeln!(self.out, "    {name}")?;
            }
            if edges.more() > 0 {
                writeln!(self.out, "    and {} more; --output json names each", edges.more())?;
            }
        }
        if self.left_out > 0 {
            writeln!(self.out, "\nand {} edges more; --output json names each", self.left_out)?;
        }
        Ok(())
    }

    fn write_projects(&mut self, confirm: Confirm) -> io::Result<()> {
        let width = self.projects.keys().map(String::len).max().unwrap_or(0).max(7);
        let columns = Verdict::all(confirm);
        write!(self.out, "{:width$}", "project")?;
        for verdict in columns {
            write!(self.out, "  {:>9}", verdict.as_str())?;
        }
        writeln!(self.out)?;
        for (project, summary) in &self.projects {
            write!(self.out, "{:width$}", one_line(project))?;
            for verdict in columns {
                write!(self.out, "  {:>9}", summary.count(verdict))?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }
}

const fn heading(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present => "Present",
        Verdict::ToCopy => "To copy",
        Verdict::ToTag => "To tag",
        Verdict::ToAttach => "To attach",
        Verdict::Copied => "Copied",
        Verdict::Tagged => "Tagged",
        Verdict::Attached => "Attached",
        Verdict::Lost => "Lost",
        Verdict::Refused => "Refused",
        Verdict::Failed => "Failed",
        Verdict::AttachmentBroken => "Attachment broken",
    }
}

/// Where a line's edges are: by name where something is amiss there, else how many there are.
fn destinations(line: &Line, places: &Few) -> String {
    match (places.count, line.verdict.is_amiss()) {
        (1, false) => "1 destination".to_owned(),
        (count, false) => format!("{count} destinations"),
        (_, true) if places.more() == 0 => places.names.join(", "),
        (_, true) => format!("{} and {} more", places.names.join(", "), places.more()),
    }
}

/// The image as a line names it.
fn image(edges: &EdgeSet, edge: &Edge, place: &DestinationRepository) -> String {
    let digest = edges.digest(edge);
    match edges.tag(edge) {
        Some(tag) => format!("{}:{tag}  {digest}", place.name),
        None => format!("{}  {digest}", place.name),
    }
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
        self.count(project, outcome.verdict);
        match (outcome.verdict, &outcome.reason) {
            (Verdict::Present, _) if self.show == Show::Changes => {}
            (Verdict::Failed, Some(reason)) => self.add_cause(reason, || {
                let (project, image) = (one_line(project), image(edges, edge, place));
                format!("{project}: {image}  at {}", place.prefix)
            }),
            (verdict, reason) => {
                let (image, reason) = (image(edges, edge, place), reason.clone());
                let line = Line { verdict, project: project.clone(), image, reason };
                self.add_line(line, place);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &EdgeSet, ending: &Ending) -> io::Result<()> {
        self.write_projects(ending.confirm)?;
        self.write_lines()?;
        self.write_causes()?;
        costs::write(&mut self.out, ending)?;
        self.out.flush()
    }
}
