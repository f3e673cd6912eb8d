//! What every server of the program does at its start: raise the limit of open files, handle SIGHUP, listen.

use std::{io::ErrorKind, net::SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::signals;

/// Prepares the process to be a server; call it first. `on_hangup` is called at each SIGHUP, which never ends a server.
///
/// # Errors
/// When the system does not let us listen to signals.
pub(crate) fn prepare(on_hangup: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    signals::on_hangup(on_hangup).context("cannot listen to SIGHUP")?;
    if let Err(error) = http_server::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    Ok(())
}

/// What a server without files to read again does at SIGHUP.
pub(crate) fn ignore_hangup() {
    tracing::info!("SIGHUP ignored: there is nothing to reload");
}

/// # Errors
/// When the address is taken, not ours, or not permitted.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    http_server::listen(address).map_err(|error| {
        let cause = match error.kind() {
            ErrorKind::AddrInUse => {
                "the address is in use; stop the program that uses it, or choose another port"
            }
            ErrorKind::AddrNotAvailable => {
                "this machine does not have the address; choose one of its own, or `[::]` for all"
            }
            ErrorKind::PermissionDenied => {
                "permission denied; choose a port above 1023, or grant CAP_NET_BIND_SERVICE"
            }
            _ => return anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        };
        anyhow::anyhow!("cannot listen on {address}: {cause}")
    })
}

/// Listens on the addresses of `--listen` and `--admin`.
///
/// # Errors
/// When they exclude each other, or one cannot be listened on.
pub(crate) fn listen_on_both(
    listen_address: SocketAddr,
    admin: Option<SocketAddr>,
) -> anyhow::Result<(TcpListener, Option<TcpListener>)> {
    if let Some(admin) = admin.filter(|admin| http_server::overlap(listen_address, *admin)) {
        anyhow::bail!(
            "--listen {listen_address} and --admin {admin} take the same port; give one of them another port"
        );
    }
    let admin = admin.map(listen).transpose()?;
    Ok((listen(listen_address)?, admin))
}

/// Logs the address of metrics and health, if they are served.
///
/// # Errors
/// When the system does not name the address.
pub(crate) fn announce_admin(admin: Option<&TcpListener>) -> anyhow::Result<()> {
    if let Some(admin) = admin {
        tracing::info!(at = %admin.local_addr()?, "serving metrics and health");
    }
    Ok(())
}
