//! `portolan store serve`: a blob store over HTTP.

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::{arguments::StoreServe, exit::Exit, signals};

pub(crate) async fn run(serve: &StoreServe) -> anyhow::Result<Exit> {
    anyhow::ensure!(serve.dir.is_dir(), "{} is not a directory", serve.dir.display());
    let listener = TcpListener::bind(serve.listen)
        .await
        .with_context(|| format!("cannot listen on {}", serve.listen))?;
    tracing::info!(address = %listener.local_addr()?, dir = %serve.dir.display(), "serving the blob store");
    blob_store::serve::serve(&serve.dir, listener, signals::termination()?).await?;
    Ok(Exit::AllHolds)
}
