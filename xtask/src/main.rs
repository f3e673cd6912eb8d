//! Repository chores: `cargo xtask <chore>`, and without a chore the list of them.
//!
//! Chores read the repository and say what is wrong; none of them changes a file. What rustc,
//! clippy, rustfmt and cargo-deny check already is not repeated here.

mod cycles;
mod dependencies;
mod docs;
mod error_texts;
mod layers;
mod metadata;
mod modules;
mod offence;
mod paths;
mod source;
mod tables;
mod tidy;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::bail;

const CHORES: &str = "\
Chores:
  cargo xtask tidy    checks the house rules that no compiler checks: imports between crates, cycles of imports,
                      headers and sizes of files, errors that repeat their source, unfinished marks, paths of one
                      machine, pages that nothing links to, reasons of dependencies; lists every offence
";

fn main() -> ExitCode {
    let chore: Vec<String> = env::args().skip(1).collect();
    match run(&chore.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            // There is no other place to report an error if standard error is closed.
            let _ = writeln!(io::stderr(), "xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(chore: &[&str]) -> anyhow::Result<ExitCode> {
    match chore {
        [] => write!(io::stdout(), "{CHORES}")?,
        ["tidy"] => return tidy::run(&mut io::stderr()),
        other => bail!("there is no chore `{}`\n\n{CHORES}", other.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
