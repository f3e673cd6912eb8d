//! What tests are made of: servers in the process, on 127.0.0.1 and a free port, that record what they
//! record requests and fail on command; content to put into them; and a client that does nothing by itself.
//!
//! Everything ends when it is dropped. Whatever goes wrong in here panics: it is the test that failed.
//! How tests are written: `docs/internals/testing.md`.
#![expect(clippy::expect_used, clippy::panic, reason = "a panic in here is a failed test")]

mod bucket;
mod client;
mod cut;
mod fault;
pub mod fixture;
mod host;
mod link;
mod proxy;
mod record;
mod registry;
mod rewrite;
mod server;
mod shape;
mod tls;
mod token_registry;

pub use axum::body::Body;

pub use crate::proxy::{ProxyRequest, TestProxy};
pub use crate::{
    bucket::TestBucket,
    client::{get, send},
    fault::Fault,
    host::TestHost,
    link::TestLink,
    record::RecordedRequest,
    registry::TestRegistry,
    server::TestServer,
    tls::TestTlsServer,
    token_registry::{TokenModel, TokenRegistry, TokenRights},
};
