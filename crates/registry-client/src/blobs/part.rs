//! The request for a blob from some offset on: with a range where the source supports that, else for all of it, whose
//! beginning is then skipped. Not here: what to do when the body breaks ([`crate::blobs::reader`]).
//!
//! Source: RFC 9110 §14 (ranges).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_client::FailureClass;
use oci::Digest;
use wording::Chain;

use crate::{
    Error, RepositoryClient, error::fault::RequestFault, exchange::response::SuccessResponse,
};

/// The name of the content for messages.
pub(crate) const BLOB: &str = "a blob";

/// Whether the source of a blob gets requests for a range of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RangeSupport {
    #[default]
    Requested,
    /// It has refused one, or sent something else for it: from then on all of the blob is requested.
    Refused,
}

/// A blob from some offset on.
pub(crate) struct BlobRequest<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) from: u64,
    /// The length of the whole, if it is known.
    pub(crate) size: Option<u64>,
}

impl BlobRequest<'_> {
    /// Requests the part, and once more without a range if the source rejects the range.
    pub(crate) async fn request(
        &self,
        repository: &RepositoryClient,
        ranges: &mut RangeSupport,
    ) -> Result<(SuccessResponse, ReceivedPart), Error> {
        let range = self.range().filter(|_| *ranges == RangeSupport::Requested);
        let has_range = range.is_some();
        match self.request_part(repository, range).await {
            Err(error) if has_range && may_be_due_to_range(&error) => {
                tracing::debug!("{}; again without a range", Chain(&error));
                *ranges = RangeSupport::Refused;
                self.request_part(repository, None).await
            }
            done => done,
        }
    }

    /// A closed range if the length is known: some servers reject an open one.
    fn range(&self) -> Option<HeaderValue> {
        let Self { from: from @ 1.., size, .. } = self else { return None };
        let last = size.map(|size| size.saturating_sub(1).to_string()).unwrap_or_default();
        HeaderValue::try_from(format!("bytes={from}-{last}")).ok()
    }

    async fn request_part(
        &self,
        repository: &RepositoryClient,
        range: Option<HeaderValue>,
    ) -> Result<(SuccessResponse, ReceivedPart), Error> {
        let mut request = repository.request(Method::GET, &format!("blobs/{}", self.digest))?;
        request.headers.extend(range.map(|range| (header::RANGE, range)));
        let response = repository.client().send(request).await?;
        match ReceivedPart::of(&response, self.from, self.size) {
            Ok(part) => Ok((response, part)),
            Err(fault) => Err(response.target.fails(fault)),
        }
    }
}

/// Whether a request without a range may succeed: the source sent another part, or rejected the request for a permanent
/// reason other than authorization or absence.
fn may_be_due_to_range(error: &Error) -> bool {
    match error.fault() {
        RequestFault::WrongPart { .. } | RequestFault::OtherLength { .. } => true,
        RequestFault::Status { status, .. } => {
            let is_refusal = error.fault().failure_class() == FailureClass::Settled;
            is_refusal && !matches!(status.as_u16(), 401 | 403 | 404 | 410)
        }
        _ => false,
    }
}

/// How a response relates to the requested part of a blob.
pub(crate) struct ReceivedPart {
    /// The number of unrequested bytes before the requested ones.
    pub(crate) before: u64,
    /// The length of the whole.
    pub(crate) size: Option<u64>,
}

impl ReceivedPart {
    /// `size` is what was known before.
    fn of(response: &SuccessResponse, from: u64, size: Option<u64>) -> Result<Self, RequestFault> {
        let part = if response.status == StatusCode::PARTIAL_CONTENT {
            let (start, whole) =
                content_range(&response.headers).ok_or(RequestFault::WrongPart { from })?;
            if start != from {
                return Err(RequestFault::WrongPart { from });
            }
            Self { before: 0, size: whole.or(size) }
        } else {
            Self { before: from, size: response.content_length().or(size) }
        };
        match (size, part.size) {
            (Some(was), Some(is)) if was != is => Err(match response.substitute(None) {
                Some(substitute) => substitute.fault(BLOB),
                None => RequestFault::OtherLength { was, is },
            }),
            _ => Ok(part),
        }
    }
}

/// The first byte, and the length of the whole if it is stated (RFC 9110 §14.4).
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _last) = range.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_where_they_say() {
        for (value, read) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */10", None),
            ("bytes 5-9", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, value)]);
            assert_eq!(content_range(&headers), read);
        }
    }
}
