//! Every environment variable that the program reads, in one place. Configuration is handed on as
//! values; nothing deeper looks at the environment.

use std::path::PathBuf;

use http_client::ProxyVariables;
use redirector::EnvironmentOverrides;

use crate::credentials::CredentialPlaces;

/// The filter of the log, in the syntax of `tracing`: `info`, `warn,promoter=debug`. The flag `--log` wins.
const LOG: &str = "PORTOLAN_LOG";

/// The admin address of `portolan serve` without `--config`.
const ADMIN: &str = "PORTOLAN_ADMIN";

/// The width of the terminal, as shells and `ls` take it.
const COLUMNS: &str = "COLUMNS";

/// The port of `portolan serve` without `--config`, as for archeio.
const PORT: &str = "PORT";
/// The upstream's scheme and host, as for archeio.
const UPSTREAM_ENDPOINT: &str = "UPSTREAM_REGISTRY_ENDPOINT";
/// The path before repository names at the upstream, as for archeio.
const UPSTREAM_PATH: &str = "UPSTREAM_REGISTRY_PATH";
/// The endpoint of the canonical upstream, as for archeio.
const SIGNATURE_ENDPOINT: &str = "SIGNATURE_UPSTREAM_ENDPOINT";
/// The store of clients that no other store serves, as for archeio.
const DEFAULT_BASE_URL: &str = "DEFAULT_AWS_BASE_URL";

/// The configuration of docker or podman with the credentials, as for skopeo and podman.
const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// The directory of docker's configuration, as for docker.
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The directory below which docker's and gcloud's configuration are, where nothing else is said.
const HOME: &str = "HOME";
/// The directory below which podman keeps its logins, as for podman.
const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Google's credentials, as for Google's libraries.
const GOOGLE_APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The directory of gcloud's configuration, as for gcloud.
const CLOUDSDK_CONFIG: &str = "CLOUDSDK_CONFIG";
/// The host of Google's metadata server, as for Google's libraries.
const GCE_METADATA_HOST: &str = "GCE_METADATA_HOST";

/// A file of root certificates in place of the system's, as for OpenSSL.
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Directories of such files, as for OpenSSL.
const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// Where Linux shows the name of the machine's product (DMI).
const PRODUCT_NAME: &str = "/sys/class/dmi/id/product_name";

/// Proxies, as for curl and Go: in upper or in lower case.
const HTTP_PROXY: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTPS_PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const ALL_PROXY: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Is set in a CGI program, where `HTTP_PROXY` may be the client's `Proxy` header.
const REQUEST_METHOD: &str = "REQUEST_METHOD";

/// The variables that name proxies.
pub(crate) fn proxies() -> ProxyVariables {
    let first = |names: [&str; 2]| {
        names.into_iter().filter_map(read).map(|it| it.trim().to_owned()).find(|it| !it.is_empty())
    };
    let is_cgi = read(REQUEST_METHOD).is_some_and(|value| !value.is_empty());
    let http = if is_cgi { [HTTP_PROXY[1]; 2] } else { HTTP_PROXY };
    ProxyVariables {
        http: first(http),
        https: first(HTTPS_PROXY),
        all: first(ALL_PROXY),
        no: first(NO_PROXY),
    }
}

/// The variables that override the built-in configuration.
pub(crate) fn overrides() -> EnvironmentOverrides {
    EnvironmentOverrides {
        admin: read(ADMIN),
        port: read(PORT),
        upstream_endpoint: read(UPSTREAM_ENDPOINT),
        upstream_path: read(UPSTREAM_PATH),
        signature_endpoint: read(SIGNATURE_ENDPOINT),
        default_base_url: read(DEFAULT_BASE_URL),
    }
}

/// The variables that say where credentials are.
pub(crate) fn credential_places() -> CredentialPlaces {
    CredentialPlaces {
        registry_auth_file: path(REGISTRY_AUTH_FILE),
        docker_config: path(DOCKER_CONFIG),
        home: path(HOME),
        runtime_directory: path(XDG_RUNTIME_DIR),
        google_file: path(GOOGLE_APPLICATION_CREDENTIALS),
        gcloud_config: path(CLOUDSDK_CONFIG),
        metadata_host: read(GCE_METADATA_HOST).filter(|value| !value.is_empty()),
        is_on_google: is_on_google(),
        impersonated: None,
    }
}

/// The file of root certificates that a variable names.
pub(crate) fn certificate_file() -> Option<PathBuf> {
    path(SSL_CERT_FILE)
}

/// The files of root certificates that variables name, those in directories too.
pub(crate) fn certificate_files() -> Vec<PathBuf> {
    let directories = std::env::var_os(SSL_CERT_DIR).unwrap_or_default();
    let directories = std::env::split_paths(&directories).filter_map(|it| it.read_dir().ok());
    let entries = directories.flatten().filter_map(Result::ok).map(|entry| entry.path());
    certificate_file().into_iter().chain(entries).collect()
}

/// Whether this machine is one of Google's, as Google's own libraries find out. A pod has this file too.
fn is_on_google() -> bool {
    let product = std::fs::read_to_string(PRODUCT_NAME).unwrap_or_default();
    matches!(product.trim(), "Google" | "Google Compute Engine")
}

/// The width that lines are to have on a terminal, if it is said.
pub(crate) fn columns() -> Option<usize> {
    read(COLUMNS)?.trim().parse().ok()
}

/// The log filter, if there is one.
pub(crate) fn log() -> Option<String> {
    read(LOG).filter(|value| !value.is_empty())
}

/// The variable's value, which may be empty; none when it is unset. What is not UTF-8 is shown as it can
/// be, so that the reader of the value rejects it by name.
fn read(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The path that the variable holds; none when it is unset or empty.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
