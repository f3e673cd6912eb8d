//! The attachments of an image: digest tags and referrers, of each manifest that it reaches and of the
//! attachments themselves.
//!
//! Not here: comparing them with those of another repository (`compare`), copying them (`carry`), what is
//! wrong with one where it comes from (`origin`), reading them again at
//! the end of a run (`reread`), and the merging of two digest tags (`union`). No signature is verified here. The rules are `docs/reference/promotion.md`, "Attachments".

mod carry;
mod compare;
mod origin;
mod reread;
mod union;

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Manifest, Reference, Tag, media_type};
use registry_client::{DanglingTag, Error, Inventory, RepositoryClient};

pub(crate) use carry::{Carried, NotCarried, OnTag, carry};
pub(crate) use compare::{Comparison, Missing};
pub(crate) use origin::fault;
pub(crate) use reread::{Written, reread};
use union::Tagged;
pub use union::{NoUnion, NotImage};

use crate::reason::{AttachmentName, AttachmentProblem, RemoteError};

/// The most attachments that one image may have: a hundred times what is usual.
const MAX_ATTACHMENTS: usize = 1_000;

/// The most manifests that an image is followed through to find what hangs on them: as many as are
/// copied.
const MAX_SUBJECTS: usize = transfer::MAX_MANIFESTS;

/// Manifests of one image whose attachments are asked for at once.
const SUBJECTS_AT_ONCE: usize = 4;

/// One attachment, as it is where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// What it hangs on.
    pub subject: Digest,
    /// The manifest that it is.
    pub digest: Digest,
    /// How it hangs there.
    pub by: By,
}

/// How an attachment hangs on its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// It names its subject.
    Referrer,
    /// A digest tag is on it.
    Tag(Tag),
}

impl Attachment {
    /// Its name in its repository: a digest tag, or a referrer's digest.
    pub(crate) fn name(&self) -> String {
        match &self.by {
            By::Referrer => self.digest.to_string(),
            By::Tag(tag) => tag.to_string(),
        }
    }

    /// Which one it is, with what it refers to.
    pub(crate) fn full_name(&self) -> AttachmentName {
        match &self.by {
            By::Referrer => AttachmentName::Referrer { digest: self.digest, subject: self.subject },
            By::Tag(tag) => AttachmentName::Tag(tag.clone()),
        }
    }
}

/// What was found for one image.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub attachments: Vec<Attachment>,
    /// The digest tags that are listed, and that are on nothing.
    pub dangling: Vec<DanglingTag>,
}

/// An attachment that is broken for good where it comes from.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Its place among the attachments of its image.
    pub at: usize,
    /// What is wrong with it.
    pub problem: Arc<AttachmentProblem>,
}

/// Why attachments cannot be found, compared or copied.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The repository that was read or written did not do it.
    Registry(Error),
    /// Their content cannot be used, or their source failed.
    Content(Arc<AttachmentProblem>),
    /// They are broken at their source: reading them again gives the same.
    Broken(Arc<AttachmentProblem>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Registry(error)
    }
}

impl Trouble {
    /// What happened at the source of attachments: it says nothing of the destination.
    fn of_origin(self) -> Self {
        match self {
            Self::Registry(error) if !error.is_wrong_content() => Self::Content(remote(error)),
            Self::Registry(error) => Self::Broken(remote(error)),
            Self::Content(problem) | Self::Broken(problem) => Self::Broken(problem),
        }
    }

    fn content(problem: AttachmentProblem) -> Self {
        Self::Content(Arc::new(problem))
    }

    fn no_union(tag: &Tag, at: &RepositoryClient, cause: NoUnion) -> Self {
        let (tag, repository) = (tag.clone(), at.to_string());
        Self::content(AttachmentProblem::NotMergeable { tag, repository, cause })
    }
}

/// A failed request or transfer as what is wrong with an attachment.
fn remote(error: impl Into<RemoteError>) -> Arc<AttachmentProblem> {
    Arc::new(AttachmentProblem::Remote(error.into()))
}

/// The manifests that `root` reaches, itself first. Only indexes are read, since only they list manifests; what is
/// of no kind that we know lists none.
pub(crate) async fn subjects(at: &RepositoryClient, root: Digest) -> Result<Vec<Digest>, Trouble> {
    let mut reached = vec![root];
    let mut indexes = vec![root];
    while let Some(digest) = indexes.pop() {
        let found = match at.manifest(&Reference::Digest(digest)).await {
            Err(error) if error.is_schema1() => continue,
            found => found?,
        };
        let Ok(parsed) = Manifest::parse(&found.media_type, &found.bytes) else { continue };
        for child in parsed.children() {
            if !media_type::is_manifest(&child.media_type) || reached.contains(&child.digest) {
                continue;
            }
            reached.push(child.digest);
            if [media_type::OCI_INDEX, media_type::DOCKER_LIST]
                .contains(&media_type::essence(&child.media_type))
            {
                indexes.push(child.digest);
            }
        }
        if reached.len() > MAX_SUBJECTS {
            let (repository, max) = (at.to_string(), MAX_SUBJECTS);
            return Err(Trouble::content(AttachmentProblem::TooManyManifests {
                root,
                repository,
                max,
            }));
        }
    }
    Ok(reached)
}

/// All that hangs on `subjects`, and on what is found: what hangs on something comes after it.
pub(crate) async fn find(
    at: &RepositoryClient,
    inventory: Option<&Inventory>,
    subjects: Vec<Digest>,
) -> Result<Found, Trouble> {
    let (mut found, mut dangling) = (Vec::new(), Vec::new());
    let mut met: HashSet<Digest> = subjects.iter().copied().collect();
    let mut level = subjects;
    while !level.is_empty() {
        let asked = stream::iter(level).map(|subject| async move {
            at.attachments(&subject, inventory).await.map(|hanging| (subject, hanging))
        });
        let answers: Vec<_> = asked.buffered(SUBJECTS_AT_ONCE).try_collect().await?;
        let before = found.len();
        for (subject, hanging) in answers {
            dangling.extend(hanging.dangling);
            let referrers = hanging.referrers.into_iter().map(|it| (it.digest, By::Referrer));
            let tags = hanging.tags.into_iter().map(|it| (it.digest, By::Tag(it.tag)));
            found.extend(referrers.chain(tags).map(|(digest, by)| Attachment {
                subject,
                digest,
                by,
            }));
        }
        if found.len() > MAX_ATTACHMENTS {
            let (repository, max) = (at.to_string(), MAX_ATTACHMENTS);
            return Err(Trouble::content(AttachmentProblem::TooManyAttachments {
                repository,
                max,
            }));
        }
        let new: &[Attachment] = &found[before..];
        level = new.iter().map(|it| it.digest).filter(|digest| met.insert(*digest)).collect();
    }
    Ok(Found { attachments: found, dangling })
}
