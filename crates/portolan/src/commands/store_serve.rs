//! `portolan store serve`: a blob store over HTTP.

use crate::{arguments::StoreServe, exit::Exit, server, signals, store_server};

pub(crate) async fn run(serve: &StoreServe) -> anyhow::Result<Exit> {
    server::start(server::ignore_hangup)?;
    anyhow::ensure!(serve.dir.is_dir(), "{} is not a directory", serve.dir.display());
    let listener = server::listen(serve.listen)?;
    tracing::info!(dir = %serve.dir.display(), "opened the blob store");
    store_server::serve(&serve.dir, listener, signals::shutdown()?).await;
    Ok(Exit::AllHolds)
}
