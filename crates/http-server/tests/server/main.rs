//! A server from outside: connections that say nothing, too much or too many things, over real sockets.
//! The order is that of `docs/http-server.md`.

#![expect(clippy::expect_used, reason = "a panic fails a test")]

mod accept;
mod harness;
mod limits;
mod requests;
mod room;
mod tls;
