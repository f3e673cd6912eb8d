//! A server from outside: connections that send nothing, too much or too slowly, over real sockets. What holds
//! is in `docs/internals/http-server.md`.

#![expect(clippy::expect_used, reason = "a panic fails a test")]

mod accept;
mod admin;
mod connection_limit;
mod harness;
mod http2;
mod limits;
mod requests;
mod stalled;
mod tls;
