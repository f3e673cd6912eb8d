//! The front: one name that sends every pull to the nearest copy. It responds with the location
//! of the content, never with the content.
//!
//! It reads no environment variable and parses no command line; TLS ends before it. Its responses
//! are in `docs/reference/front.md`, its configuration in `docs/reference/configuration.md`. A request passes through
//! `route` → `http_server::ClientIp` → `plan` → `presence` → `redirect` → `response`, see `handler`.

mod base_url;
mod client;
mod clock;
mod config;
mod explain;
mod failure;
mod failure_log;
mod front;
mod handler;
mod hint;
mod lint;
mod metrics;
mod nearest;
mod outbound;
mod plan;
mod presence;
mod ranges;
mod redirect;
mod response;
mod route;
mod server;
mod snapshot;
mod store;
mod store_id;

pub use base_url::{BaseUrl, BaseUrlError};
pub use config::{
    Config, ConfigError, ConfigPositions, ConfigProblem, EnvironmentOverrides, IndexKind,
    PresenceSettings, RangesFrom, RangesSetting, Serves, StoreSetting, Upstream, config_schema,
    effective_yaml,
};
pub use explain::{ExplainedPlan, Explanation};
pub use front::Front;
pub use lint::{ConfigFinding, ConfigSeverity, LoadedRanges, lint};
pub use outbound::Outbound;
pub use ranges::{RangesJson, RangesSource, load_ranges};
pub use server::serve;
