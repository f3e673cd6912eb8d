//! Passes what happens in a run to the report and to the log, and counts it.

use std::{collections::HashSet, io};

use oci::{Digest, RegistryPrefix};
use promotion_manifest::{EdgeSet, Problem};

use crate::{
    Ending, LeftOut, Outcome, OutcomeKind, Summary, UnreadSources,
    reason::{AttachmentName, Reason},
    report::Report,
};

/// Writes the report and the log, and counts outcomes. A report that cannot be written does not stop the run.
pub(crate) struct RunReporter<'a> {
    report: &'a mut dyn Report,
    edges: &'a EdgeSet,
    summary: Summary,
    /// The broken attachments, each once, with the digest of their image.
    attachments: HashSet<(Digest, AttachmentName)>,
    /// The destination registries that lack one of them.
    destinations: HashSet<&'a RegistryPrefix>,
    unread_sources: UnreadSources,
    /// Why the report cannot be written any more.
    error: Option<io::Error>,
}

impl<'a> RunReporter<'a> {
    pub(crate) fn new(report: &'a mut dyn Report, edges: &'a EdgeSet) -> Self {
        Self {
            report,
            edges,
            summary: Summary::default(),
            attachments: HashSet::new(),
            destinations: HashSet::new(),
            unread_sources: UnreadSources::default(),
            error: None,
        }
    }

    pub(crate) fn problems(&mut self, problems: &[Problem]) {
        self.error = self.report.problems(problems).err();
    }

    pub(crate) fn outcomes(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.count(outcome);
            outcome.log(self.edges);
            if self.error.is_none() {
                self.error = self.report.outcome(self.edges, outcome).err();
            }
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        self.summary.add(outcome.kind);
        if let Some(source) = outcome.reason.as_ref().and_then(|reason| reason.unread_source()) {
            self.unread_sources.edges += 1;
            self.unread_sources.hosts.insert(source.host.clone());
        }
        if outcome.kind == OutcomeKind::AttachmentBroken {
            let edge = self.edges.edge(outcome.edge);
            if let Some(Reason::Attachment { attachment, .. }) = outcome.reason.as_deref() {
                self.attachments.insert((edge.digest(), attachment.clone()));
            }
            self.destinations.insert(&edge.destination().prefix);
        }
    }

    pub(crate) fn finish(
        mut self,
        ending: impl FnOnce(Summary, LeftOut, UnreadSources) -> Ending,
    ) -> io::Result<Ending> {
        let left_out = LeftOut {
            attachments: self.attachments.len() as u64,
            destinations: self.destinations.len() as u64,
        };
        let ending = ending(self.summary, left_out, self.unread_sources);
        if self.error.is_none() {
            self.error = self.report.finish(self.edges, &ending).err();
        }
        match self.error {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(ending),
        }
    }
}
