//! `portolan registry serve`: the embedded registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust, Tls};
use registry::{Access, Limits, Listeners, NamedText, Registry, Settings, Storage};

use crate::{
    arguments::{RegistryEntrance, RegistryServe},
    exit::Exit,
    server, signals,
};

pub(crate) async fn run(serve: &RegistryServe) -> anyhow::Result<Exit> {
    let (access, tls) = both(access(&serve.entrance), tls(&serve.entrance))?;
    let is_open = access.is_none();
    let registry = Registry::with(storage(serve)?, settings(serve), access);
    let (reloaded, entrance) = ((registry.clone(), tls.clone()), serve.entrance.clone());
    server::start(move || reload_and_log(&reloaded.0, reloaded.1.as_ref(), &entrance))?;
    let admin = serve.admin.map(server::listen).transpose()?;
    let listener = server::listen(serve.listen)?;
    let address = listener.local_addr()?;
    if is_open && !address.ip().is_loopback() && !serve.rules.read_only {
        tracing::warn!(
            at = %address,
            "anyone who can connect can push and delete; use --htpasswd"
        );
    }
    if let Some(admin) = &admin {
        tracing::info!(at = %admin.local_addr()?, "serving metrics and health");
    }
    tracing::info!(storage = serve.storage, "opened the storage");
    let trusted_peers = serve.entrance.trusted_peers.clone();
    let policy = ClientIpPolicy { trusted_peers, ..ClientIpPolicy::default() };
    let client_ip = ClientIp::new(policy, DefaultTrust::Nobody);
    let listeners = Listeners { registry: listener, tls, admin, client_ip };
    registry::serve(registry, listeners, signals::shutdown()?).await?;
    Ok(Exit::AllHolds)
}

fn reload_and_log(registry: &Registry, tls: Option<&Tls>, entrance: &RegistryEntrance) {
    if entrance.htpasswd.is_none() && tls.is_none() {
        server::ignore_hangup();
        return;
    }
    match reload(registry, tls, entrance) {
        Ok(()) => tracing::info!("SIGHUP: users, rights and certificate were read again"),
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "SIGHUP: reload failed, and nothing was replaced; correct the files and send it again"
        ),
    }
}

/// Reads the files that flags named again, and replaces all or nothing.
fn reload(
    registry: &Registry,
    tls: Option<&Tls>,
    entrance: &RegistryEntrance,
) -> anyhow::Result<()> {
    let (access, newer) = both(access(entrance), self::tls(entrance))?;
    access.into_iter().for_each(|access| registry.replace_access(access));
    if let (Some(tls), Some(newer)) = (tls, newer) {
        tls.replace_with(&newer);
    }
    Ok(())
}

const fn settings(serve: &RegistryServe) -> Settings {
    let RegistryServe { rules, limits, .. } = serve;
    Settings {
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
    let path = match url.strip_prefix("file://") {
        _ if url == "memory" => {
            tracing::warn!(
                "content is kept in memory and lost at exit; use --storage file:///directory to keep it"
            );
            return Ok(Storage::memory());
        }
        Some(path) if path.starts_with('/') => Path::new(path),
        _ => anyhow::bail!(
            "storage `{url}` is not known: use `memory` or file:///absolute/directory"
        ),
    };
    let opened = match serve.rules.read_only {
        true => Storage::read_only_directory(path),
        false => Storage::directory(path),
    };
    opened.with_context(|| format!("cannot use {} as the registry's storage", path.display()))
}

fn access(entrance: &RegistryEntrance) -> anyhow::Result<Option<Access>> {
    let Some(htpasswd) = &entrance.htpasswd else { return Ok(None) };
    let rights = entrance.rights.as_ref();
    let rights = rights.map(|path| Ok((path.display().to_string(), read_text(path)?)));
    let (users_text, rights) = both(read_text(htpasswd), rights.transpose())?;
    let users = htpasswd.display().to_string();
    let rights = rights.as_ref().map(|(name, text)| NamedText { name, text });
    let users = NamedText { name: &users, text: &users_text };
    Ok(Some(Access::new(users, rights)?))
}

fn tls(entrance: &RegistryEntrance) -> anyhow::Result<Option<Tls>> {
    let (Some(chain), Some(key)) = (&entrance.tls_cert, &entrance.tls_key) else { return Ok(None) };
    let (chain_text, key_text) = both(read(chain), read(key))?;
    let tls = Tls::from_pem(&chain_text, &key_text);
    let named = || format!("--tls-cert {} --tls-key {}", chain.display(), key.display());
    Ok(Some(tls.with_context(named)?))
}

/// Both, or what is wrong with either.
fn both<A, B>(a: anyhow::Result<A>, b: anyhow::Result<B>) -> anyhow::Result<(A, B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => anyhow::bail!("{a:#}\n{b:#}"),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_text(path: &PathBuf) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command, Registry};

    #[test]
    fn without_flags_a_registry_has_its_own_defaults() {
        let arguments = Arguments::parse_from(["portolan", "registry", "serve"]);
        let Command::Registry(Registry::Serve(serve)) = arguments.command else {
            panic!("another command");
        };
        assert_eq!(settings(&serve), Settings::default());
    }
}
