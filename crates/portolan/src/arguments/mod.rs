//! The command line as plain data: what was typed, and the help text. No I/O and nothing derived
//! happens here. One file a command; what several commands share has files of its own.

mod examples;
mod front;
mod mirror;
mod promote;
mod public_url;
mod registry_access;
mod servers;
mod tips;
mod tls;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use front::{Explain, FrontFlags, Serve};
pub(crate) use mirror::Mirror;
pub(crate) use promote::{Attachments, ManifestFlags, Promote, SelectionFlags, Verify};
pub(crate) use public_url::PublicUrl;
pub(crate) use registry_access::RegistryAccess;
pub(crate) use servers::{
    RegistryCommand, RegistrySecurity, RegistryServe, StoreCommand, StoreServe,
};
pub(crate) use tips::with_tip;
pub(crate) use tls::TlsFiles;

/// Promotes, mirrors and serves the images of a public, multi-cloud registry.
///
/// Portolan promotes images from staging to production registries by reviewed manifests, mirrors their blobs
/// into object storage near the users, and serves one name that sends every pull to the nearest copy. It works
/// with the registries that you have. `portolan demo` shows all of it.
#[derive(Debug, Parser)]
#[command(name = "portolan", version = env!("PORTOLAN_VERSION"), propagate_version = true, max_term_width = 100)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub global: GlobalOptions,

    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command. Clap lists them last: their heading comes after a command's own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Print nothing on standard error except errors, the log, and a warning if nothing is requested
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Log filter, such as `info` or `warn,promoter=debug` [env: `PORTOLAN_LOG`]
    #[arg(long, global = true, value_name = "FILTER", long_help = log_help())]
    pub log: Option<String>,

    /// Print help (`-h` for a summary)
    #[arg(long, short, global = true, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print the version
    #[arg(long, short = 'V', global = true, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The help of `--log`, with the list of targets that its error has too.
fn log_help() -> String {
    format!(
        "Log filter, such as `info` or `warn,promoter=debug` [env: `PORTOLAN_LOG`]\n\nThe targets are {}",
        crate::logging::TARGETS.join(", ")
    )
}

/// The verbs, in the order of an image's life. Their help is at their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Promote(Box<Promote>),
    Mirror(Mirror),
    Serve(Serve),
    Explain(Explain),
    /// Blob stores on this machine
    #[command(subcommand)]
    Store(StoreCommand),
    /// The embedded registry, for development, tests and staging
    #[command(subcommand)]
    Registry(RegistryCommand),
    Demo(Demo),
    /// JSON Schemas of Portolan's formats
    #[command(subcommand)]
    Schema(Schema),
    Completions(Completions),
}

impl Command {
    /// The default log filter: servers log what they do, jobs have a report for that. The demo checks its own
    /// output, which a warning would interrupt.
    pub(crate) const fn default_log(&self) -> &'static str {
        match self {
            Self::Serve(_) | Self::Store(_) | Self::Registry(_) => "info",
            Self::Demo(_) => "error",
            _ => "warn",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// Show all of Portolan in one process, with nothing to install.
///
/// Starts a staging and a production registry, two blob stores and a front, all on loopback; pushes an
/// image and a chart to staging; promotes, mirrors and serves them; pulls as clients from different
/// places, and shows where each was sent. Then it serves pulls until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = examples::DEMO)]
pub(crate) struct Demo {
    /// Exit after the pulls: with 0 if every check passed
    #[arg(long)]
    pub exit: bool,
}

/// The formats that have a JSON Schema.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print the JSON Schema of the configuration of `portolan serve`
    ///
    /// For editors and checks: a file that the schema rejects is not a valid configuration.
    #[command(after_help = examples::SCHEMA_FRONT)]
    Front,
    /// Print the JSON Schema of the JSON report of `portolan mirror`
    ///
    /// For programs that read what `--output json` prints.
    #[command(after_help = examples::SCHEMA_MIRROR)]
    Mirror,
    /// Print the JSON Schema of the JSON report of `portolan promote`
    ///
    /// For programs that read what `--output json` prints and `--report` writes.
    #[command(after_help = examples::SCHEMA_REPORT)]
    Report,
}

/// How to install each script. The shells are those that clap knows.
const INSTALLATION: &str = "\
Install:
  bash        mkdir -p ~/.local/share/bash-completion/completions
              portolan completions bash > ~/.local/share/bash-completion/completions/portolan
              (needs the package bash-completion; without it, put this line into ~/.bashrc:
              source <(portolan completions bash))
  zsh         mkdir -p ~/.zfunc && portolan completions zsh > ~/.zfunc/_portolan
              and in ~/.zshrc: fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
  fish        mkdir -p ~/.config/fish/completions
              portolan completions fish > ~/.config/fish/completions/portolan.fish
  elvish      in ~/.config/elvish/rc.elv: eval (portolan completions elvish | slurp)
  powershell  in $PROFILE: portolan completions powershell | Out-String | Invoke-Expression

Then start a new shell.";

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = INSTALLATION)]
pub(crate) struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
