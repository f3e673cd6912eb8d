//! `portolan store serve`: a blob store over HTTP.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    arguments::StoreServe,
    exit::Exit,
    server, signals,
    store_server::{self, AccessLog, StoreListeners},
};

pub(crate) async fn run(serve: &StoreServe) -> anyhow::Result<Exit> {
    server::prepare(server::ignore_hangup)?;
    let dir = directory(&serve.dir)?;
    let metadata = readable(&dir)?.with_context(|| format!("{} does not exist", dir.display()))?;
    anyhow::ensure!(metadata.is_dir(), "{} is not a directory", dir.display());
    let images = dir.join(blob_store::PREFIX);
    // The dot is looked up in the directory, for which the right to enter it is needed.
    let has_images = readable(&images.join("."))?.is_some();
    let (store, admin) = server::listen_on_both(serve.listen, serve.admin)?;
    server::announce_admin(admin.as_ref())?;
    tracing::info!(dir = %dir.display(), "opened the blob store");
    if !has_images {
        tracing::warn!(
            expected = %images.display(),
            "this directory has no blobs, so every response is a 404; check that it is the directory that \
             `portolan mirror --to` writes to"
        );
    }
    let log = if serve.access_log { AccessLog::On } else { AccessLog::Off };
    let listeners = StoreListeners { store, admin };
    store_server::serve(&dir, listeners, log, signals::shutdown()?).await;
    Ok(Exit::AllHolds)
}

/// What is at a path, if anything is.
///
/// # Errors
/// When this user has no right to look: every request would fail.
fn readable(path: &Path) -> anyhow::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let shown = path.components().collect::<PathBuf>();
            Err(error).with_context(|| {
                format!(
                    "cannot read {} as this user, so no blob could be served; make it readable, or serve as its owner",
                    shown.display()
                )
            })
        }
        found => Ok(found.ok()),
    }
}

/// A path, or a URL as `mirror --to` takes it.
fn directory(given: &Path) -> anyhow::Result<PathBuf> {
    match given.to_str() {
        Some(url) if url.contains("://") => {
            blob_store::directory(url).with_context(|| url.to_owned())
        }
        _ => Ok(given.to_owned()),
    }
}
