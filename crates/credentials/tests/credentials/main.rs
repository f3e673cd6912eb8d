//! "Where credentials come from" of `docs/reference/credentials.md`, through the public edge: files in a temporary
//! directory, helpers that are shell scripts, and servers that respond as Google's do.

#![expect(clippy::expect_used, reason = "a panic here is a failed test")]

mod files;
mod google;
mod helpers;
mod services;
mod support;
