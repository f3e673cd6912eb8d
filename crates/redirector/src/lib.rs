//! The front: one name whose every pull goes to the nearest healthy copy. It answers with where the
//! content is, never with the content.
//!
//! It reads no environment variable and parses no command line; TLS ends before it. What it answers
//! is in `docs/front.md`, its configuration in `docs/configuration.md`. A request passes through
//! `route` → `http_server::ClientIp` → `choose` → `presence` → `redirect` → `response`, as `handler` says.

mod access_log;
mod admin;
mod base_url;
mod choose;
mod clock;
mod config;
mod explain;
mod failure;
mod front;
mod handler;
mod hint;
mod lint;
mod metrics;
mod outage;
mod outbound;
mod presence;
mod ranges;
mod redirect;
mod response;
mod route;
mod server;

pub use base_url::{BaseUrl, BaseUrlError};
pub use config::{
    Config, ConfigError, ConfigPositions, ConfigProblem, EnvironmentOverrides, Index,
    PresenceSettings, RangesFrom, RangesSetting, Serves, Store, Upstream,
};
pub use explain::Explanation;
pub use front::Front;
pub use lint::{ConfigFinding, Loaded, Severity, lint};
pub use ranges::{RangesSource, load_ranges};
pub use server::serve;
