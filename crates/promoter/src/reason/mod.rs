//! The reasons of outcomes: typed, each with a stable code. The texts are in `report/reasons.rs`.

mod attachment;
mod cause;
mod code;
mod remote;

use std::{sync::Arc, time::Duration};

use oci::{Digest, Host, RegistryPrefix, Repository, RepositoryError};
use transfer::Content;

pub use attachment::AttachmentProblem;
pub(crate) use cause::CauseKey;
pub use code::ReasonCode;
pub(crate) use remote::RemoteCause;
pub use remote::RemoteError;

/// Why an edge has its outcome, if the outcome alone does not explain it, or what else the report should say about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The tag exists on another digest, and tags never move.
    TagMove {
        /// The digest that the tag is on.
        current: Digest,
        /// What to do.
        remedy: TagMoveRemedy,
    },
    /// Another entry requests the same tag on another digest.
    Conflict {
        /// The file of the other entry.
        file: String,
        /// The line of the tag.
        line: u32,
        /// Its column.
        column: u32,
        /// The digest that it requests.
        digest: Digest,
    },
    /// The run writes the tag itself, with the attachments of another image.
    DigestTagConflict {
        /// The file that requests the tag.
        file: String,
        /// The line of the tag.
        line: u32,
        /// Its column.
        column: u32,
        /// What the attachments refer to.
        subject: Digest,
        /// What is written under the tag.
        by: DigestTagUse,
    },
    /// The digest is neither in its source nor in any destination.
    Lost {
        /// The source.
        source: RegistryPrefix,
    },
    /// None of several registries that may have the digest can be read.
    Unread {
        /// Why the first cannot be read.
        first: Arc<Self>,
        /// The number of others.
        more: usize,
    },
    /// A registry host does not respond, or responds to `/v2/` with an error.
    Host {
        /// The host.
        host: Host,
        /// What happened.
        error: RemoteError,
    },
    /// A request or a transfer failed.
    Remote(RemoteError),
    /// The source prefix and the image name together are not a valid repository name.
    InvalidSourceName {
        /// The prefix.
        source: RegistryPrefix,
        /// The image.
        image: Repository,
        /// Why not.
        error: RepositoryError,
    },
    /// The run was stopped before this was done.
    Interrupted {
        /// The `--deadline`, if that is what stopped it.
        deadline: Option<Duration>,
        /// The last failures of the hosts concerned.
        last_failures: Vec<(Host, registry_client::Error)>,
    },
    /// The tag was put on another digest at the same time: by another client, or, if it is a digest tag, by this run too.
    LostRace {
        /// The digest that the tag is on.
        current: Digest,
        /// What a digest tag is made from.
        subject: Option<Digest>,
    },
    /// The registry stored the tag on another digest than that of the manifest that was sent.
    StoredOnOtherDigest {
        /// The digest that the registry states.
        stored: Digest,
    },
    /// The registry does not return a tag.
    TagUnreadable(TagWas),
    /// The tag was written, and could not be read again.
    TagNotVerified {
        /// Why not.
        cause: Arc<Self>,
    },
    /// The destination has the digest, but lacks some of its content.
    Incomplete {
        /// What it lacks.
        missing: Vec<Content>,
        /// Whether that can be copied.
        remedy: Remedy,
    },
    /// The content below the digest was not checked.
    NotChecked {
        /// Why not.
        cause: Arc<Self>,
    },
    /// The image was copied from another destination instead of its source.
    Backfilled {
        /// The destination registry that it was copied from.
        from: RegistryPrefix,
        /// Its source.
        source: RegistryPrefix,
        /// Why it was not copied from there.
        fault: SourceFault,
    },
    /// Non-distributable layers were not copied.
    NonDistributable {
        /// Those that clients fetch from their `urls`.
        with_urls: Vec<Digest>,
        /// Those that no client can fetch.
        without_urls: Vec<Digest>,
    },
    /// A dry run cannot read a repository, which may not exist yet.
    NotKnownBeforeWriting {
        /// The host of the repository.
        host: Host,
        /// Its name.
        repository: Repository,
        /// The registry's response.
        error: RemoteError,
    },
    /// The attachments cannot be compared, since their source cannot be read.
    AttachmentsNotCompared {
        /// Why not.
        cause: Arc<Self>,
    },
    /// The attachments of an image cannot be read.
    AttachmentsUnreadable {
        /// The digest of the image.
        image: Digest,
        /// Why not.
        problem: Arc<AttachmentProblem>,
    },
    /// Something is wrong with one attachment.
    Attachment {
        /// Which one.
        attachment: AttachmentName,
        /// What could not be done with it.
        failed: AttachmentStep,
        /// Why not.
        problem: Arc<AttachmentProblem>,
    },
    /// A blob does not have the size that its manifest states.
    BlobSize {
        /// The blob.
        digest: Digest,
        /// Its size.
        found: u64,
        /// The size in the manifest.
        described: u64,
    },
    /// The public name does not have a blob.
    BlobNotFound {
        /// The blob.
        digest: Digest,
    },
    /// The public name has the tag on another digest.
    OtherDigest {
        /// That digest.
        found: Digest,
    },
    /// Several reasons at once.
    Several {
        /// The reason that decides the code.
        first: Arc<Self>,
        /// The others: at least one.
        others: Vec<Arc<Self>>,
    },
}

/// What was known of a tag that a registry does not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagWas {
    /// The registry accepted its write.
    Accepted,
    /// The registry says that it exists (412).
    Existing,
    /// It was written and read back, earlier in the run.
    ReadBack,
}

/// Whether the missing content of an image can be copied from elsewhere.
#[derive(Clone, Debug)]
pub enum Remedy {
    /// The source or another destination has the image.
    Copy,
    /// No other registry has it.
    None,
    /// No other destination has it, and the source cannot be read.
    SourceUnread {
        /// Why not.
        cause: Arc<Reason>,
    },
}

/// What to do about a tag that is on another digest than the requested one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagMoveRemedy {
    /// Request the digest under another tag.
    NewTag,
    /// Check the digest: this source and all destinations lack it.
    CheckDigest {
        /// The source.
        source: RegistryPrefix,
    },
    /// Remove the tag from the manifest: it is a digest tag, and attachments are promoted without an entry.
    RemoveTag,
}

/// What a run writes under a digest tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestTagUse {
    /// An attachment. This is the digest that the source has the tag on.
    Attachment(Digest),
    /// The index of referrers, at a registry without a referrers API.
    ReferrersIndex,
}

/// Why an image is not copied from its source.
#[derive(Clone, Debug)]
pub enum SourceFault {
    /// The source does not have it.
    Lost,
    /// The source does not have all of it.
    Incomplete {
        /// What is missing.
        cause: Arc<Reason>,
    },
    /// It could not be read from the source, which may have it.
    Unread {
        /// Why not.
        cause: Arc<Reason>,
    },
}

/// Which attachment a reason names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttachmentName {
    /// A digest tag.
    Tag(oci::Tag),
    /// A referrer.
    Referrer {
        /// Its digest.
        digest: Digest,
        /// What it refers to.
        subject: Digest,
    },
}

/// What could not be done with an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentStep {
    /// It is broken at its source, and was left out.
    BrokenAtSource,
    /// It cannot be copied, as was found before anything was written.
    CannotCopy,
    /// It was not copied.
    Copy,
    /// It was written, and was not found at the end of the run.
    Keep,
    /// It was written, and could not be read again at the end of the run.
    ReadAgain,
}

impl Reason {
    /// The code in reports.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::TagMove { .. } => ReasonCode::TagMove,
            Self::Conflict { .. } | Self::DigestTagConflict { .. } => ReasonCode::Conflict,
            Self::Lost { .. } => ReasonCode::Lost,
            Self::Unread { first, .. } => first.code(),
            Self::Host { error, .. } | Self::Remote(error) => error.code(),
            Self::InvalidSourceName { .. } => ReasonCode::InvalidSourceName,
            Self::Interrupted { deadline: None, .. } => ReasonCode::Interrupted,
            Self::Interrupted { deadline: Some(_), .. } => ReasonCode::Deadline,
            Self::LostRace { .. } => ReasonCode::LostRace,
            Self::StoredOnOtherDigest { .. } | Self::OtherDigest { .. } => {
                ReasonCode::DigestMismatch
            }
            Self::TagUnreadable(_) => ReasonCode::TagUnreadable,
            Self::TagNotVerified { .. } => ReasonCode::TagNotVerified,
            Self::Incomplete { .. } => ReasonCode::Incomplete,
            Self::NotChecked { .. } => ReasonCode::NotChecked,
            Self::Backfilled { fault: SourceFault::Unread { .. }, .. } => ReasonCode::SourceUnread,
            Self::Backfilled { .. } => ReasonCode::Backfilled,
            Self::NonDistributable { .. } => ReasonCode::NonDistributable,
            Self::NotKnownBeforeWriting { .. } => ReasonCode::NotKnownBeforeWriting,
            Self::AttachmentsNotCompared { .. } => ReasonCode::AttachmentsNotCompared,
            Self::AttachmentsUnreadable { .. } => ReasonCode::AttachmentsUnreadable,
            Self::Attachment { failed, .. } => failed.code(),
            Self::BlobSize { .. } => ReasonCode::SizeMismatch,
            Self::BlobNotFound { .. } => ReasonCode::NotFound,
            Self::Several { first, .. } => first.code(),
        }
    }

    /// The source that could not be read, if the image was copied from another destination because of that.
    pub(crate) fn unread_source(&self) -> Option<&RegistryPrefix> {
        match self {
            Self::Backfilled { source, fault: SourceFault::Unread { .. }, .. } => Some(source),
            Self::Several { first, others } => {
                [first].into_iter().chain(others).find_map(|reason| reason.unread_source())
            }
            _ => None,
        }
    }

    /// Several reasons as one; `None` if there are none.
    pub(crate) fn several(reasons: impl IntoIterator<Item = Arc<Self>>) -> Option<Arc<Self>> {
        let mut reasons = reasons.into_iter();
        let first = reasons.next()?;
        let others: Vec<_> = reasons.collect();
        Some(if others.is_empty() { first } else { Arc::new(Self::Several { first, others }) })
    }
}

impl SourceFault {
    /// What is wrong with the source. `cause` is what failed when it was read.
    pub(crate) fn of(cause: Option<Arc<Reason>>) -> Self {
        match cause {
            None => Self::Lost,
            Some(cause) if cause.code() == ReasonCode::NotFound => Self::Incomplete { cause },
            Some(cause) => Self::Unread { cause },
        }
    }
}

impl AttachmentStep {
    const fn code(self) -> ReasonCode {
        match self {
            Self::BrokenAtSource => ReasonCode::AttachmentBroken,
            Self::CannotCopy | Self::Copy => ReasonCode::AttachmentNotCopied,
            Self::Keep => ReasonCode::AttachmentMissing,
            Self::ReadAgain => ReasonCode::AttachmentNotVerified,
        }
    }
}

impl From<RemoteError> for Reason {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}
