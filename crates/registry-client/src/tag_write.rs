//! Writing to a tag that others may write to at the same time: only where nothing is there, or so that what
//! they wrote is in what we write.
//!
//! By conditions, where the registry knows them (RFC 9110 §13.1); and by reading again, since not even those
//! registries that send an `ETag` all look at `If-Match`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use oci::{Digest, Reference, Tag};

use crate::{Error, Fault, FetchedManifest, RepositoryClient, repository::found};

/// How often a merged manifest is written before the tag is left to others: each time somebody else was
/// quicker, and is done now, so that five means a crowd or a registry that forgets.
const MAX_WRITES: usize = 5;

/// What became of a tag that was to be written where there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagWrite {
    /// The registry took it, on this digest. Whether it looked at the condition is not known.
    Written(Digest),
    /// The registry says (412) that the tag is there: perhaps by a request of ours whose answer was lost.
    Taken,
}

/// What is to be done about what a tag is on.
#[derive(Clone, Debug)]
pub enum Merge {
    /// Nothing: all is there.
    Enough,
    /// This is to be there instead, which has what was there in it.
    Write(FetchedManifest),
}

impl RepositoryClient {
    /// Writes a manifest under `tag` on the condition that nothing is there (`If-None-Match: *`). A registry that
    /// knows no conditions writes in any case: read the tag before, and again afterwards.
    ///
    /// # Errors
    /// Any answer but success and 412; and when the registry says that it stored something else.
    pub async fn put_tag_if_absent(
        &self,
        tag: &Tag,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<TagWrite, Error> {
        let condition = HeaderMap::from_iter([nothing_there()]);
        match self.put(&Reference::Tag(tag.clone()), media_type, bytes, condition).await {
            Ok((digest, _)) => Ok(TagWrite::Written(digest)),
            Err(error) if error.status() == Some(StatusCode::PRECONDITION_FAILED) => {
                Ok(TagWrite::Taken)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what `tag` is on, asks `merge` about it, and writes what that says, until that is content with what
    /// is there; gives its digest then. What `merge` wants written must have in it all that it was ever shown.
    ///
    /// # Errors
    /// What `merge` says; when the tag cannot be read or written; and [`Fault::LostRace`] when others write
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
        loop {
            let (there, condition) = match found(self.fetch(&reference).await)? {
                Some((there, headers)) => (Some(there), still_there(&headers)),
                None => (None, Some(nothing_there())),
            };
            let digest = there.as_ref().map(|there| there.digest);
            let Merge::Write(FetchedManifest { media_type, bytes, .. }) = merge(there).await?
            else {
                return Ok(digest);
            };
            if writes == MAX_WRITES {
                let request = self.request(Method::PUT, &format!("manifests/{reference}"))?;
                return Err(request.asked().fails(Fault::LostRace { tries: MAX_WRITES }).into());
            }
            writes += 1;
            let put =
                self.put(&reference, &media_type, bytes, HeaderMap::from_iter(condition)).await;
            match put {
                Err(error) if !is_undecided(&error) => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Whether a write is to be looked after: somebody else was first, or it may have been done.
fn is_undecided(error: &Error) -> bool {
    match error.status() {
        Some(status) => status == StatusCode::PRECONDITION_FAILED,
        None => error.is_transient(),
    }
}

/// The condition that nothing is there.
const fn nothing_there() -> (HeaderName, HeaderValue) {
    (header::IF_NONE_MATCH, HeaderValue::from_static("*"))
}

/// The condition that what these headers came with is still there. Weak tags match nothing in `If-Match`
/// (RFC 9110 §13.1.1).
fn still_there(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    let etag = headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    etag.map(|etag| (header::IF_MATCH, etag.clone()))
}
