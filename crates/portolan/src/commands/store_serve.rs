//! `portolan store serve`: a blob store over HTTP.

use std::path::{Path, PathBuf};

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
    anyhow::ensure!(dir.exists(), "{} does not exist", dir.display());
    anyhow::ensure!(dir.is_dir(), "{} is not a directory", dir.display());
    let (store, admin) = server::listen_on_both(serve.listen, serve.admin)?;
    server::announce_admin(admin.as_ref())?;
    tracing::info!(dir = %dir.display(), "opened the blob store");
    let images = dir.join(blob_store::PREFIX);
    if !images.is_dir() {
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

/// A path, or a URL as `mirror --to` takes it.
fn directory(given: &Path) -> anyhow::Result<PathBuf> {
    match given.to_str() {
        Some(url) if url.contains("://") => {
            blob_store::directory(url).with_context(|| url.to_owned())
        }
        _ => Ok(given.to_owned()),
    }
}
