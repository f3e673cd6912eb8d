//! What a run works with: the edges and settings, and clients of the registries with the credentials that their entries
//! name.

use std::sync::Arc;

use job::{Confirm, Progress, Stop};
use promotion_manifest::{EdgeSet, EdgeView, Selection, SourceDigestId};
use registry_client::RepositoryClient;
use transfer::{Image, TransferState};

use crate::{PromotionSettings, hosts::RunHosts, planned::ImageOrigin, reason::Reason};

/// What a run works with.
pub(crate) struct PromotionRun<'a> {
    pub(crate) hosts: RunHosts,
    pub(crate) transfer_state: TransferState,
    pub(crate) edges: &'a EdgeSet,
    pub(crate) selection: &'a Selection,
    pub(crate) settings: &'a PromotionSettings,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a dyn Progress,
}

impl<'a> PromotionRun<'a> {
    /// The selected edges of a destination repository.
    pub(crate) fn selected(&self, index: usize) -> impl Iterator<Item = EdgeView<'a>> {
        self.selection.edges_of(self.edges, index)
    }

    /// A client of a destination repository, with the credentials that its registry's entry names: with push access in
    /// a run that writes.
    pub(crate) fn destination(&self, index: usize) -> RepositoryClient {
        match self.settings.confirm {
            Confirm::Write => self.readable_destination(index).for_writing(),
            Confirm::DryRun => self.readable_destination(index),
        }
    }

    /// The same with pull access. Some users have no more than that where nothing needs to be written.
    pub(crate) fn readable_destination(&self, index: usize) -> RepositoryClient {
        let destination = &self.edges.destinations()[index];
        let client = self.hosts.client(self.edges.service_account(destination));
        client.repository(&destination.prefix.host, &destination.repository)
    }

    /// A client of the source repository of `source_digest`, with the credentials that its registry's entry names.
    pub(crate) fn source(
        &self,
        source_digest: SourceDigestId,
    ) -> Result<RepositoryClient, Arc<Reason>> {
        let source_digest = self.edges.source_digest(source_digest);
        let source = &source_digest.manifest.source;
        match source_digest.source_repository() {
            Ok(name) => {
                let client = self.hosts.client(source.service_account.as_deref());
                Ok(client.repository(&source.prefix.host, &name))
            }
            Err(error) => Err(Arc::new(Reason::InvalidSourceName {
                source: source.prefix.clone(),
                image: source_digest.image.name.clone(),
                error,
            })),
        }
    }

    pub(crate) fn origin(&self, origin: ImageOrigin) -> Result<RepositoryClient, Arc<Reason>> {
        match origin {
            ImageOrigin::Source(source_digest) => self.source(source_digest),
            ImageOrigin::Destination(index) => Ok(self.destination(index)),
        }
    }

    /// The image of `source_digest`, as `origin` has it.
    pub(crate) async fn load(
        &self,
        source_digest: SourceDigestId,
        origin: ImageOrigin,
    ) -> Result<Image, Unloaded> {
        let repository = self.origin(origin)?;
        self.hosts.check(repository.host()).await?;
        let image =
            Image::load(&repository, &self.edges.source_digest(source_digest).entry.digest).await;
        image.map_err(|error| Unloaded {
            is_kind: error.is_kind(),
            reason: self.hosts.explain(repository.host(), error),
        })
    }
}

/// Why an image could not be read.
pub(crate) struct Unloaded {
    /// Whether the reason is its kind, such as Docker schema 1, which is the same at every registry.
    pub(crate) is_kind: bool,
    pub(crate) reason: Arc<Reason>,
}

impl From<Arc<Reason>> for Unloaded {
    fn from(reason: Arc<Reason>) -> Self {
        Self { is_kind: false, reason }
    }
}
