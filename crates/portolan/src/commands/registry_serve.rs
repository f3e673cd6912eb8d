//! `portolan registry serve`: the embedded registry.

use anyhow::Context as _;
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust};
use registry::{Limits, Listeners, Registry, RegistrySettings, Storage};

use super::{
    registry_reload::Reload,
    registry_security::{Source, access, both, tls, warn_of_dates, warn_of_rights},
};
use crate::{arguments::RegistryServe, exit::Exit, server, signals};

pub(crate) async fn run(serve: &RegistryServe) -> anyhow::Result<Exit> {
    let security = &serve.security;
    let (access, tls) = both(access(security, Source::Any), tls(security, Source::Any))?;
    warn_of_dates(tls.as_ref());
    warn_of_rights(access.as_ref(), security);
    let is_open = access.is_none();
    let registry = Registry::with(storage(serve)?, settings(serve), access);
    let reload =
        Reload { registry: registry.clone(), tls: tls.clone(), security: security.clone() };
    server::prepare(reload.on_hangup())?;
    let (listener, admin) = server::listen_on_both(serve.listen, serve.admin)?;
    let address = listener.local_addr()?;
    if is_open && !address.ip().is_loopback() && !serve.rules.read_only {
        tracing::warn!(
            at = %address,
            "anyone who can connect can push and delete; use --htpasswd"
        );
    }
    if !is_open && tls.is_none() && !address.ip().is_loopback() && security.trusted_peers.is_empty()
    {
        tracing::warn!(
            at = %address,
            "passwords cross the network in clear; use --tls-cert and --tls-key, or put a proxy that serves TLS in \
             front and name its address with --trusted-peers"
        );
    }
    server::announce_admin(admin.as_ref())?;
    tracing::info!(storage = serve.storage, "opened the storage");
    let trusted_peers = serve.security.trusted_peers.clone();
    let policy = ClientIpPolicy { trusted_peers, ..ClientIpPolicy::default() };
    let client_ip = ClientIp::new(policy, DefaultTrust::None);
    let listeners = Listeners { registry: listener, tls, admin, client_ip };
    registry::serve(registry, listeners, signals::shutdown()?).await?;
    Ok(Exit::AllHolds)
}

const fn settings(serve: &RegistryServe) -> RegistrySettings {
    let RegistryServe { rules, limits, .. } = serve;
    RegistrySettings {
        limits: Limits {
            max_manifest_bytes: limits.max_manifest_size,
            max_blob_bytes: limits.max_blob_size,
            max_uploads: limits.max_uploads,
            upload_life: limits.upload_life,
            max_requests: limits.max_requests,
        },
        read_only: rules.read_only,
        immutable_tags: rules.immutable_tags,
        allow_missing_references: rules.allow_missing_references,
        google_listing: rules.google_listing,
        access_log: serve.access_log,
    }
}

fn storage(serve: &RegistryServe) -> anyhow::Result<Storage> {
    let url = &*serve.storage;
    if url == "memory" {
        tracing::warn!(
            "content is kept in memory and lost at exit; use --storage file:///directory to keep it"
        );
        return Ok(Storage::memory());
    }
    let path = blob_store::directory(url).map_err(|error| {
        let mistake = error.mistake().map(|mistake| format!("{mistake}; ")).unwrap_or_default();
        anyhow::anyhow!("--storage {url}: {mistake}write `memory` or {}", error.instead())
    })?;
    let opened = match serve.rules.read_only {
        true => Storage::read_only_directory(&path),
        false => Storage::directory(&path),
    };
    opened.with_context(|| format!("cannot use {} as the registry's storage", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command, RegistryCommand};

    #[test]
    fn without_flags_a_registry_has_its_own_defaults() {
        let arguments = Arguments::parse_from(["portolan", "registry", "serve"]);
        let Command::Registry(RegistryCommand::Serve(serve)) = arguments.command else {
            panic!("another command");
        };
        assert_eq!(settings(&serve), RegistrySettings::default());
    }
}
