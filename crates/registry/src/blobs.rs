//! Blobs: read, whole or in part, and delete. How they come in: [`crate::push`].
//!
//! Source: distribution-spec 1.1, "Pulling blobs", "Deleting Blobs"; RFC 9110 §14 and §13.1.5 for
//! ranges.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    sync::Arc,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE},
};
use oci::{Digest, Repository};
use tokio::task::JoinHandle;

use crate::{
    DOCKER_CONTENT_DIGEST,
    conditions::{instead_of_content, range_counts, validators},
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
    let blob = match storage.run(move |backend| backend.blob(&name, digest)).await {
        Err(error) if error.is_damage() => {
            return Err(Refusal::Damaged { unknown: Box::new(unknown), error });
        }
        blob => blob?.ok_or(unknown)?,
    };
    let size = blob.size();
    if let Some(answer) = instead_of_content(headers, digest)? {
        return Ok(answer);
    }
    let asked = headers.get(RANGE).filter(|_| range_counts(headers, digest));
    let asked = asked.and_then(|value| value.to_str().ok());
    let part = asked.and_then(|asked| parse_range(asked, size)).transpose()?;
    let range = part.clone().unwrap_or(0..size);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let body = content(blob, range);
    Ok(match part {
        Some(Range { start, end }) => {
            let range = format!("bytes {start}-{}/{size}", end - 1);
            let headers = (headers, validators(digest), [(CONTENT_RANGE, range)]);
            (StatusCode::PARTIAL_CONTENT, headers, body).into_response()
        }
        None => (headers, validators(digest), body).into_response(),
    })
}

/// The interval of a `Range` header. None where the header is to be ignored: another unit, several
/// intervals, or no sense (RFC 9110 §14.2). One that ends before it begins is refused, as that section
/// allows, like one that lies outside.
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
        Blob::File { file, .. } => Arc::new(file),
    };
    // Nothing is read before somebody asks: to a HEAD nobody does.
    let reading = Reading { file, at: None, left: range, next: None };
    Body::from_stream(stream::try_unfold(reading, Reading::next))
}

/// A part of a file that is being sent: one piece is read while the one before it goes out.
struct Reading {
    /// Nobody else moves its cursor, and one piece is read at a time.
    file: Arc<File>,
    /// Where the cursor is, once that is known.
    at: Option<u64>,
    /// What was not begun to be read.
    left: Range<u64>,
    next: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let next = self.next.take().or_else(|| self.begin());
        let Some(next) = next else { return Ok(None) };
        let piece = next.await??;
        self.next = self.begin();
        Ok(Some((piece, self)))
    }

    fn begin(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let start = self.left.start;
        let length = self.left.end.saturating_sub(start).min(READ_PIECE_BYTES as u64);
        let seek = (self.at != Some(start)).then_some(start);
        self.left.start += length;
        self.at = Some(self.left.start);
        let file = Arc::clone(&self.file);
        (length > 0).then(|| {
            // Made here, where it is given back too: the threads that read are many.
            let piece = Vec::with_capacity(usize::try_from(length).unwrap_or(READ_PIECE_BYTES));
            tokio::task::spawn_blocking(move || read_piece(&file, seek, length, piece))
        })
    }
}

/// A file that is shorter than announced ends the connection, so that the client sees that it is cut.
fn read_piece(
    mut file: &File,
    seek: Option<u64>,
    length: u64,
    mut piece: Vec<u8>,
) -> io::Result<Bytes> {
    if let Some(start) = seek {
        file.seek(SeekFrom::Start(start))?;
    }
    file.take(length).read_to_end(&mut piece)?;
    if piece.len() as u64 == length {
        Ok(piece.into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

pub(crate) async fn delete(
    storage: &Storage,
    name: Repository,
    digest: Digest,
) -> Result<Response, Refusal> {
    let unknown = Refusal::BlobUnknown(name.clone(), digest);
    let deleted = storage.run(move |backend| backend.delete_blob(&name, digest));
    let digest = [(DOCKER_CONTENT_DIGEST, digest.to_string())];
    if deleted.await? { Ok((StatusCode::ACCEPTED, digest).into_response()) } else { Err(unknown) }
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
            ("bytes=5-2", Some(None)),
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
