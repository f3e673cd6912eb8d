//! The tables of `docs/internals/transfer.md`, against real servers in this process. One binary, since linking
//! each file alone would take longer than the tests.
#![expect(clippy::expect_used, reason = "helpers of tests")]

mod fan_out;
mod hollow;
mod image;
mod many;
mod reading;
mod requests;
mod world;
