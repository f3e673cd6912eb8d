//! What the client does with a registry, whichever it is: with the embedded one in this process; or, where
//! `PORTOLAN_SUITE_REGISTRY` says `HOST:PORT`, with that one, as the user of `PORTOLAN_SUITE_CREDENTIALS`
//! (`user:password`) if that is set. May be run against the same registry again.
//!
//! Where the specification lets registries differ, the test says so in a line `differs: …`, and asserts what
//! holds everywhere. Not here: faults, and how many requests something takes (`tests/client/`).

#![expect(clippy::expect_used, clippy::panic, reason = "a panic here is a failed test")]

mod at_once;
mod blobs;
mod breaks;
mod listings;
mod manifests;
mod referrers;
mod sessions;
mod world;
