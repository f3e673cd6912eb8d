//! Reading attachments again after they were written. Where the registry does not check `If-Match`, two clients that
//! read, merge and write a tag at the same time can each replace what the other has written.
//!
//! Source: distribution-spec 1.1, "Referrers Tag Schema"; RFC 9110 §13.1.1 (`If-Match`).

use std::collections::{HashMap, HashSet};

use oci::{Digest, Reference};
use registry_client::{Error, RepositoryClient};

use crate::{AttachedBy, Attachment};

/// What a repository lists now; each index of referrers is read once.
#[derive(Debug)]
pub struct ListedAttachments<'a> {
    repository: &'a RepositoryClient,
    by_subject: HashMap<Digest, HashSet<Digest>>,
}

/// What became of an attachment that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterWrite {
    /// It is found as it was left.
    Unchanged,
    /// Its tag is on something else, or its index of referrers lists others.
    Replaced,
    /// Its tag is not found. That is no reason to write it again: a registry that is behind with its reads would lose
    /// what others wrote to it.
    NotFound,
}

impl<'a> ListedAttachments<'a> {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(repository: &'a RepositoryClient) -> Self {
        Self { repository, by_subject: HashMap::new() }
    }

    /// What became of an attachment that was written. Its digest tag was left on `left_on`, if that is known.
    ///
    /// Source: distribution-spec 1.1, "Referrers Tag Schema".
    ///
    /// # Errors
    /// When the tag cannot be read.
    pub async fn after_write(
        &mut self,
        attachment: &Attachment,
        left_on: Option<Digest>,
    ) -> Result<AfterWrite, Error> {
        let Attachment { subject, digest, by } = attachment;
        match by {
            AttachedBy::Tag(tag) => {
                let found = self.repository.find_manifest(&Reference::Tag(tag.clone())).await?;
                Ok(match found {
                    None => AfterWrite::NotFound,
                    Some(found) if Some(found.digest) == left_on => AfterWrite::Unchanged,
                    Some(_) => AfterWrite::Replaced,
                })
            }
            AttachedBy::Referrer => {
                if !self.by_subject.contains_key(subject) {
                    let listed = self.repository.referrers_by_tag(subject, None).await?;
                    let listed = listed.descriptors.into_iter().map(|it| it.digest).collect();
                    self.by_subject.insert(*subject, listed);
                }
                Ok(match self.by_subject.get(subject) {
                    Some(listed) if listed.contains(digest) => AfterWrite::Unchanged,
                    Some(listed) if !listed.is_empty() => AfterWrite::Replaced,
                    _ => AfterWrite::NotFound,
                })
            }
        }
    }
}
