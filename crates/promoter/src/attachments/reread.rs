//! Reading again, at the end of a run, the attachments that it wrote by tags.
//!
//! A digest tag and the index of referrers are read, merged and written back. Where the registry does not check
//! `If-Match`, two clients that do so at the same time can each replace what the other has written, and both are told
//! that it is stored. That a registry accepts a request with a condition does not show that it checks it, so all of
//! them are read again, wherever they are. What was replaced is merged again, with what is there by then.
//!
//! The rules are `docs/promotion.md`, "Attachments".

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference};
use promotion_manifest::WishId;
use registry_client::RepositoryClient;
use transfer::Image;

use super::{
    Attachment, By, OnTag,
    carry::{FoundBy, tie},
};
use crate::{
    Outcome, Run, Verdict,
    hosts::Reason,
    reading_back::{self, MAX_REREADS},
    work::{Origin, Target, Work},
};

/// Repositories whose attachments are read again at once.
const REPOSITORIES_AT_ONCE: usize = 8;

/// An attachment that this run wrote, and that is found by a tag.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    destination: usize,
    wish: WishId,
    /// Where it came from.
    from: Option<Origin>,
    attachment: Attachment,
    /// What its digest tag was left on.
    on: OnTag,
}

impl Written {
    /// The attachment at this place of `work`, written to `target`.
    pub(crate) fn of(work: &Work, target: &Target, at: usize, on: OnTag) -> Self {
        let (destination, wish, from) = (target.destination, work.wish, work.reference);
        Self { destination, wish, from, attachment: work.attachments[at].clone(), on }
    }
}

/// Reads `written` again, writes what others replaced, and corrects the outcomes of edges whose attachments are still
/// not all there.
pub(crate) async fn reread(run: &Run<'_>, written: Vec<Written>, outcomes: &mut [Outcome]) {
    let mut by_destination: BTreeMap<usize, Vec<Written>> = BTreeMap::new();
    for written in written {
        by_destination.entry(written.destination).or_default().push(written);
    }
    run.progress.stage("reading written attachments again", by_destination.len() as u64);
    let read = stream::iter(by_destination).map(|(destination, mut written)| async move {
        let wishes: HashSet<_> = written.iter().map(|written| written.wish).collect();
        let repository = run.destination(destination);
        let confirmed = confirm(run, &repository, &mut written);
        let failed = run.stop.unless_stopped(confirmed).await.unwrap_or_else(|| {
            let unknown = |wish| (wish, run.interrupted(&run.hosts_of(destination, wish)));
            wishes.into_iter().map(unknown).collect()
        });
        run.progress.advance(1);
        (destination, failed)
    });
    let failed: HashMap<_, _> = read.buffer_unordered(REPOSITORIES_AT_ONCE).collect().await;
    for outcome in outcomes.iter_mut().filter(|outcome| is_written(outcome.verdict)) {
        let place = &run.edges.destinations()[outcome.edge.destination];
        let wish = run.edges.wish(&place.edges[outcome.edge.edge]).id;
        let reason = failed.get(&outcome.edge.destination).and_then(|failed| failed.get(&wish));
        if let Some(reason) = reason {
            *outcome = Outcome::failed(outcome.edge, reason.clone());
        }
    }
}

const fn is_written(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Copied | Verdict::Tagged | Verdict::Attached)
}

/// Makes sure that all of `written` is found in `repository`; gives the wishes of which something is not, and why.
async fn confirm(
    run: &Run<'_>,
    repository: &RepositoryClient,
    written: &mut [Written],
) -> HashMap<WishId, Reason> {
    let mut repairs = 0;
    loop {
        let (replaced, mut failed) = replaced(run, repository, written).await;
        if replaced.is_empty() {
            return failed;
        }
        for at in replaced {
            let written = &mut written[at];
            let repaired = match repairs {
                MAX_REREADS => Err(Reason::from("other clients replace it each time; run again")),
                _ => repair(run, repository, written).await,
            };
            if let Err(why) = repaired {
                let what = written.attachment.describe();
                let reason = format!("{what} was written, but is gone: {why}");
                failed.insert(written.wish, reason.into());
            }
        }
        if repairs == MAX_REREADS {
            return failed;
        }
        reading_back::wait(run, repairs).await;
        repairs += 1;
    }
}

/// Which of `written` others have replaced since, by their places; and the wishes of which something cannot be read.
async fn replaced(
    run: &Run<'_>,
    repository: &RepositoryClient,
    written: &[Written],
) -> (Vec<usize>, HashMap<WishId, Reason>) {
    let (mut replaced, mut unread) = (Vec::new(), HashMap::new());
    let mut listed = Listed { repository, by_subject: HashMap::new() };
    for (at, written) in written.iter().enumerate() {
        match listed.finds(written).await {
            Ok(true) => {}
            Ok(false) => replaced.push(at),
            Err(error) => {
                let why = run.hosts.explain(repository.host(), &error);
                let what = written.attachment.describe();
                let reason = format!("{what} was written, but cannot be read again: {why}");
                unread.insert(written.wish, reason.into());
            }
        }
    }
    (replaced, unread)
}

/// Writes an attachment again, merged with what its tag is on now.
async fn repair(
    run: &Run<'_>,
    repository: &RepositoryClient,
    written: &mut Written,
) -> Result<(), Reason> {
    let from = run.origin(written.from.ok_or("it has no origin")?)?;
    let attachment = &written.attachment;
    tracing::info!(
        at = %repository, attachment = attachment.describe(), "another client replaced it: merging again"
    );
    let image = Image::load(&from, &attachment.digest).await;
    let image = image.map_err(|error| run.hosts.explain_transfer(from.host(), &error))?;
    let tied = tie(&from, attachment, image.root(), repository).await;
    if let FoundBy::Tag(on) = tied.map_err(|trouble| Reason::from(trouble.to_string()))? {
        written.on = on;
    }
    Ok(())
}

/// What a repository lists now; each index of referrers is read once.
struct Listed<'a> {
    repository: &'a RepositoryClient,
    by_subject: HashMap<Digest, HashSet<Digest>>,
}

impl Listed<'_> {
    /// Whether an attachment is found as it was left. A digest tag that is on anything else is merged once more, which
    /// writes nothing where all is there.
    async fn finds(&mut self, written: &Written) -> Result<bool, registry_client::Error> {
        let Attachment { subject, digest, by } = &written.attachment;
        match by {
            By::Tag(tag) => {
                let found = self.repository.find_manifest(&Reference::Tag(tag.clone())).await?;
                Ok(found.is_some_and(|found| Some(found.digest) == written.on))
            }
            By::Referrer => {
                if let Some(listed) = self.by_subject.get(subject) {
                    return Ok(listed.contains(digest));
                }
                let listed = self.repository.referrers_by_tag(subject, None).await?;
                let listed: HashSet<_> = listed.into_iter().map(|it| it.digest).collect();
                let is_listed = listed.contains(digest);
                self.by_subject.insert(*subject, listed);
                Ok(is_listed)
            }
        }
    }
}
