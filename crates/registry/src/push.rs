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
    access::{Right, Visitor},
    body::Incoming,
    limits::BATCH_BYTES,
    progress::Progress,
    refusal::Refusal,
    route::Start,
    storage::{Backend, Storage, StorageError},
    upload_id::UploadId,
    uploads::{Held, Session, Uploads},
};

fn created(name: &Repository, digest: Digest) -> Response {
    let location = format!("/v2/{name}/blobs/{digest}");
    let headers = [(LOCATION, location), (DOCKER_CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

pub(crate) async fn start(
    storage: &Storage,
    uploads: &Uploads,
    visitor: &Visitor,
    name: Repository,
    start: Start,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let algorithm = match start {
        Start::Session(algorithm) => algorithm,
        Start::Whole(digest) => {
            let held = uploads.stage(digest.algorithm(), visitor.holder()).await?;
            let (held, taken) = take_all(held, body, u64::MAX).await?;
            taken?;
            let (_over, kept) = keep(storage, held, name.clone(), digest).await?;
            kept?;
            return Ok(created(&name, digest));
        }
        Start::Mount { digest, from } => {
            if mount(storage, visitor, &name, digest, from).await? {
                return Ok(created(&name, digest));
            }
            digest.algorithm()
        }
    };
    let id = uploads.begin(name.clone(), algorithm, visitor.holder()).await?;
    Ok(Progress::new(&name, id, 0).answer(StatusCode::ACCEPTED))
}

/// Whether the blob was mounted: it exists where this requester may pull it.
async fn mount(
    storage: &Storage,
    visitor: &Visitor,
    name: &Repository,
    digest: Digest,
    from: Option<Repository>,
) -> Result<bool, Refusal> {
    let may_pull = match &from {
        Some(from) => visitor.may(Right::Pull, from),
        None => visitor.may_pull_everything(),
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
    let held = uploads.get(name, id).await?;
    let session = held.as_ref().ok_or(Refusal::UploadUnknown)?;
    Ok(Progress::new(name, id, session.received()).answer(StatusCode::NO_CONTENT))
}

pub(crate) async fn append(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let held = take_chunk(uploads.get(name, id).await?, name, id, headers, body).await?;
    let session = held.as_ref().ok_or(Refusal::UploadUnknown)?;
    Ok(Progress::new(name, id, session.received()).answer(StatusCode::ACCEPTED))
}

pub(crate) async fn finish(
    storage: &Storage,
    uploads: &Uploads,
    name: Repository,
    (id, digest): (UploadId, Digest),
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let held = take_chunk(uploads.get(&name, id).await?, &name, id, headers, body).await?;
    let (held, kept) = keep(storage, held, name.clone(), digest).await?;
    if held.is_none() {
        uploads.end(id).await?;
    }
    kept?;
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

async fn keep(
    storage: &Storage,
    mut held: Held,
    name: Repository,
    digest: Digest,
) -> Result<Taken, StorageError> {
    let work = move |backend: &dyn Backend| {
        let kept = Session::keep(&mut held, backend, &name, digest);
        Ok((held, kept))
    };
    storage.run(work).await
}

/// Appends the body, where `Content-Range` allows it.
async fn take_chunk(
    held: Held,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Held, Refusal> {
    let received = held.as_ref().ok_or(Refusal::UploadUnknown)?.received();
    let mut ranges = headers.get_all(CONTENT_RANGE).iter();
    let (start, announced) = match (ranges.next(), ranges.next()) {
        (None, _) => {
            let (held, taken) = take_all(held, body, u64::MAX).await?;
            return taken.map(|()| held);
        }
        (Some(range), None) => range.to_str().ok().and_then(parse_content_range),
        (Some(_), Some(_)) => None,
    }
    .ok_or(Refusal::BadContentRange)?;
    if start != received {
        return Err(Refusal::OutOfOrder(Progress::new(name, id, received)));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(found) = length.filter(|length| *length != announced) {
        return Err(Refusal::LengthMismatch { announced, found });
    }
    let mark = held.as_ref().ok_or(Refusal::UploadUnknown)?.mark();
    let (mut held, taken) = take_all(held, body, announced).await?;
    let found = held.as_ref().map_or(0, Session::received).saturating_sub(start);
    let refusal = match taken {
        Ok(()) if found == announced => return Ok(held),
        // The body is complete and shorter than announced.
        Ok(()) => Refusal::LengthMismatch { announced, found },
        Err(longer @ Refusal::LengthMismatch { .. }) => longer,
        Err(other) => return Err(other),
    };
    let back = move || held.as_mut().map_or(Ok(()), |session| session.go_back(mark));
    tokio::task::spawn_blocking(back).await.map_err(StorageError::Interrupted)??;
    Err(refusal)
}

/// The session after the previous batch was written, and the result of that write.
type Taking = Pin<Box<dyn Future<Output = Result<Taken, StorageError>> + Send>>;
type Taken = (Held, Result<(), Refusal>);

/// Appends the body, if it has at most `most` bytes. One batch is hashed and written while the next is received.
/// Content received before an error stays.
async fn take_all(held: Held, body: &mut Incoming, most: u64) -> Result<Taken, StorageError> {
    if let Some(Err(too_long)) = held.as_ref().map(|session| session.has_room(body.announced())) {
        return Ok((held, Err(too_long)));
    }
    let mut taking: Taking = Box::pin(std::future::ready(Ok((held, Ok(())))));
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
        let (held, taken) = taking.await?;
        is_open &= taken.is_ok();
        taking = if taken.is_err() || batch.is_empty() {
            Box::pin(std::future::ready(Ok((held, taken))))
        } else {
            take(held, batch)
        };
    }
    let (mut held, taken) = taking.await?;
    held.iter_mut().for_each(Session::rest);
    Ok((held, taken.and(gathered)))
}

/// Runs to its end even if the request is dropped.
fn take(mut held: Held, batch: Vec<u8>) -> Taking {
    let work = tokio::task::spawn_blocking(move || {
        let session = held.as_mut().ok_or(Refusal::UploadUnknown);
        let taken = session.and_then(|session| session.take(&batch));
        (held, taken)
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
