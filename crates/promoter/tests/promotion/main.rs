//! Promotion through its public edge, against real in-process registries. One binary, since linking
//! takes longer than running.
#![expect(clippy::expect_used, reason = "an expectation that fails is a test that fails")]

mod attachment_races;
mod attachments;
mod backfill;
mod codes;
mod costs;
mod dangling;
mod digest_tag_edges;
mod faults;
mod first;
mod harness;
mod hollow;
mod kinds;
mod presence;
mod races;
mod report;
mod rows;
mod slow;
