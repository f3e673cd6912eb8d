//! The report as one JSON object, streamed: `docs/reference/report.md`.

use std::io::{self, Write};

use oci::{Digest, Tag};
use promotion_manifest::{EdgeSet, Problem};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::ser::Formatter;

use super::{Report, Show, members, tail::ReportTail};
use crate::{Ending, Outcome, OutcomeKind, ReasonCode};

/// The version of the report's shape.
pub(super) const SCHEMA: u32 = 3;

/// Writes the report as JSON. Members appear as they become known, `summary` last.
pub struct JsonReport<W> {
    out: W,
    show: Show,
    first: bool,
}

impl<W: Write> JsonReport<W> {
    /// A report to `out`, which should be buffered.
    pub const fn new(out: W, show: Show) -> Self {
        Self { out, show, first: true }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem", deny_unknown_fields)]
pub(super) struct ProblemRow<'a> {
    /// The project that the manifest belongs to.
    project: Option<&'a str>,
    /// The path of the manifest.
    file: &'a str,
    /// The code of the broken rule.
    #[schemars(schema_with = "members::rule")]
    rule: &'static str,
    /// How severe the problem is.
    #[schemars(schema_with = "members::severity")]
    severity: &'static str,
    /// The line of the first character, from 1.
    line: Option<u32>,
    /// Its column, from 1.
    column: Option<u32>,
    /// The line of the character after the last.
    end_line: Option<u32>,
    /// Its column.
    end_column: Option<u32>,
    /// The problem as text.
    message: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Outcome", deny_unknown_fields)]
pub(super) struct OutcomeRow<'a> {
    /// The project that requests the edge.
    project: &'a str,
    /// The file that requests it.
    file: &'a str,
    /// The line in that file.
    line: u32,
    /// The source registry prefix.
    source: String,
    /// The destination registry prefix.
    destination: String,
    /// The image's name below both prefixes.
    repository: &'a str,
    /// The requested digest.
    #[schemars(with = "String")]
    digest: Digest,
    /// The requested tag.
    #[schemars(with = "Option<String>")]
    tag: Option<&'a Tag>,
    /// How the edge ended.
    outcome: OutcomeKind,
    /// The code of the reason.
    code: Option<ReasonCode>,
    /// The reason as text.
    reason: Option<String>,
    /// The attachments that were copied, or would be: digest tags, and digests of referrers.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    attachments: &'a [String],
}

impl<W: Write> Report for JsonReport<W> {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        let rows: Vec<_> = problems
            .iter()
            .map(|problem| ProblemRow {
                project: problem.project.as_deref(),
                file: &problem.file,
                rule: problem.rule.as_str(),
                severity: problem.rule.severity().as_str(),
                line: problem.span.map(|span| span.start.line),
                column: problem.span.map(|span| span.start.column),
                end_line: problem.span.map(|span| span.end.line),
                end_column: problem.span.map(|span| span.end.column),
                message: &problem.message,
            })
            .collect();
        write!(self.out, "{{\"schema\":{SCHEMA},\n\"problems\":")?;
        write_value(&mut self.out, &rows)?;
        self.out.write_all(b",\n\"outcomes\":[")
    }

    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()> {
        if outcome.kind == OutcomeKind::Present && self.show == Show::Changes {
            return Ok(());
        }
        let edge = edges.edge(outcome.edge);
        let destination = edge.destination();
        let row = OutcomeRow {
            project: edge.project(),
            file: edge.file(),
            line: edge.position().line,
            source: edge.source_digest().source_prefix().to_string(),
            destination: destination.prefix.to_string(),
            repository: destination.name.as_str(),
            digest: edge.digest(),
            tag: edge.tag(),
            outcome: outcome.kind,
            code: outcome.code(),
            reason: outcome.reason.as_ref().map(ToString::to_string),
            attachments: &outcome.attachments,
        };
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        write_value(&mut self.out, &row)
    }

    fn finish(&mut self, _: &EdgeSet, ending: &Ending) -> io::Result<()> {
        self.out.write_all(b"],\n")?;
        // The object is open already, so the members follow without their opening brace.
        let tail = serde_json::to_string(&ReportTail::of(ending))?;
        self.out.write_all(tail.trim_start_matches('{').as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

/// Writes a value. Characters that control a terminal or change how the text around them looks are escaped in strings:
/// `--output json` prints on a terminal too.
fn write_value(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, VisibleStrings);
    Ok(value.serialize(&mut serializer)?)
}

/// JSON without spaces, in which such characters are escaped.
struct VisibleStrings;

impl Formatter for VisibleStrings {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // DEL is ASCII, and harmless.
        if fragment.is_ascii() {
            return out.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| wording::is_control(*c)) {
            out.write_all(&fragment.as_bytes()[written..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            written = at + c.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[written..])
    }
}
