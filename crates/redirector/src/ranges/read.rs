//! Reading one list of address ranges from where it is, within bounds of time and size, and keeping
//! a copy of what was fetched and found good.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cloud_ranges::{ParseError, Prefix};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{ListAge, ListSource};
use crate::{
    failure::OutboundError,
    outbound::{NO_AUTHORITIES, Outbound, USER_AGENT},
};

/// A provider that does not respond must not block the start.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// Several times the longest list published today (AWS: 2.5 MB).
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a list could not be read from a source, or its copy not be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{}", wording::level(.0))]
    File(#[from] io::Error),
    #[error("it has more than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLong,
    #[error("{}", NO_AUTHORITIES)]
    NoAuthorities,
    #[error(transparent)]
    Fetch(#[from] OutboundError),
    #[error("the response ended early: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("cannot save a copy as {}: {}", path.display(), wording::level(.cause))]
    Keep { path: PathBuf, cause: io::Error },
}

/// A list that was read.
pub(super) struct ReadList {
    pub(super) prefixes: Vec<Prefix>,
    pub(super) age: ListAge,
    /// Why no copy of it could be kept.
    pub(super) not_kept: Option<ReadError>,
}

/// Reads lists.
pub(super) struct ListReader {
    client: Outbound,
}

impl ListReader {
    pub(super) fn new(client: Outbound) -> Self {
        Self { client }
    }

    /// The list at `source`.
    pub(super) async fn read(
        &self,
        source: &ListSource,
        parse: impl Fn(&[u8]) -> Result<Vec<Prefix>, ParseError>,
    ) -> Result<ReadList, ReadError> {
        match source {
            ListSource::File(path) | ListSource::LastGood(path) => {
                let (bytes, age) = file(path).await?;
                Ok(ReadList { prefixes: parse(&bytes)?, age, not_kept: None })
            }
            ListSource::Embedded(bytes) => {
                Ok(ReadList { prefixes: parse(bytes)?, age: ListAge::Build, not_kept: None })
            }
            ListSource::Url { url, keep: copy } => {
                let fetched = timeout(FETCH_TIME, self.fetch(url)).await;
                let bytes = fetched.map_err(|_elapsed| OutboundError::Timeout(FETCH_TIME))??;
                let prefixes = parse(&bytes)?;
                let kept = match copy {
                    Some(path) => keep(path, &bytes).await,
                    None => Ok(()),
                };
                Ok(ReadList { prefixes, age: ListAge::Fetched, not_kept: kept.err() })
            }
        }
    }

    async fn fetch(&self, url: &url::Url) -> Result<Bytes, ReadError> {
        if url.scheme() == "https" && !self.client.has_authorities() {
            return Err(ReadError::NoAuthorities);
        }
        let request = Request::get(url.as_str()).header(header::USER_AGENT, USER_AGENT);
        let request = request.body(Empty::new()).map_err(OutboundError::Request)?;
        let response = self.client.request(request).await.map_err(OutboundError::from)?;
        if response.status() != StatusCode::OK {
            return Err(OutboundError::Status(response.status()).into());
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() { ReadError::TooLong } else { ReadError::Body(error) }
        })?;
        Ok(body.to_bytes())
    }
}

async fn file(path: &Path) -> Result<(Vec<u8>, ListAge), ReadError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).await?;
    let modified = file.metadata().await?.modified()?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > MAX_BYTES {
        return Err(ReadError::TooLong);
    }
    // A file from the future, by a clock that is wrong, counts as new.
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    Ok((bytes, ListAge::File(age)))
}

/// Writes aside and renames, so that a copy is whole or not there.
async fn keep(path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
    let failed = |cause| ReadError::Keep { path: path.to_owned(), cause };
    // Two fronts may share the directory.
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let written = write(path, &aside, bytes).await;
    if written.is_err() {
        // Already failing: what is left behind is the lesser evil.
        let _ = fs::remove_file(&aside).await;
    }
    written.map_err(failed)
}

async fn write(path: &Path, aside: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).await?;
    }
    let mut file = fs::File::create(aside).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    fs::rename(aside, path).await
}
