//! What reaches people besides data: notes and progress on standard error, unless `--quiet`. Data goes
//! to standard output, through [`Printer::stdout`].

mod progress;
mod screen;

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd,
};

use job::Progress;
use registry_client::RegistryClient;
use rustix::termios::tcgetwinsize;
use wording::{Width, one_line, row};

use progress::Reporter;
pub(crate) use screen::{DataWriter, Screen};

/// How much is said, and where.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    screen: Screen,
    verbosity: Verbosity,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Notes, and progress as bars or lines.
    Normal,
    /// Nothing but data, errors and warnings of a likely mistake.
    Quiet,
}

impl Printer {
    pub(crate) const fn new(screen: Screen, verbosity: Verbosity) -> Self {
        Self { screen, verbosity }
    }

    /// Prints a note on standard error, which may be closed.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        if self.verbosity == Verbosity::Normal {
            let text = for_stderr(text);
            let _ = self.screen.without_bar(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// Prints a warning on standard error, unless `--quiet`.
    pub(crate) fn warning(&self, text: impl fmt::Display) {
        self.note(format_args!("{WARNING}{text}"));
    }

    /// Prints a warning on standard error, with `--quiet` too: without it, a run that did nothing would look like a success.
    pub(crate) fn loud_warning(&self, text: impl fmt::Display) {
        let text = for_stderr(format_args!("{WARNING}{text}"));
        let _ = self.screen.without_bar(|| writeln!(io::stderr(), "{text}"));
    }

    /// Prints an error on standard error, with `--quiet` too.
    pub(crate) fn fault(&self, text: impl fmt::Display) {
        let _ = self.screen.without_bar(|| error(text));
    }

    /// Where progress is reported to, with the requests and bytes of `client`.
    pub(crate) fn progress_of(&self, client: &RegistryClient) -> Box<dyn Progress> {
        match self.verbosity {
            Verbosity::Quiet => Box::new(job::Silent),
            Verbosity::Normal => Box::new(Reporter::new(self.screen.clone(), client.clone())),
        }
    }

    /// Standard output, for data. When its reader goes away, an error says so.
    pub(crate) fn stdout(&self) -> DataWriter<io::Stdout> {
        self.screen.data(io::stdout())
    }

    /// Standard output for work that goes on to its exit code when the reader goes away.
    pub(crate) fn lasting_stdout(&self) -> LastingStdout {
        LastingStdout(Some(self.stdout()))
    }

    /// The width of standard output: that of the terminal, if it is one.
    pub(crate) fn width(&self) -> Width {
        width_of(io::stdout())
    }

    /// The screen, for data that goes elsewhere than to standard output.
    pub(crate) const fn screen(&self) -> &Screen {
        &self.screen
    }
}

/// What each error on standard error begins with, those of the command line among them.
const ERROR: &str = "error: ";

/// What each warning on standard error begins with.
const WARNING: &str = "warning: ";

/// Prints an error on standard error, in lines that fit a terminal.
pub(crate) fn error(text: impl fmt::Display) -> io::Result<()> {
    writeln!(io::stderr(), "{}", for_stderr(format_args!("{ERROR}{text}")))
}

/// The lines of `text`, wrapped between words where standard error is a terminal. Names of files and projects in it do not
/// control the terminal.
fn for_stderr(text: impl fmt::Display) -> String {
    let text: Vec<_> = text.to_string().lines().map(one_line).collect();
    wrapped(&text.join("\n"), width_of(io::stderr()))
}

/// The lines of `text`, each wrapped between words where it is wider than that.
pub(crate) fn wrapped(text: &str, width: Width) -> String {
    text.lines().map(|line| row(0, &[line], width)).collect::<Vec<_>>().join("\n")
}

/// The width of a terminal, or what `COLUMNS` says of it; unlimited where `stream` is not one.
fn width_of(stream: impl AsFd) -> Width {
    if !stream.as_fd().is_terminal() {
        return Width::Unlimited;
    }
    let of_terminal = || Some(usize::from(tcgetwinsize(&stream).ok()?.ws_col));
    let columns = crate::environment::columns().or_else(of_terminal);
    columns.filter(|columns| *columns > 0).map_or(Width::Unlimited, Width::Columns)
}

/// Standard output, until its reader goes away: what is written after that is dropped, so that work whose
/// end has an exit code goes on to it.
pub(crate) struct LastingStdout(Option<DataWriter<io::Stdout>>);

impl LastingStdout {
    fn unless_closed<T>(
        &mut self,
        nothing: T,
        write: impl FnOnce(&mut DataWriter<io::Stdout>) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(out) = &mut self.0 else { return Ok(nothing) };
        match write(out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(nothing)
            }
            other => other,
        }
    }
}

impl io::Write for LastingStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), io::Write::flush)
    }
}
