//! What is said of work that a stopped run did not do: what stopped it, and what it was held up by until then.

use job::StopCause;
use oci::Host;
use promotion_manifest::SourceDigestId;

use crate::{Run, hosts::Reason};

/// How many hosts' last failures a reason names: a source and a destination.
const NAMED: usize = 2;

impl Run<'_> {
    /// Why something that concerns these hosts was not done, once the run was stopped.
    pub(crate) fn interrupted(&self, hosts: &[Host]) -> Reason {
        let mut text = match self.stop.cause() {
            Some(StopCause::Deadline(after)) => {
                format!("interrupted after {}s (--deadline)", after.as_secs_f64())
            }
            Some(StopCause::Interrupted) | None => "interrupted before it was done".to_owned(),
        };
        let client = self.hosts.client(None);
        let failures = hosts.iter().enumerate().filter(|(at, host)| !hosts[..*at].contains(host));
        let failures = failures.filter_map(|(_, host)| Some((host, client.last_failure(host)?)));
        for (host, failure) in failures.take(NAMED) {
            text.push_str(&format!("; last failure at {host}: {failure}"));
        }
        text.push_str("; run again");
        text.into()
    }

    /// The hosts that bringing a requested digest to a destination concerns: that one, and the source.
    pub(crate) fn hosts_of(&self, destination: usize, source_digest: SourceDigestId) -> Vec<Host> {
        let destination = &self.edges.destinations()[destination].prefix.host;
        let source = &self.edges.source_digest(source_digest).manifest.source.prefix.host;
        vec![destination.clone(), source.clone()]
    }
}
