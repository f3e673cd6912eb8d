//! How a run ended: the counts, what it cost or would cost, and what does not answer.

use std::{collections::BTreeSet, time::Duration};

use job::{Confirm, StopCause};
use oci::Host;
use registry_client::Usage;

use crate::{Estimate, Summary, Unanswered};

/// What was left out because it is broken for good at its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The attachments, each counted once however many destinations lack it.
    pub attachments: u64,
    /// The destination registries that lack at least one of them.
    pub destinations: u64,
}

/// The edges of a dry run whose destination repository could not be read without a login, or with the one that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchecked {
    /// How many there are.
    pub edges: u64,
    /// The hosts of these repositories.
    pub hosts: BTreeSet<Host>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Whether it wrote.
    pub confirm: Confirm,
    /// Why it was stopped before its end, if it was.
    pub stopped: Option<StopCause>,
    /// How many faults there are in the manifests.
    pub problems: usize,
    /// What became of the edges.
    pub summary: Summary,
    /// The broken attachments.
    pub left_out: LeftOut,
    /// What a dry run could not check.
    pub unchecked: Unchecked,
    /// What each host was asked.
    pub hosts: Vec<Usage>,
    /// What carrying the plan out will cost, if that was not done.
    pub estimate: Option<Estimate>,
    /// The tags that the public name does not answer for.
    pub unanswered: Vec<Unanswered>,
    /// How long it took.
    pub time: Duration,
}

impl Ending {
    /// Whether everything that was asked for holds, or would hold after a confirmed run.
    #[must_use]
    pub const fn all_holds(&self) -> bool {
        self.summary.all_holds() && self.problems == 0 && self.unanswered.is_empty()
    }

    /// Whether all edges hold, and only attachments that are broken at their source do not.
    #[must_use]
    pub const fn lacks_only_attachments(&self) -> bool {
        !self.summary.all_holds()
            && self.summary.edges_hold()
            && self.problems == 0
            && self.unanswered.is_empty()
    }

    /// How many requests were made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.hosts.iter().map(|host| host.reads + host.writes).sum()
    }

    /// The bytes of all bodies that came.
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
