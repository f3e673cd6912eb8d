//! Requests that push a blob: begin, continue, finish or cancel an upload, or mount.
//!
//! Source: distribution-spec 1.1, "Pushing blobs" and "Mounting a blob from another repository".

use std::{future::Future, pin::Pin};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION},
};
use oci::{Digest, Repository};

use crate::{
    DOCKER_CONTENT_DIGEST,
    access::{Requester, Right},
    body::Incoming,
    limits::BATCH_BYTES,
    operation::UploadStart,
    progress::UploadProgress,
    refusal::Refusal,
    storage::{Storage, StorageBackend, StorageError},
    upload_id::UploadId,
    uploads::{SessionGuard, UploadSession, Uploads},
};

fn created(name: &Repository, digest: Digest) -> Response {
    let location = format!("/v2/{name}/blobs/{digest}");
    let headers = [(LOCATION, location), (DOCKER_CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

pub(crate) async fn start(
    storage: &Storage,
    uploads: &Uploads,
    requester: &Requester,
    name: Repository,
    start: UploadStart,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let algorithm = match start {
        UploadStart::Session(algorithm) => algorithm,
        UploadStart::Whole(digest) => {
            let guard = uploads.stage(digest.algorithm(), requester.holder()).await?;
            let (guard, appended) = append_body(guard, body, u64::MAX).await?;
            appended?;
            let (_over, committed) = commit(storage, guard, name.clone(), digest).await?;
            committed?;
            return Ok(created(&name, digest));
        }
        UploadStart::Mount { digest, from } => {
            if mount(storage, requester, &name, digest, from).await? {
                return Ok(created(&name, digest));
            }
            digest.algorithm()
        }
    };
    let id = uploads.begin(name.clone(), algorithm, requester.holder()).await?;
    Ok(UploadProgress::new(&name, id, 0).response(StatusCode::ACCEPTED))
}

/// Whether the blob was mounted: it exists where this requester may pull it.
async fn mount(
    storage: &Storage,
    requester: &Requester,
    name: &Repository,
    digest: Digest,
    from: Option<Repository>,
) -> Result<bool, Refusal> {
    let may_pull = match &from {
        Some(from) => requester.may(Right::Pull, from),
        None => requester.may_pull_everything(),
    };
    if !may_pull {
        return Ok(false);
    }
    let to = name.clone();
    Ok(storage.run(move |backend| backend.mount_blob(from.as_ref(), &to, digest)).await?)
}

pub(crate) async fn status(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
) -> Result<Response, Refusal> {
    let guard = uploads.get(name, id).await?;
    let session = guard.as_ref().ok_or(Refusal::UploadUnknown)?;
    Ok(UploadProgress::new(name, id, session.received()).response(StatusCode::NO_CONTENT))
}

pub(crate) async fn append(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let guard = append_chunk(uploads.get(name, id).await?, name, id, headers, body).await?;
    let session = guard.as_ref().ok_or(Refusal::UploadUnknown)?;
    Ok(UploadProgress::new(name, id, session.received()).response(StatusCode::ACCEPTED))
}

pub(crate) async fn finish(
    storage: &Storage,
    uploads: &Uploads,
    name: Repository,
    (id, digest): (UploadId, Digest),
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let guard = append_chunk(uploads.get(&name, id).await?, &name, id, headers, body).await?;
    let (guard, committed) = commit(storage, guard, name.clone(), digest).await?;
    if guard.is_none() {
        uploads.end(id).await?;
    }
    committed?;
    Ok(created(&name, digest))
}

pub(crate) async fn cancel(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
) -> Result<Response, Refusal> {
    *uploads.get(name, id).await? = None;
    uploads.end(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn commit(
    storage: &Storage,
    mut guard: SessionGuard,
    name: Repository,
    digest: Digest,
) -> Result<Appended, StorageError> {
    let work = move |backend: &dyn StorageBackend| {
        let committed = UploadSession::commit(&mut guard, backend, &name, digest);
        Ok((guard, committed))
    };
    storage.run(work).await
}

/// Appends the body, where `Content-Range` allows it.
async fn append_chunk(
    guard: SessionGuard,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<SessionGuard, Refusal> {
    let received = guard.as_ref().ok_or(Refusal::UploadUnknown)?.received();
    let mut ranges = headers.get_all(CONTENT_RANGE).iter();
    let (start, announced) = match (ranges.next(), ranges.next()) {
        (None, _) => {
            let (guard, appended) = append_body(guard, body, u64::MAX).await?;
            return appended.map(|()| guard);
        }
        (Some(range), None) => range.to_str().ok().and_then(parse_content_range),
        (Some(_), Some(_)) => None,
    }
    .ok_or(Refusal::BadContentRange)?;
    if start != received {
        return Err(Refusal::OutOfOrder(UploadProgress::new(name, id, received)));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(found) = length.filter(|length| *length != announced) {
        return Err(Refusal::LengthMismatch { announced, found });
    }
    let checkpoint = guard.as_ref().ok_or(Refusal::UploadUnknown)?.checkpoint();
    let (mut guard, appended) = append_body(guard, body, announced).await?;
    let found = guard.as_ref().map_or(0, UploadSession::received).saturating_sub(start);
    let refusal = match appended {
        Ok(()) if found == announced => return Ok(guard),
        // The body is complete and shorter than announced.
        Ok(()) => Refusal::LengthMismatch { announced, found },
        Err(longer @ Refusal::LengthMismatch { .. }) => longer,
        Err(other) => return Err(other),
    };
    let back = move || guard.as_mut().map_or(Ok(()), |session| session.roll_back(checkpoint));
    tokio::task::spawn_blocking(back).await.map_err(StorageError::Interrupted)??;
    Err(refusal)
}

/// The session after the previous batch was written, and the result of that write.
type PendingAppend = Pin<Box<dyn Future<Output = Result<Appended, StorageError>> + Send>>;
type Appended = (SessionGuard, Result<(), Refusal>);

/// Appends the body, if it has at most `most` bytes. One batch is hashed and written while the next is received.
/// Content received before an error stays.
async fn append_body(
    guard: SessionGuard,
    body: &mut Incoming,
    most: u64,
) -> Result<Appended, StorageError> {
    if let Some(Err(too_long)) = guard.as_ref().map(|session| session.has_room(body.announced())) {
        return Ok((guard, Err(too_long)));
    }
    let mut pending: PendingAppend = Box::pin(std::future::ready(Ok((guard, Ok(())))));
    let (mut is_open, mut found) = (true, 0);
    let mut gathered: Result<(), Refusal> = Ok(());
    while is_open {
        let mut batch = Vec::new();
        match gather(body, &mut batch).await {
            Ok(more) => is_open = more,
            Err(refusal) => (is_open, gathered) = (false, Err(refusal)),
        }
        found += batch.len() as u64;
        if found > most {
            is_open = false;
            gathered = Err(Refusal::LengthMismatch { announced: most, found });
            batch.clear();
        }
        let (guard, appended) = pending.await?;
        is_open &= appended.is_ok();
        pending = if appended.is_err() || batch.is_empty() {
            Box::pin(std::future::ready(Ok((guard, appended))))
        } else {
            append_batch(guard, batch)
        };
    }
    let (mut guard, appended) = pending.await?;
    guard.iter_mut().for_each(UploadSession::rest);
    Ok((guard, appended.and(gathered)))
}

/// Runs to its end even if the request is dropped.
fn append_batch(mut guard: SessionGuard, batch: Vec<u8>) -> PendingAppend {
    let work = tokio::task::spawn_blocking(move || {
        let session = guard.as_mut().ok_or(Refusal::UploadUnknown);
        let appended = session.and_then(|session| session.append(&batch));
        (guard, appended)
    });
    Box::pin(async { work.await.map_err(StorageError::Interrupted) })
}

/// Reads one batch. Returns whether there may be more.
async fn gather(body: &mut Incoming, batch: &mut Vec<u8>) -> Result<bool, Refusal> {
    while batch.len() < BATCH_BYTES {
        let Some(piece) = body.next().await? else { return Ok(false) };
        batch.extend_from_slice(&piece);
    }
    Ok(true)
}

/// The first byte and the length of `<first>-<last>`.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (text, parsed) in [
            ("0-0", Some((0, 1))),
            ("5-9", Some((5, 5))),
            ("9-5", None),
            ("0-18446744073709551615", None),
            ("bytes 0-1", None),
            ("0-1/2", None),
            ("+0-1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), parsed, "{text}");
        }
    }
}
