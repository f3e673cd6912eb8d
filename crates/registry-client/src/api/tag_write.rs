//! Writes to a tag that other clients may write at the same time: only if the tag does not exist, or with their content
//! merged in.
//!
//! By conditions, where the registry knows them (RFC 9110 §13.1); and by reading again, since not even those
//! registries that send an `ETag` all look at `If-Match`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_client::Replay;
use oci::{Digest, Reference, Tag};
use tokio::time::sleep;

use crate::{
    Error, FetchedManifest, RepositoryClient, RequestFault,
    api::{
        conditions::{Condition, Conditional},
        repository::found,
    },
    exchange::attempts::Attempts,
};

/// The most writes of a merged manifest. After each failed one another client was quicker and has finished, so five
/// failures mean many writers, or a registry that loses writes.
const MAX_WRITES: usize = 5;

/// How often a tag is read once more that must exist, where the registry responds with 404, or with what the tag was on before
/// our write.
const MAX_REREADS: u32 = 4;

/// The longest wait before the first of them; each further one is twice as long. All together last 1.9 to 3.8 s:
/// replicas of registries are usually later than a write by less.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// No entity tag of any manifest: whatever is there is not this, so that a registry which knows `If-None-Match`
/// carries the write out.
const NO_ETAG: HeaderValue = HeaderValue::from_static("\"none\"");

/// The result of a write to a tag that must not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagWrite {
    /// The registry accepted the tag, on this digest. It may have ignored the condition.
    Written(Digest),
    /// The tag exists, and not by this write; or the registry says so (412).
    Taken,
}

/// What to do with the present manifest of a tag.
#[derive(Clone, Debug)]
pub enum Merge {
    /// Nothing: it is complete.
    Enough,
    /// Replace it by this manifest, which includes its content.
    Write(FetchedManifest),
}

/// A manifest on its way to a tag that must not exist.
struct NewTag<'a> {
    repository: &'a RepositoryClient,
    tag: &'a Tag,
    media_type: &'a str,
    bytes: &'a Bytes,
}

/// What a GET of the tag says after a write that failed.
enum TagAfterWrite {
    Ours(Digest),
    Other,
    Nothing,
}

impl RepositoryClient {
    /// Writes a manifest under `tag` on the condition that nothing is there (`If-None-Match: *`). A registry
    /// that ignores conditions writes in any case: read the tag by GET before, and again afterwards. After a
    /// write whose response was lost, the tag is read by GET, and the write is repeated only if the tag does not
    /// exist. To a registry that rejects the condition itself, the tag is written without it, right after a GET
    /// that got 404 and if the listing does not name the tag; that is recorded for the host.
    ///
    /// # Errors
    /// Any response but success and 412; and when the registry says that it stored something else.
    pub async fn put_tag_if_absent(
        &self,
        tag: &Tag,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<TagWrite, Error> {
        let new = NewTag { repository: self, tag, media_type, bytes: &bytes };
        let mut attempts = Attempts::default();
        loop {
            let error = match new.write().await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            if !new.may_be_done(&error) {
                return new.is_refused_as_it_is(error).await;
            }
            match new.found().await? {
                TagAfterWrite::Ours(digest) => return Ok(TagWrite::Written(digest)),
                TagAfterWrite::Other => return Ok(TagWrite::Taken),
                TagAfterWrite::Nothing
                    if attempts.again(self.client(), &error, Replay::Always).await => {}
                TagAfterWrite::Nothing => return Err(error),
            }
        }
    }

    /// Reads the manifest of `tag`, passes it to `merge`, and writes the result, until `merge` returns that the manifest
    /// is complete. Returns its digest. The result of `merge` must include everything that it was ever passed.
    ///
    /// # Errors
    /// What `merge` says; when the tag cannot be read or written; and [`RequestFault::LostRace`] when others write
    /// again and again.
    pub async fn merge_at_tag<E, F>(
        &self,
        tag: &Tag,
        mut merge: impl FnMut(Option<FetchedManifest>) -> F,
    ) -> Result<Option<Digest>, E>
    where
        E: From<Error>,
        F: Future<Output = Result<Merge, E>>,
    {
        let reference = Reference::Tag(tag.clone());
        let mut writes = 0;
        let mut refused = Refused::default();
        let mut seen = SeenTag::default();
        loop {
            let (there, headers) = self.read_again(&reference, &mut seen).await?;
            let digest = there.as_ref().map(|there| there.digest);
            let condition = match &there {
                Some(_) => still_there(&headers),
                None => Condition::Absent,
            };
            let rejected = condition.kind().filter(|kind| refused.rejects(*kind, digest));
            let condition = match condition.kind() {
                Some(kind) if rejected.is_some() || self.is_rejected(kind) => Condition::None,
                _ => condition,
            };
            let Merge::Write(FetchedManifest { media_type, bytes, .. }) = merge(there).await?
            else {
                return Ok(digest);
            };
            if writes == MAX_WRITES {
                let request = self.request(Method::PUT, &format!("manifests/{reference}"))?;
                return Err(request
                    .target()
                    .fails(RequestFault::LostRace { tries: MAX_WRITES })
                    .into());
            }
            writes += 1;
            match self.put_complete(&reference, &media_type, &bytes, &condition).await {
                Ok(_) => {
                    self.note_written(rejected, &condition);
                    seen.wrote(digest);
                }
                Err(error) if self.is_taken(&condition, &error, &media_type, &bytes).await? => {
                    seen.exists = true;
                }
                Err(error) if self.may_be_rejected(&condition, &error) => {
                    refused = Refused { of: condition.kind(), at: Some((error.status(), digest)) };
                }
                Err(error) if is_undecided(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What a tag is on. One that was there is read again, with waits, where the registry says that it is not, or
    /// that it is still on what it was on before our write.
    ///
    /// # Errors
    /// When it cannot be read; and [`RequestFault::StaleTag`] for one that was there and is not returned: what replaces it
    /// would lack what it was on.
    async fn read_again(
        &self,
        reference: &Reference,
        seen: &mut SeenTag,
    ) -> Result<(Option<FetchedManifest>, HeaderMap), Error> {
        for reread in 0.. {
            let (there, headers) = match found(self.fetch(reference).await)? {
                Some((there, headers)) => (Some(there), headers),
                None => (None, HeaderMap::new()),
            };
            let digest = there.as_ref().map(|there| there.digest);
            if !seen.is_behind(digest) || (reread == MAX_REREADS && there.is_some()) {
                *seen = SeenTag { exists: there.is_some(), before: None };
                return Ok((there, headers));
            }
            if reread == MAX_REREADS {
                break;
            }
            self.wait_for_replicas(reread).await;
        }
        let request = self.request(Method::GET, &format!("manifests/{reference}"))?;
        Err(request.target().fails(RequestFault::StaleTag))
    }

    /// Writes a manifest whose content was found in the registry. If the registry reports some of it as unknown, the write
    /// is repeated: a replica may be late, and the file storage of distribution 2 does not find a manifest while it is
    /// written under another tag.
    async fn put_complete(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &Bytes,
        condition: &Condition,
    ) -> Result<Digest, Error> {
        let mut rereads = 0;
        loop {
            match self.put(reference, media_type, bytes.clone(), condition).await {
                Ok((digest, _)) => return Ok(digest),
                Err(error) if !error.is_unknown_content() || rereads == MAX_REREADS => {
                    return Err(error);
                }
                Err(_) => self.wait_for_replicas(rereads).await,
            }
            rereads += 1;
        }
    }

    async fn wait_for_replicas(&self, rereads: u32) {
        let half = LONGEST_WAIT * 2_u32.pow(rereads) / 2;
        sleep(half + self.client().jitter(half)).await;
    }

    /// Whether a refused write of a tag that was not found shows that it exists: by a 412 from a host that knows the
    /// condition.
    async fn is_taken(
        &self,
        condition: &Condition,
        error: &Error,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, Error> {
        let is_failed = error.status() == Some(StatusCode::PRECONDITION_FAILED);
        if !is_failed || !matches!(condition, Condition::Absent) {
            return Ok(false);
        }
        self.knows_if_none_match(media_type, bytes).await
    }

    /// Whether the host knows `If-None-Match`, so that its 412 says that something is there, and not that it rejects
    /// the header. Where that is not known, the manifest is put by its digest on a condition that holds whatever is
    /// there: this changes nothing that any name stands for.
    ///
    /// # Errors
    /// When that fails for another reason, which shows neither.
    async fn knows_if_none_match(&self, media_type: &str, bytes: &Bytes) -> Result<bool, Error> {
        let (host, memory) = (self.host(), &self.client().shared.conditions);
        let kind = Conditional::IfNoneMatch;
        if memory.is_accepted(host, kind) || memory.is_rejected(host, kind) {
            return Ok(memory.is_accepted(host, kind));
        }
        let by_digest = Reference::Digest(Digest::sha256(bytes));
        match self.put_complete(&by_digest, media_type, bytes, &Condition::Other(NO_ETAG)).await {
            Ok(_) => memory.note_accepted(host, kind),
            Err(error) if is_condition_refused(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Whether the host is known to reject a condition.
    fn is_rejected(&self, kind: Conditional) -> bool {
        self.client().shared.conditions.is_rejected(self.host(), kind)
    }

    /// Whether `error` may be the refusal of the condition itself: not by a host that has accepted it before.
    fn may_be_rejected(&self, condition: &Condition, error: &Error) -> bool {
        let memory = &self.client().shared.conditions;
        let is_accepted = |kind| memory.is_accepted(self.host(), kind);
        is_condition_refused(error) && condition.kind().is_some_and(|kind| !is_accepted(kind))
    }

    /// Notes what a write that succeeded shows of its condition, or of the one that was left out because the
    /// host rejected it.
    fn note_written(&self, rejected: Option<Conditional>, condition: &Condition) {
        let memory = &self.client().shared.conditions;
        match (condition.kind(), rejected) {
            (Some(kind), _) => memory.note_accepted(self.host(), kind),
            (None, Some(kind)) => memory.note_rejected(self.host(), kind),
            (None, None) => {}
        }
    }
}

impl NewTag<'_> {
    async fn write(&self) -> Result<TagWrite, Error> {
        let (host, memory) = (self.repository.host(), &self.repository.client().shared.conditions);
        let kind = Conditional::IfNoneMatch;
        if memory.is_rejected(host, kind) {
            return match self.found().await? {
                TagAfterWrite::Nothing => self.put(&Condition::Checked).await,
                TagAfterWrite::Ours(digest) => Ok(TagWrite::Written(digest)),
                TagAfterWrite::Other => Ok(TagWrite::Taken),
            };
        }
        let error = match self.put(&Condition::Absent).await {
            Ok(written) => {
                memory.note_accepted(host, kind);
                return Ok(written);
            }
            Err(error) => error,
        };
        if !is_condition_refused(&error) {
            return Err(error);
        }
        let is_failed = error.status() == Some(StatusCode::PRECONDITION_FAILED);
        // A replica that is behind responds with 404 to the tag: then it is taken all the same.
        if is_failed && self.repository.knows_if_none_match(self.media_type, self.bytes).await? {
            return Ok(TagWrite::Taken);
        }
        if !matches!(self.found().await?, TagAfterWrite::Nothing) {
            return Ok(TagWrite::Taken);
        }
        // The host knows the header, so that is not what it refuses.
        if memory.is_accepted(host, kind) {
            return Err(error);
        }
        if self.repository.tags().await?.names.contains(self.tag) {
            return Ok(TagWrite::Taken);
        }
        let written = self.put(&Condition::Checked).await?;
        memory.note_rejected(host, kind);
        Ok(written)
    }

    /// Whether the write may have been done although it failed. If it cannot be sent with its condition, only a rejection
    /// shows that it was not.
    fn may_be_done(&self, error: &Error) -> bool {
        let (host, memory) = (self.repository.host(), &self.repository.client().shared.conditions);
        let is_checked = memory.is_rejected(host, Conditional::IfNoneMatch);
        is_response_lost(error) || (is_checked && error.is_transient())
    }

    /// What a refusal comes to: nothing, if the tag is on our manifest. A registry with tags that cannot be changed
    /// refuses to write what an earlier try has written, too.
    async fn is_refused_as_it_is(&self, error: Error) -> Result<TagWrite, Error> {
        let is_refused = matches!(error.status().map(|it| it.as_u16()), Some(403 | 409));
        match is_refused.then_some(self.found()) {
            Some(found) => match found.await {
                Ok(TagAfterWrite::Ours(digest)) => Ok(TagWrite::Written(digest)),
                _ => Err(error),
            },
            None => Err(error),
        }
    }

    async fn put(&self, condition: &Condition) -> Result<TagWrite, Error> {
        let reference = Reference::Tag(self.tag.clone());
        let put = self.repository.put_complete(&reference, self.media_type, self.bytes, condition);
        Ok(TagWrite::Written(put.await?))
    }

    async fn found(&self) -> Result<TagAfterWrite, Error> {
        let there = found(self.repository.manifest(&Reference::Tag(self.tag.clone())).await)?;
        Ok(match there {
            None => TagAfterWrite::Nothing,
            Some(there) if there.bytes == *self.bytes => TagAfterWrite::Ours(there.digest),
            Some(_) => TagAfterWrite::Other,
        })
    }
}

/// What is known of a tag that is merged, from earlier reads and writes.
#[derive(Default)]
struct SeenTag {
    exists: bool,
    /// What it was on before the last write.
    before: Option<Digest>,
}

impl SeenTag {
    /// Notes a write that succeeded, to a tag that was on `before`.
    fn wrote(&mut self, before: Option<Digest>) {
        *self = Self { exists: true, before };
    }

    /// Whether a read that found this is older than what is known.
    fn is_behind(&self, found: Option<Digest>) -> bool {
        match found {
            None => self.exists,
            found => found == self.before,
        }
    }
}

/// A condition that was refused in a merge.
#[derive(Default)]
struct Refused {
    of: Option<Conditional>,
    /// How, and what the tag was on before.
    at: Option<(Option<StatusCode>, Option<Digest>)>,
}

impl Refused {
    /// Whether the host rejects conditions of this kind, now that the tag is on `there`: not by a 412 after
    /// which the tag is on something else, since then another write was first.
    fn rejects(&self, kind: Conditional, there: Option<Digest>) -> bool {
        let is_by_itself =
            |(status, before)| status != Some(StatusCode::PRECONDITION_FAILED) || before == there;
        self.of == Some(kind) && self.at.is_some_and(is_by_itself)
    }
}

/// Whether this may be the refusal of a condition: by 412, or by registries and what stands in front of them
/// that do not accept such a header.
fn is_condition_refused(error: &Error) -> bool {
    matches!(error.status().map(|status| status.as_u16()), Some(400 | 412 | 501))
        && !error.is_unknown_content()
}

/// Whether the write may have been done although there was no response.
fn is_response_lost(error: &Error) -> bool {
    error.status().is_none() && error.is_transient()
}

/// Whether a write must be verified: another client was first, or it may have been done.
fn is_undecided(error: &Error) -> bool {
    error.status() == Some(StatusCode::PRECONDITION_FAILED) || is_response_lost(error)
}

/// The condition that what these headers came with is still there. Weak tags match nothing in `If-Match`
/// (RFC 9110 §13.1.1).
fn still_there(headers: &HeaderMap) -> Condition {
    let etag = headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    etag.map_or(Condition::None, |etag| Condition::Unchanged(etag.clone()))
}
