//! Which repositories and tags lie below a registry prefix.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; and `/v2/_catalog`, which the specification does not
//! have and many registries do not offer.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use oci::{RegistryPrefix, Repository, Tag};
use registry_client::RepositoryClient;

use crate::run::Run;

/// How many repositories are asked for their tags at the same time.
pub const LISTINGS_AT_ONCE: usize = 8;

/// A tag, and where it is.
pub(crate) type Tagged = (RepositoryClient, Tag);

impl Run<'_> {
    /// Every tag at or below the prefix. What cannot be listed is recorded.
    pub(crate) async fn list(&self) -> Vec<Tagged> {
        let repositories = self.repositories().await;
        self.progress.stage("listing tags", repositories.len() as u64);
        let each = stream::iter(&repositories).map(|name| self.tags(name));
        let tags: Vec<_> = each.buffered(LISTINGS_AT_ONCE).concat().await;
        if tags.is_empty() && self.totals().failed.is_empty() {
            let reason =
                format!("there is no repository with tags at or below {}", self.options.from);
            self.fail(None, None, reason);
        }
        tags
    }

    /// The repositories that may lie below the prefix; whether the prefix itself is one, its tags show.
    async fn repositories(&self) -> BTreeSet<Repository> {
        let prefix = &self.options.from;
        let listed = self.client.catalog(&prefix.host).await.unwrap_or_else(|error| {
            self.fail(None, None, unlisted(prefix, &error));
            Vec::new()
        });
        let below = listed.into_iter().filter(|repository| prefix.relative(repository).is_some());
        below.chain(prefix.path.clone()).collect()
    }

    async fn tags(&self, name: &Repository) -> Vec<Tagged> {
        let repository = self.client.repository(&self.options.from.host, name);
        let tags = repository.tags().await.unwrap_or_else(|error| {
            self.fail(Some(name), None, format!("cannot list its tags: {error}"));
            Vec::new()
        });
        self.progress.advance(1);
        let mut totals = self.totals();
        totals.repositories += u64::from(!tags.is_empty());
        totals.tags += tags.len() as u64;
        tags.into_iter().map(|tag| (repository.clone(), tag)).collect()
    }
}

fn unlisted(prefix: &RegistryPrefix, error: &registry_client::Error) -> String {
    if error.status().is_some_and(|status| status.is_client_error()) {
        format!(
            "the repositories below {prefix} are unknown, since {} does not list its repositories \
             ({error}); give a repository itself as the prefix",
            prefix.host
        )
    } else {
        format!("the repositories below {prefix} are unknown: {error}")
    }
}
