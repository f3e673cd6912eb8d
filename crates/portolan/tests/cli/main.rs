//! The program as its users meet it: arguments, exit code, standard output and standard error.
#![expect(clippy::expect_used, clippy::panic, reason = "what fails here is a test")]

mod demo;
mod docs;
mod front;
mod golden;
mod harness;
mod help;
mod inputs;
mod kill;
mod logins;
mod mirror;
mod mirror_stores;
mod mistakes;
mod outputs;
mod plan;
mod promote;
mod promote_flags;
mod pty;
mod reference;
mod registry;
mod serve_check;
mod servers;
mod terminal;
mod tls;
mod words;
