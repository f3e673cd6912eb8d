//! The rows of `docs/internals/registry-client.md`, through the public edge: against the embedded registry, servers
//! that response by script, and sockets that commit what no HTTP library would.

#![expect(clippy::expect_used, clippy::panic, reason = "a panic here is a failed test")]

mod auth;
mod commits;
mod faults;
mod inventory;
mod listings;
mod presence;
mod proxies;
mod reading;
mod redirects;
mod referrers;
mod refusals;
mod safety;
mod substitutes;
mod support;
mod tag_writes;
mod throttling;
mod tls;
mod uploads;
mod wire;
