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
    pub results: Vec<TargetCopy<'a>>,
    /// The root manifest, if it was read.
    pub root: Option<Root>,
}

/// What copying an image to one destination came to, after all origins that were tried.
pub(super) struct TargetCopy<'a> {
    pub target: &'a ReadyTarget,
    pub result: CopyResult,
    /// Why it could not be copied from its source, if that was tried.
    pub source_failure: Option<Arc<Reason>>,
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

impl<'a> ImageCopy<'a> {
    fn add(
        &mut self,
        target: &'a ReadyTarget,
        result: CopyResult,
        source_failure: Option<Arc<Reason>>,
    ) {
        self.results.push(TargetCopy { target, result, source_failure });
    }
}

impl<'a> Worker<'a> {
    /// Copies the image to every destination that lacks any of it. If an origin fails, the next one is tried.
    pub(super) async fn copy(&self) -> ImageCopy<'a> {
        let mut copy = ImageCopy { results: Vec::new(), root: None };
        let mut open = Vec::new();
        for target in self.ready.targets.iter().filter(|target| target.is_copied()) {
            let to = self.run.destination(target.destination());
            let source_failure = self.ready.source_failure.clone();
            match self.run.hosts.check(to.host()).await {
                Ok(()) => open.push((target, source_failure)),
                Err(why) => copy.add(target, CopyResult::Failed(why), source_failure),
            }
        }
        let mut origins = self.ready.origins.iter().peekable();
        while let Some(origin) = origins.next()
            && !open.is_empty()
        {
            let targets: Vec<_> = open.iter().map(|(target, _)| *target).collect();
            let results = self.copy_from(origin, &targets, &mut copy.root).await;
            let is_last = origins.peek().is_none();
            for ((target, failure), result) in mem::take(&mut open).into_iter().zip(results) {
                match result {
                    CopyResult::OriginFailed(why) if !is_last => {
                        let failure = failure.or_else(|| origin.is_source().then_some(why));
                        open.push((target, failure));
                    }
                    result => copy.add(target, result, failure),
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
