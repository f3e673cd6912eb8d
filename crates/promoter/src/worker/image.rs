//! Copying the image of one digest to all destinations that lack any of it.

use std::{mem, sync::Arc};

use registry_client::RepositoryClient;
use transfer::{Destination, Image};

use super::Worker;
use crate::{
    planned::ImageOrigin,
    ready::{ImageManifests, ReadyTarget},
    reason::Reason,
    tags::Root,
};

/// What copying an image came to.
pub(super) struct ImageCopy<'a> {
    /// The result at each destination that it was copied to.
    pub results: Vec<(&'a ReadyTarget, CopyResult)>,
    /// The root manifest, if it was read.
    pub root: Option<Root>,
}

/// What copying an image to one destination came to.
pub(super) enum CopyResult {
    /// It has the image, from this origin.
    Copied(ImageOrigin),
    /// It failed, and is not tried again in this run.
    Failed(Arc<Reason>),
    /// The origin failed. Another origin may do.
    OriginFailed(Arc<Reason>),
    /// It is much slower than the other destinations.
    Slow,
}

impl<'a> Worker<'a> {
    /// Copies the image to every destination that lacks any of it. If an origin fails, the next one is tried.
    pub(super) async fn copy(&self) -> ImageCopy<'a> {
        let mut copy = ImageCopy { results: Vec::new(), root: None };
        let mut open = Vec::new();
        for target in self.ready.targets.iter().filter(|target| target.is_copied()) {
            let to = self.run.destination(target.destination());
            match self.run.hosts.check(to.host()).await {
                Ok(()) => open.push(target),
                Err(reason) => copy.results.push((target, CopyResult::Failed(reason))),
            }
        }
        let mut origins = self.ready.origins.iter().peekable();
        while let Some(origin) = origins.next()
            && !open.is_empty()
        {
            let results = self.copy_from(origin, &open, &mut copy.root).await;
            let is_last = origins.peek().is_none();
            for (target, result) in mem::take(&mut open).into_iter().zip(results) {
                match result {
                    CopyResult::OriginFailed(_) if !is_last => open.push(target),
                    result => copy.results.push((target, result)),
                }
            }
        }
        copy
    }

    /// Copies the image from one origin. The results are in the order of `targets`.
    async fn copy_from(
        &self,
        origin: ImageOrigin,
        targets: &[&'a ReadyTarget],
        root: &mut Option<Root>,
    ) -> Vec<CopyResult> {
        let image = match self.image(origin).await {
            Ok(image) => image,
            Err(reason) => {
                let failed = |_| CopyResult::OriginFailed(Arc::clone(&reason));
                return targets.iter().map(failed).collect();
            }
        };
        let repositories = targets.iter().map(|target| self.run.destination(target.destination()));
        let repositories: Vec<_> = repositories.collect();
        let destinations: Vec<_> =
            repositories.iter().cloned().map(Destination::Registry).collect();
        let copied = image.copy_to(&self.run.transfer_state, &destinations).await;
        let manifest = image.root();
        *root = Some(Root {
            digest: manifest.digest,
            media_type: manifest.media_type.clone(),
            bytes: manifest.bytes.clone(),
        });
        let result = |(copied, to): (Result<_, transfer::Error>, &RepositoryClient)| match copied {
            Ok(_) => CopyResult::Copied(origin),
            Err(error) => self.explain(error, image.source(), to),
        };
        let results: Vec<_> = copied.into_iter().zip(&repositories).map(result).collect();
        let complete = targets.iter().zip(&results);
        let complete = complete.filter(|(_, result)| matches!(result, CopyResult::Copied(_)));
        self.result().complete.extend(complete.map(|(target, _)| target.destination()));
        results
    }

    /// The image at `origin`. Its manifests are the same at all origins, and are not read again if they were kept.
    async fn image(&self, origin: ImageOrigin) -> Result<Image, Arc<Reason>> {
        let ImageManifests::Kept(kept) = &self.ready.manifests else {
            let loaded = self.run.load(self.ready.source_digest, origin).await;
            return loaded.map_err(|unloaded| unloaded.reason);
        };
        let repository = self.run.origin(origin)?;
        self.run.hosts.check(repository.host()).await?;
        Ok(kept.at(repository))
    }

    pub(super) fn explain(
        &self,
        error: transfer::Error,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> CopyResult {
        let hosts = &self.run.hosts;
        if error.is_lagging() {
            CopyResult::Slow
        } else if error.is_source() {
            CopyResult::OriginFailed(hosts.explain(from.host(), error))
        } else {
            CopyResult::Failed(hosts.explain(to.host(), error))
        }
    }
}
