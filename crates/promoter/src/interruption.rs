//! The reason of edges that a stopped run did not reach: what stopped it, and the last failures of the hosts concerned.

use std::sync::Arc;

use job::StopCause;
use oci::Host;
use promotion_manifest::SourceDigestId;

use crate::{PromotionRun, reason::Reason};

/// How many hosts a reason names with their last failures: a source and a destination.
const NAMED: usize = 2;

impl PromotionRun<'_> {
    /// The reason of edges that concern these hosts, once the run was stopped.
    pub(crate) fn interrupted(&self, hosts: &[Host]) -> Arc<Reason> {
        let deadline = match self.stop.cause() {
            Some(StopCause::Deadline(after)) => Some(after),
            Some(StopCause::Interrupted) | None => None,
        };
        let client = self.hosts.client(None);
        let failures = hosts.iter().enumerate().filter(|(at, host)| !hosts[..*at].contains(host));
        let failures =
            failures.filter_map(|(_, host)| Some((host.clone(), client.last_failure(host)?)));
        let last_failures = failures.take(NAMED).collect();
        Arc::new(Reason::Interrupted { deadline, last_failures })
    }

    /// The hosts that the promotion of a requested digest to a destination concerns: the destination and the source.
    pub(crate) fn hosts_of(&self, destination: usize, source_digest: SourceDigestId) -> Vec<Host> {
        let destination = &self.edges.destinations()[destination].prefix.host;
        let source = &self.edges.source_digest(source_digest).manifest.source.prefix.host;
        vec![destination.clone(), source.clone()]
    }
}
