//! Every environment variable that the program reads, in one place. Configuration is handed on as
//! values; nothing deeper looks at the environment.

use redirector::EnvironmentOverrides;

/// The filter of the log, in the syntax of `tracing`: `info`, `warn,promoter=debug`. The flag `--log` wins.
const LOG: &str = "PORTOLAN_LOG";

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

/// The variables that override the built-in configuration.
pub(crate) fn overrides() -> EnvironmentOverrides {
    EnvironmentOverrides {
        port: read(PORT),
        upstream_endpoint: read(UPSTREAM_ENDPOINT),
        upstream_path: read(UPSTREAM_PATH),
        signature_endpoint: read(SIGNATURE_ENDPOINT),
        default_base_url: read(DEFAULT_BASE_URL),
    }
}

/// The log filter, if there is one.
pub(crate) fn log() -> Option<String> {
    read(LOG).filter(|value| !value.is_empty())
}

/// The variable's value, which may be empty; none when it is unset. What is not UTF-8 is shown as it can
/// be, so that whoever reads the value refuses it by name.
fn read(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
