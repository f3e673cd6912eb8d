//! The front from outside: HTTP to a served front, with buckets and upstreams in the process. Each
//! file follows a section of `docs/reference/front.md` or `docs/reference/configuration.md`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic fails a test")]

mod admin;
mod client_address;
mod configuration;
mod decision_table;
mod explain;
mod harness;
mod lifecycle;
mod presence;
mod ranges;
mod raw_requests;
mod reload;
mod schema;
