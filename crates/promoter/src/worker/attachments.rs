//! Copying the attachments of one image to the destinations that lack some.

use std::sync::Arc;

use registry_client::RepositoryClient;

use super::{Worker, image::CopyResult};
use crate::{
    attaching::{self, AttachmentFailure, CopiedAttachments, CopyFailure, WrittenAttachment},
    ready::ReadyTarget,
    reason::{AttachmentProblem, AttachmentStep, Reason},
};

/// A destination that needs nothing more but its tags, and the attachments that it got.
pub(super) struct Attached<'a> {
    pub target: &'a ReadyTarget,
    pub attachments: Arc<[String]>,
}

impl<'a> Worker<'a> {
    /// Copies the attachments to the destinations that lack some. Returns the destinations that have all attachments
    /// now but for broken ones.
    pub(super) async fn attach(&self, targets: Vec<&'a ReadyTarget>) -> Vec<Attached<'a>> {
        let (lacking, complete): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| !target.missing.is_empty());
        let mut open: Vec<_> = complete
            .into_iter()
            .map(|target| Attached { target, attachments: Arc::default() })
            .collect();
        if lacking.is_empty() {
            return open;
        }
        let from = match self.run.origin(self.ready.attachments_origin) {
            Ok(from) => from,
            Err(reason) => {
                lacking.iter().for_each(|target| self.fail(target, &reason));
                return open;
            }
        };
        let to: Vec<_> = lacking
            .iter()
            .map(|target| (self.run.destination(target.destination()), target.missing.clone()))
            .collect();
        let wanted = (&*self.ready.attachments, self.run.settings);
        let copied = attaching::copy(&self.run.transfer_state, &from, wanted, &to).await;
        for ((target, (to, _)), copied) in lacking.into_iter().zip(&to).zip(copied) {
            open.extend(self.attached(target, copied, &from, to));
        }
        open
    }

    /// Records what copying attachments came to at `target`; `None` if the target failed or is deferred.
    fn attached(
        &self,
        target: &'a ReadyTarget,
        copied: CopiedAttachments,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Attached<'a>> {
        let Some((at, why)) = copied.failed else {
            let written = copied.by_tag.into_iter();
            let written =
                written.map(|(at, on)| WrittenAttachment::new(self.ready, target, at, on));
            self.result().written.extend(written);
            let broken = copied.broken.iter();
            let broken = broken.filter_map(|broken| self.ready.broken(target, broken));
            self.result().outcomes.extend(broken);
            let is_broken = |at: &&usize| copied.broken.iter().any(|broken| broken.at == **at);
            let complete = target.missing.iter().filter(|at| !is_broken(at));
            return Some(Attached { target, attachments: self.ready.names(complete) });
        };
        match self.explain_attachment(why, from, to) {
            None => self.result().slow.push(target.clone()),
            Some(problem) => {
                let attachment = (&self.ready.attachments[at]).into();
                let failed = AttachmentStep::Copy;
                let reason = Reason::Attachment { attachment, failed, problem };
                self.fail(target, &Arc::new(reason));
            }
        }
        None
    }

    /// Why an attachment was not copied; `None` if its destination is too slow.
    fn explain_attachment(
        &self,
        why: CopyFailure,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Arc<AttachmentProblem>> {
        let problem = |reason| Some(Arc::new(AttachmentProblem::Reason(reason)));
        match why {
            CopyFailure::Transfer(error) => match self.explain(error, from, to) {
                CopyResult::Slow | CopyResult::Copied(_) => None,
                CopyResult::Failed(reason) | CopyResult::OriginFailed(reason) => problem(reason),
            },
            CopyFailure::Slow => None,
            CopyFailure::NotAttached(AttachmentFailure::Remote(error)) => {
                problem(self.run.hosts.explain(to.host(), error))
            }
            CopyFailure::NotAttached(AttachmentFailure::Problem(problem))
            | CopyFailure::Broken(problem) => Some(problem),
        }
    }
}
