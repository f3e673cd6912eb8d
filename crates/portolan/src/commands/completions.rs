//! `portolan completions SHELL`.

use std::io;

use clap::CommandFactory as _;

use crate::{
    arguments::{Arguments, Completions},
    exit::Exit,
};

#[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
pub(crate) fn run(completions: &Completions) -> anyhow::Result<Exit> {
    clap_complete::generate(
        completions.shell,
        &mut Arguments::command(),
        "portolan",
        &mut io::stdout(),
    );
    Ok(Exit::AllHolds)
}
