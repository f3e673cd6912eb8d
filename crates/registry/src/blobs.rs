//! Blobs: read, whole or in part, and delete. How they come in: [`crate::uploads`].
//!
//! Source: distribution-spec 1.1, "Pulling blobs", "Deleting Blobs"; RFC 9110 §14 and §13.1.5 for
//! ranges.

use std::{io::SeekFrom, ops::Range};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures_util::stream;
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE},
};
use oci::{Digest, Repository};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::{
    DOCKER_CONTENT_DIGEST,
    limits::READ_PIECE_BYTES,
    refusal::Refusal,
    storage::{Blob, Storage},
};

pub(crate) async fn read(
    storage: &Storage,
    name: Repository,
    digest: Digest,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let unknown = Refusal::BlobUnknown(name.clone(), digest);
    let blob = storage.run(move |backend| backend.blob(&name, digest)).await?.ok_or(unknown)?;
    let size = blob.size();
    // We send no validator, so `If-Range` never holds: such a client wants the whole (§13.1.5).
    let asked = headers.get(RANGE).filter(|_| !headers.contains_key(IF_RANGE));
    let asked = asked.and_then(|value| value.to_str().ok());
    let part = asked.and_then(|asked| parse_range(asked, size)).transpose()?;
    let range = part.clone().unwrap_or(0..size);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (DOCKER_CONTENT_DIGEST, digest.to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let body = content(blob, range);
    Ok(match part {
        Some(Range { start, end }) => {
            let range = format!("bytes {start}-{}/{size}", end - 1);
            (StatusCode::PARTIAL_CONTENT, headers, [(CONTENT_RANGE, range)], body).into_response()
        }
        None => (headers, body).into_response(),
    })
}

/// The interval of a `Range` header. None where the header is to be ignored: another unit, several
/// intervals, or no sense (RFC 9110 §14.2).
fn parse_range(asked: &str, size: u64) -> Option<Result<Range<u64>, Refusal>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    let range = match (first, last) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.is_empty() { Err(Refusal::RangeOutside { size }) } else { Ok(range) })
}

fn content(blob: Blob, range: Range<u64>) -> Body {
    let file = match blob {
        // The range lies within the bytes, so its ends fit.
        Blob::Bytes(bytes) => {
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(0));
            return Body::from(bytes.slice(start..end));
        }
        Blob::File { file, .. } => tokio::fs::File::from_std(file),
    };
    // Shorter content than announced ends the connection, so the client sees that it is cut.
    Body::from_stream(stream::try_unfold((file, range), async |(mut file, range)| {
        if range.is_empty() {
            return Ok::<_, std::io::Error>(None);
        }
        file.seek(SeekFrom::Start(range.start)).await?;
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut piece = BytesMut::with_capacity(left.min(READ_PIECE_BYTES));
        (&mut file).take(piece.capacity() as u64).read_buf(&mut piece).await?;
        let next = range.start + piece.len() as u64..range.end;
        Ok((!piece.is_empty()).then(|| (piece.freeze(), (file, next))))
    }))
}

pub(crate) async fn delete(
    storage: &Storage,
    name: Repository,
    digest: Digest,
) -> Result<Response, Refusal> {
    let unknown = Refusal::BlobUnknown(name.clone(), digest);
    let deleted = storage.run(move |backend| backend.delete_blob(&name, digest));
    if deleted.await? { Ok(StatusCode::ACCEPTED.into_response()) } else { Err(unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (asked, range) in [
            ("bytes=0-0", Some(Some(0..1))),
            ("bytes=2-5", Some(Some(2..6))),
            ("bytes=2-", Some(Some(2..10))),
            ("bytes=9-99", Some(Some(9..10))),
            ("bytes=-3", Some(Some(7..10))),
            ("bytes=-99", Some(Some(0..10))),
            ("bytes=0-18446744073709551615", Some(Some(0..10))),
            ("bytes=10-", Some(None)),
            ("bytes=10-12", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("bytes=x-", None),
            ("bytes=99999999999999999999-", None),
            ("items=0-1", None),
        ] {
            let parsed = parse_range(asked, 10).map(Result::ok);
            assert_eq!(parsed, range, "{asked}");
        }
        assert!(matches!(parse_range("bytes=0-", 0), Some(Err(_))));
    }
}
