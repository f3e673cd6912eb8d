//! What is read before anything is written, once it is known what is to be done: the manifests of the images
//! that will be copied, and what hangs on all that attachments are compared of.
//!
//! It turns a plan of what is wanted into one of what can be done, and tells what that will cost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use oci::Digest;
use registry_client::{Inventory, RepositoryClient};
use transfer::Image;

use crate::{
    Outcome, Run,
    attachments::{self, Attachment, Trouble},
    estimate::Estimator,
    hosts::Reason,
    interrupted,
    inventory::SeenAt,
    plan::Plan,
    sources::Sources,
    work::{Lacks, Origin, Target, Work},
};

/// Images whose manifests are read at once. Each reads some at once itself.
const IMAGES_AT_ONCE: usize = 8;

/// How many bytes of manifests are kept until their images are copied. A run of usual size needs all of
/// it once; the first one of a whole registry would need gigabytes, and reads them again.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// Reads what `plan` needs, settles what turns out to be done or impossible, and reckons what the rest costs.
pub(crate) async fn read(
    run: &Run<'_>,
    seen: &[SeenAt],
    sources: &Sources,
    plan: &mut Plan,
) -> Estimator {
    let reader = Reader { run, seen, sources, kept_bytes: AtomicUsize::new(0) };
    run.progress.stage("reading images", plan.work.len() as u64);
    let mut estimator = Estimator::default();
    let works = std::mem::take(&mut plan.work);
    let read = stream::iter(works).map(|work| {
        let reader = &reader;
        async move {
            let targets = work.targets.clone();
            let read = run.stop.unless_stopped(reader.read(work)).await;
            run.progress.advance(1);
            read.unwrap_or_else(|| Read::nothing(&targets, &interrupted()))
        }
    });
    let mut read = read.buffered(IMAGES_AT_ONCE);
    while let Some(Read { work, settled, image }) = read.next().await {
        plan.settled.extend(settled);
        if let Some(work) = work {
            estimator.add(run, &work, image.as_deref());
            plan.work.push(work);
        }
    }
    estimator
}

/// What reading for one work came to.
struct Read {
    /// What is left to do, if anything is.
    work: Option<Work>,
    settled: Vec<Outcome>,
    /// The image that is to be copied, kept or not.
    image: Option<Arc<Image>>,
}

impl Read {
    fn nothing(targets: &[Target], reason: &Reason) -> Self {
        let settled = targets.iter().flat_map(|target| target.failed(reason)).collect();
        Self { work: None, settled, image: None }
    }
}

struct Reader<'a> {
    run: &'a Run<'a>,
    seen: &'a [SeenAt],
    sources: &'a Sources,
    kept_bytes: AtomicUsize,
}

impl Reader<'_> {
    async fn read(&self, mut work: Work) -> Read {
        let image = if work.lacks_digest() {
            match self.load(&mut work).await {
                Ok(image) => Some(image),
                Err(reason) => return Read::nothing(&work.targets, &reason),
            }
        } else {
            None
        };
        work.reference = work.origins.first().copied();
        let mut settled = Vec::new();
        if work.targets.iter().any(|target| self.hanging(target.destination).is_some()) {
            match self.find(&work, image.as_deref()).await {
                Ok(found) => {
                    work.attachments = found.into();
                    self.compare(&mut work, &mut settled).await;
                }
                Err(reason) => {
                    let wanting = |target: &Target| self.hanging(target.destination).is_some();
                    let lost = work.targets.extract_if(.., |target| wanting(target));
                    settled.extend(lost.flat_map(|target| target.failed(&reason)));
                }
            }
        }
        for target in work
            .targets
            .iter_mut()
            .filter(|target| target.missing.is_empty() && target.lacks == Lacks::Nothing)
        {
            settled.extend(target.held_edges().map(Outcome::present));
            target.held.clear();
        }
        work.targets.retain(|target| target.all_edges().next().is_some());
        work.image = image.clone().filter(|image| self.is_kept(image));
        let work = (!work.targets.is_empty()).then_some(work);
        Read { work, settled, image }
    }

    /// The image at its first origin that has all its manifests; those that have not are left out.
    async fn load(&self, work: &mut Work) -> Result<Arc<Image>, Reason> {
        let mut why = None;
        while let Some(&origin) = work.origins.first() {
            match self.run.load(work.wish, origin).await {
                Ok(image) => return Ok(Arc::new(image)),
                Err(reason) => drop(why.get_or_insert(reason)),
            }
            work.origins.remove(0);
        }
        Err(why.unwrap_or_else(|| Reason::from("it has no origin")))
    }

    /// Whether there is room to keep the manifests of one more image.
    fn is_kept(&self, image: &Image) -> bool {
        let bytes = image.nodes().map(|node| node.manifest.bytes.len()).sum();
        self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_KEPT_BYTES
    }

    /// What hangs on the image at its first origin.
    async fn find(&self, work: &Work, image: Option<&Image>) -> Result<Vec<Attachment>, Reason> {
        let (at, inventory) = self.reference(work)?;
        let root = self.run.edges.wish_by_id(work.wish).entry.digest;
        let found = async {
            let subjects = match image {
                Some(image) => image.nodes().map(|node| node.manifest.digest).collect(),
                None => attachments::subjects(&at, root).await?,
            };
            attachments::find(&at, inventory, subjects).await
        };
        found.await.map_err(|trouble| self.explain(&at, &root, &trouble))
    }

    /// Where attachments are taken from, and what is known of it.
    fn reference(&self, work: &Work) -> Result<(RepositoryClient, Option<&Inventory>), Reason> {
        let origin = work.reference.ok_or("it has no origin")?;
        let inventory = match origin {
            Origin::Source(wish) => self.sources.hanging(wish),
            Origin::Destination(at) => self.hanging(at),
        };
        Ok((self.run.origin(origin)?, inventory))
    }

    fn hanging(&self, destination: usize) -> Option<&Inventory> {
        self.seen[destination].as_ref().ok()?.hanging.as_ref()
    }

    /// Finds what each target lacks of the attachments.
    async fn compare(&self, work: &mut Work, settled: &mut Vec<Outcome>) {
        let compared = work.targets.iter().map(|target| self.missing(work, target));
        let compared = join_all(compared).await;
        let mut compared = compared.into_iter();
        work.targets.retain_mut(|target| match compared.next() {
            Some(Ok(missing)) => {
                target.missing = missing;
                true
            }
            Some(Err(reason)) => {
                settled.extend(target.failed(&reason));
                false
            }
            None => true,
        });
    }

    async fn missing(&self, work: &Work, target: &Target) -> Result<Vec<usize>, Reason> {
        let Some(inventory) = self.hanging(target.destination) else { return Ok(Vec::new()) };
        let is_reference = work.reference == Some(Origin::Destination(target.destination));
        if work.attachments.is_empty() || is_reference {
            return Ok(Vec::new());
        }
        let (from, _) = self.reference(work)?;
        let to = self.run.destination(target.destination);
        self.run.hosts.check(to.host()).await?;
        let there = (target.lacks, inventory);
        let missing = attachments::missing(&to, there, &from, &work.attachments).await;
        let root = self.run.edges.wish_by_id(work.wish).entry.digest;
        missing.map_err(|trouble| self.explain(&to, &root, &trouble))
    }

    fn explain(&self, at: &RepositoryClient, root: &Digest, trouble: &Trouble) -> Reason {
        let why = match trouble {
            Trouble::Registry(error) => self.run.hosts.explain(at.host(), error),
            Trouble::Content(why) => Reason::from(why.as_str()),
        };
        format!("what hangs on {root} cannot be read: {why}").into()
    }
}
