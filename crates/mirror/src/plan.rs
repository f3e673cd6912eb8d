//! The plan of a run: what the tags reach, less what the store has.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use transfer::Content;

/// What a run is to write. Blobs come before manifests.
#[derive(Clone, Debug, Default)]
pub struct MirrorPlan {
    writes: Vec<PlannedWrite>,
}

impl MirrorPlan {
    /// The writes: blobs first, then manifests, each in the order of their digests.
    #[must_use]
    pub fn writes(&self) -> &[PlannedWrite] {
        &self.writes
    }

    pub(crate) fn add(&mut self, write: PlannedWrite) {
        self.writes.push(write);
    }

    /// Content is planned in the order in which it is found, which differs from run to run.
    pub(crate) fn sort(&mut self) {
        self.writes.sort_by_key(|write| match write.content {
            Content::Blob(digest) => (false, digest.to_string()),
            Content::Manifest(digest) => (true, digest.to_string()),
        });
    }
}

/// One planned write.
#[derive(Clone, Copy, Debug)]
pub struct PlannedWrite {
    /// The blob or manifest.
    pub content: Content,
    /// Its length in bytes.
    pub size: u64,
    /// The reason for the write.
    pub action: WriteAction,
}

/// Why an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WriteAction {
    /// The store does not have it.
    Copy,
    /// The store has an object of another length or, for a manifest, with other bytes.
    Repair,
}

impl WriteAction {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Repair => "repair",
        }
    }
}

impl fmt::Display for PlannedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.action.as_str(), self.content, self.size)
    }
}
