//! The `portolan` binary: arguments in, one command run, exit code out. What a command does is in
//! `commands/`, one file a verb; what the verbs are made of, in the other crates.

mod arguments;
mod commands;
mod credentials;
mod demo;
mod environment;
mod exit;
mod input_file;
mod logging;
mod printer;
mod quantity;
mod server;
mod signals;
mod store_server;

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use arguments::{Arguments, with_tip};
use exit::Exit;
use printer::Screen;
use wording::Chain;

/// The system's allocator costs the front a few percent of each request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| with_tip(error).exit());
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::AllHolds.into(),
        Err(error) => {
            let _ = printer::error(Chain(error.as_ref()));
            Exit::CouldNotRun.into()
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let filter = arguments.global.log.clone().or_else(environment::log);
    let screen = Screen::new();
    let filter = filter.as_deref().unwrap_or_else(|| arguments.command.default_log());
    logging::start(filter, screen.clone())?;
    let runtime = runtime().context("cannot start the runtime")?;
    let ended = runtime.block_on(commands::run(arguments, screen));
    // A lookup of a name cannot be cancelled; it must not hold the exit up.
    runtime.shutdown_background();
    ended
}

/// On one core, a scheduler that shares work among threads costs a request three percent for nothing.
fn runtime() -> io::Result<Runtime> {
    let mut builder = match std::thread::available_parallelism() {
        Ok(cores) if cores.get() > 1 => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

/// A reader that has seen enough, such as `head`, is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_one = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_one))
}
