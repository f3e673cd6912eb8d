//! The texts of reasons.

use std::{
    fmt::{Display, Formatter, Result},
    sync::Arc,
};

use attachments::Defect;
use oci::{Digest, RegistryPrefix};
use registry_client::RequestFault;
use transfer::Content;
use wording::{Chain, counted, list, one_line};

use crate::reason::{
    AttachmentName, AttachmentProblem, AttachmentStep, DigestTagUse, Reason, Remedy, SourceFault,
    TagMoveRemedy, TagWas,
};

/// How many digests, contents or layers a reason names.
const NAMED: usize = 3;

/// How many of several reasons are shown: as many as a reader takes in at once.
const SHOWN_REASONS: usize = 5;

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::TagMove { current, remedy } => {
                write!(f, "tag move: at the destination the tag is on {current}, and ")?;
                fmt_tag_move_remedy(f, remedy)
            }
            Self::Conflict { file, line, column, digest } => write!(
                f,
                "conflict: {}:{line}:{column} requests the same tag on {digest}; keep one of the two",
                one_line(file)
            ),
            Self::DigestTagConflict { file, line, column, subject, by } => {
                write!(f, "conflict: {}:{line}:{column} requests a digest tag", one_line(file))?;
                fmt_digest_tag_use(f, subject, *by)
            }
            Self::Lost { source } => write!(
                f,
                "the digest is neither in this image's repository below {source} nor in those of the destinations; check \
                 the digest and the image name, or push the image to staging again"
            ),
            Self::InvalidSourceName { source, image, error } => {
                write!(f, "{source}/{image}: {error}")
            }
            Self::NotKnownBeforeWriting { host, repository, error } => write!(
                f,
                "not known before writing: {host}/{repository} cannot be read, or does not exist yet ({}); \
                 --confirm reads it with push access before it writes",
                Chain(error)
            ),
            Self::Backfilled { from, source, fault } => {
                write!(f, "backfilled from {from}: ")?;
                fmt_source_fault(f, source, fault)
            }
            Self::BlobSize { digest, found, described } => {
                write!(f, "blob {digest} has {found} bytes, but its manifest states {described}")
            }
            Self::BlobNotFound { digest } => write!(f, "blob {digest} is not found"),
            Self::OtherDigest { found } => write!(f, "the public name has the tag on {found}"),
            Self::Several { first, others } => several(f, first, others),
            Self::NonDistributable { with_urls, without_urls } => {
                non_distributable(f, with_urls, without_urls)
            }
            Self::Incomplete { missing, remedy } => incomplete(f, missing, remedy),
            Self::LostRace { .. } | Self::StoredOnOtherDigest { .. } | Self::TagUnreadable(_) => {
                self.fmt_tag(f)
            }
            _ => self.fmt_failure(f),
        }
    }
}

impl Reason {
    /// What happened to a written tag.
    fn fmt_tag(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::LostRace { current, subject: Some(subject) } => write!(
                f,
                "the digest tag is on {current} now: the attachments of {subject} were written under it too, by this \
                 run or by another client; attachments of a promoted image need no tag in the manifest"
            ),
            Self::LostRace { current, subject: None } => write!(
                f,
                "lost the race: another client put the tag on {current} at the same time; find out which client, \
                 and promote under a new tag"
            ),
            Self::StoredOnOtherDigest { stored } => {
                write!(f, "the registry stored the tag on {stored}")
            }
            Self::TagUnreadable(TagWas::Accepted) => f.write_str(
                "the registry accepted the tag, but does not return it (404); run again",
            ),
            Self::TagUnreadable(TagWas::Existing) => f.write_str(
                "the registry says that the tag exists (412), but does not return it (404); run again",
            ),
            Self::TagUnreadable(TagWas::ReadBack) => f.write_str(
                "the tag was written and read back, and the registry does not return it any more (404): it was \
                 deleted, or a replica does not have it yet; run again",
            ),
            _ => Ok(()),
        }
    }

    /// What failed, with its cause.
    fn fmt_failure(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Remote(error) => Chain(error).fmt(f),
            Self::Host { host, error } if error.is_unreachable() => {
                write!(f, "registry {host} did not respond: {}", Chain(error))
            }
            Self::Host { host, error } => {
                write!(f, "registry {host} cannot be used: {}", Chain(error))
            }
            Self::Unread { first, more } => {
                write!(
                    f,
                    "{first} ({} that may have the digest cannot be read either)",
                    counted(*more as u64, "more registry")
                )
            }
            Self::TagNotVerified { cause } => {
                write!(f, "the tag was written, but it could not be read again: {cause}")
            }
            Self::NotChecked { cause } => {
                write!(f, "the content below the digest was not checked: {cause}")
            }
            Self::AttachmentsNotCompared { cause } => {
                write!(f, "the attachments cannot be compared: {cause}")
            }
            Self::AttachmentsUnreadable { image, problem } => {
                write!(f, "the attachments of {image} cannot be read: ")?;
                if let AttachmentProblem::Defect(defect) = &**problem
                    && let Some(tag) = defect.digest_tag()
                {
                    write!(f, "digest tag {tag}: ")?;
                }
                problem.fmt(f)
            }
            Self::Attachment { attachment, failed, problem } => {
                fmt_attachment(f, attachment, *failed, problem)
            }
            Self::Interrupted { deadline, last_failures } => {
                match deadline {
                    Some(after) => {
                        write!(f, "stopped by --deadline after {} s", after.as_secs_f64())?;
                    }
                    None => f.write_str("interrupted before it was done")?,
                }
                for (host, failure) in last_failures {
                    write!(f, "; last failure at {host}: {}", Chain(failure))?;
                    if let RequestFault::Status { retry_after: Some(wait), .. } = failure.fault() {
                        write!(f, "; it requests a wait of {} s", wait.as_secs())?;
                    }
                }
                f.write_str("; run again")
            }
            _ => Ok(()),
        }
    }
}

fn several(f: &mut Formatter<'_>, first: &Reason, others: &[Arc<Reason>]) -> Result {
    first.fmt(f)?;
    for other in others.iter().take(SHOWN_REASONS - 1) {
        write!(f, "; {other}")?;
    }
    match others.len().saturating_sub(SHOWN_REASONS - 1) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

fn fmt_tag_move_remedy(f: &mut Formatter<'_>, remedy: &TagMoveRemedy) -> Result {
    match remedy {
        TagMoveRemedy::NewTag => f.write_str("tags never move; promote under a new tag"),
        TagMoveRemedy::CheckDigest { source } => {
            write!(f, "the digest is not in this image's repository below {source}; check it for a typo")
        }
        TagMoveRemedy::RemoveTag => f.write_str(
            "tags never move; remove the tag from the manifest: it is a digest tag, and attachments are promoted \
             without an entry",
        ),
    }
}

fn fmt_digest_tag_use(f: &mut Formatter<'_>, subject: &Digest, by: DigestTagUse) -> Result {
    match by {
        DigestTagUse::Attachment(digest) => write!(
            f,
            " that belongs to the attachments of {subject}, which are promoted too, and its source has it on \
             {digest}; remove the tag from the manifest, or request it on that digest"
        ),
        DigestTagUse::ReferrersIndex => write!(
            f,
            ", under which the destination lists the referrers of {subject}, and these are promoted too; remove the tag \
             from the manifest"
        ),
    }
}

fn fmt_source_fault(f: &mut Formatter<'_>, source: &RegistryPrefix, fault: &SourceFault) -> Result {
    match fault {
        SourceFault::Lost => write!(f, "{source} no longer has the image"),
        SourceFault::Incomplete { cause } => {
            write!(f, "{source} no longer has all of the image: {cause}")
        }
        SourceFault::Unread { cause } => {
            write!(f, "the image could not be read from {source}: {cause}")
        }
    }
}

fn incomplete(f: &mut Formatter<'_>, missing: &[Content], remedy: &Remedy) -> Result {
    let missing = list(missing, NAMED);
    write!(f, "the image was incomplete at the destination: missing or damaged {missing}")?;
    match remedy {
        Remedy::Copy => Ok(()),
        Remedy::None => f.write_str("; neither its source nor another destination has the image"),
        Remedy::SourceUnread { cause } => write!(
            f,
            "; no other destination has the image, and its source cannot be read: {cause}"
        ),
    }
}

fn non_distributable(f: &mut Formatter<'_>, with: &[Digest], without: &[Digest]) -> Result {
    if !with.is_empty() {
        let layers = list(with, NAMED);
        write!(
            f,
            "non-distributable layers were not copied: clients fetch them from their `urls`: {layers}"
        )?;
    }
    if !without.is_empty() {
        let gap = if with.is_empty() { "" } else { "; " };
        let layers = list(without, NAMED);
        write!(
            f,
            "{gap}non-distributable layers without `urls` were not copied: pulls that need them fail: {layers}"
        )?;
    }
    Ok(())
}

fn fmt_attachment(
    f: &mut Formatter<'_>,
    attachment: &AttachmentName,
    failed: AttachmentStep,
    problem: &AttachmentProblem,
) -> Result {
    match failed {
        AttachmentStep::BrokenAtSource => write!(f, "{attachment}: {problem}")?,
        AttachmentStep::CannotCopy => write!(f, "{attachment} cannot be copied: {problem}")?,
        AttachmentStep::Copy => write!(f, "{attachment} was not copied: {problem}")?,
        AttachmentStep::Keep => write!(f, "{attachment} was written, but is gone: {problem}")?,
        AttachmentStep::ReadAgain => {
            write!(f, "{attachment} was written, but cannot be read again: {problem}")?;
        }
    }
    match (failed, problem) {
        // The text of a dangling tag says what to do.
        (AttachmentStep::BrokenAtSource, AttachmentProblem::Defect(Defect::Dangling(_))) => Ok(()),
        (AttachmentStep::BrokenAtSource, _) => {
            f.write_str("; push the attachment again or delete it at its source")
        }
        _ => Ok(()),
    }
}

impl Display for AttachmentName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Tag(tag) => write!(f, "digest tag {tag}"),
            Self::Referrer { digest, subject } => write!(f, "referrer {digest} of {subject}"),
        }
    }
}

impl Display for AttachmentProblem {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Remote(error) => Chain(error).fmt(f),
            Self::Reason(reason) => reason.fmt(f),
            Self::Defect(defect) => Chain(defect).fmt(f),
            Self::Incomplete { content, repository, manifest } => write!(
                f,
                "{content} is missing or damaged in {repository}, although manifest {manifest} lists it"
            ),
            Self::ReplacedEachTime => {
                f.write_str("other clients replace it each time; run again")
            }
            Self::TagNotFound => f.write_str(
                "the registry responds with 404 to its tag: it was deleted, or a replica does not have it yet; run again",
            ),
        }
    }
}
