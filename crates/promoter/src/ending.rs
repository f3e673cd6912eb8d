//! How a run ended: the counts, the cost, and the tags that the public name does not serve.

use std::{collections::BTreeSet, time::Duration};

use job::{Confirm, StopCause};
use oci::Host;
use registry_client::Usage;

use crate::{Estimate, PublicNameFailure, Summary};

/// The attachments that were left out because they are permanently broken at their source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The attachments, each counted once, even if several destinations lack it.
    pub attachments: u64,
    /// The destination registries that lack at least one of them.
    pub destinations: u64,
}

/// The edges of a dry run whose destination repository could not be read because a login is missing or lacks the rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchecked {
    /// The number of edges.
    pub edges: u64,
    /// The hosts of these repositories.
    pub hosts: BTreeSet<Host>,
}

/// The edges that were copied from another destination, or would be, because their source could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadSources {
    /// The number of edges.
    pub edges: u64,
    /// The hosts of these sources.
    pub hosts: BTreeSet<Host>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Whether it was a confirmed run.
    pub confirm: Confirm,
    /// Why it was stopped before its end, if it was.
    pub stopped: Option<StopCause>,
    /// The number of problems in the manifests.
    pub problems: usize,
    /// The outcomes of the edges.
    pub summary: Summary,
    /// The broken attachments.
    pub left_out: LeftOut,
    /// The sources that failed, although their edges hold.
    pub unread_sources: UnreadSources,
    /// The edges that a dry run could not check.
    pub unchecked: Unchecked,
    /// The requests and bytes of each host.
    pub hosts: Vec<Usage>,
    /// What a confirmed run will cost, after a dry run.
    pub estimate: Option<Estimate>,
    /// The tags that the public name does not serve as they were written.
    pub public_name_failures: Vec<PublicNameFailure>,
    /// How long it took.
    pub time: Duration,
}

impl Ending {
    /// Whether everything that was requested holds, or would hold after a confirmed run.
    #[must_use]
    pub const fn all_holds(&self) -> bool {
        self.summary.all_holds() && self.problems == 0 && self.public_name_failures.is_empty()
    }

    /// Whether all edges hold, and only attachments that are broken at their source do not.
    #[must_use]
    pub const fn lacks_only_attachments(&self) -> bool {
        !self.summary.all_holds()
            && self.summary.edges_hold()
            && self.problems == 0
            && self.public_name_failures.is_empty()
    }

    /// The number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.hosts.iter().map(|host| host.reads + host.writes).sum()
    }

    /// The bytes of all bodies that were received.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.hosts.iter().map(|host| host.bytes_received).sum()
    }

    /// The bytes of all bodies that were sent.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.hosts.iter().map(|host| host.bytes_sent).sum()
    }
}
