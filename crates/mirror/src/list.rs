//! The repositories and tags at and below a registry prefix.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; and `/v2/_catalog`, which the specification does not
//! have and many registries do not offer.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use oci::{RegistryPrefix, Repository, Tag};
use registry_client::{Error, RepositoryClient};

use crate::{
    FailureCause,
    failure_cause::is_not_offered,
    run::{MirrorRun, Tagged},
};

/// How many tag listings run at the same time.
pub const LISTINGS_AT_ONCE: usize = 8;

impl MirrorRun<'_> {
    /// Every tag at or below the prefix. A repository that cannot be listed is recorded as a failure.
    pub(crate) async fn list(&self) -> Vec<Tagged> {
        let prefix = &self.options.from;
        match self.client.repositories_below(prefix).await {
            Ok(listed) => {
                for name in listed.unusable {
                    self.fail(
                        self.stores(),
                        None,
                        None,
                        FailureCause::InvalidRepositoryName { name },
                    );
                }
                let tags = self.tags_of(listed.names.into_iter().collect()).await;
                if tags.is_empty() && self.nothing_failed() {
                    self.fail(
                        self.stores(),
                        None,
                        None,
                        FailureCause::NoTags { prefix: prefix.clone() },
                    );
                }
                tags
            }
            Err(error) if error.is_unreachable() => {
                self.fail(self.stores(), None, None, unlisted(prefix, error));
                Vec::new()
            }
            // The prefix may be a repository itself, and then there may be nothing else to mirror.
            Err(error) => {
                let tags = self.tags_of(prefix.path.iter().cloned().collect()).await;
                if tags.is_empty() || !is_not_offered(&error) {
                    self.fail(self.stores(), None, None, unlisted(prefix, error));
                } else {
                    tracing::warn!(%prefix, %error, "mirroring the one repository of this name");
                }
                tags
            }
        }
    }

    async fn tags_of(&self, repositories: BTreeSet<Repository>) -> Vec<Tagged> {
        self.progress.stage("listing tags", repositories.len() as u64);
        let each = stream::iter(&repositories).map(|name| self.tags(name));
        each.buffered(LISTINGS_AT_ONCE).concat().await
    }

    async fn tags(&self, name: &Repository) -> Vec<Tagged> {
        let repository = self.client.repository(&self.options.from.host, name);
        let tags = self.request_tags(&repository).await;
        self.progress.advance(1);
        let mut totals = self.totals();
        totals.repositories += u64::from(!tags.is_empty());
        totals.tags += tags.len() as u64;
        tags.into_iter().map(|tag| (repository.clone(), tag)).collect()
    }

    async fn request_tags(&self, repository: &RepositoryClient) -> Vec<Tag> {
        if self.host_responds().is_err() {
            self.not_reached(repository.name(), self.stores(), 0);
            return Vec::new();
        }
        match repository.tags().await {
            Ok(tags) => {
                for name in &tags.unusable {
                    let cause = FailureCause::InvalidTagName { name: name.clone() };
                    self.fail(self.stores(), Some(repository.name()), None, cause);
                }
                return tags.names;
            }
            Err(error) if error.is_unreachable() => {
                self.lose_host(error);
                self.not_reached(repository.name(), self.stores(), 0);
            }
            Err(error) => {
                let cause = FailureCause::TagsNotListed { error: Arc::new(error) };
                self.fail(self.stores(), Some(repository.name()), None, cause);
            }
        }
        Vec::new()
    }
}

fn unlisted(prefix: &RegistryPrefix, error: Error) -> FailureCause {
    FailureCause::RepositoriesUnknown { prefix: prefix.clone(), error: Arc::new(error) }
}
