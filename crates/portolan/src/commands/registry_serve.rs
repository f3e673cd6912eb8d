//! `portolan registry serve`: the embedded registry.

use std::path::Path;

use anyhow::Context as _;
use registry::{Registry, Storage};
use tokio::net::TcpListener;

use crate::{arguments::RegistryServe, exit::Exit, signals};

pub(crate) async fn run(serve: &RegistryServe) -> anyhow::Result<Exit> {
    let storage = storage(&serve.storage)?;
    let listener = TcpListener::bind(serve.listen)
        .await
        .with_context(|| format!("cannot listen on {}", serve.listen))?;
    tracing::info!(address = %listener.local_addr()?, storage = serve.storage, "serving the registry");
    registry::serve(Registry::new(storage), listener, signals::termination()?).await?;
    Ok(Exit::AllHolds)
}

fn storage(url: &str) -> anyhow::Result<Storage> {
    match url.strip_prefix("file://") {
        _ if url == "memory" => Ok(Storage::memory()),
        Some(path) if path.starts_with('/') => Storage::directory(Path::new(path))
            .with_context(|| format!("cannot use {path} as the registry's storage")),
        _ => anyhow::bail!(
            "storage `{url}` is not known: use `memory` or file:///absolute/directory"
        ),
    }
}
