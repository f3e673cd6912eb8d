//! What reaches people besides data: notes and progress on standard error, unless `--quiet`. Data goes
//! to standard output, which commands lock and write themselves.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use transfer::Progress;

/// How often progress is told where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Printer {
    /// Notes, and progress as bars or lines.
    Talkative,
    /// Nothing but data and errors.
    Quiet,
}

impl Printer {
    /// Says something on standard error. That it may be closed is nobody's business.
    pub(crate) fn note(self, text: impl fmt::Display) {
        if self == Self::Talkative {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says what went wrong, however quiet it is to be otherwise.
    pub(crate) fn fault(self, text: impl fmt::Display) {
        let _ = writeln!(io::stderr(), "portolan: {text}");
    }

    /// A place to tell progress to.
    pub(crate) fn progress(self) -> Box<dyn Progress> {
        match self {
            Self::Quiet => Box::new(transfer::Silent),
            Self::Talkative if io::stderr().is_terminal() => Box::new(Bar(ProgressBar::hidden())),
            Self::Talkative => Box::new(Lines(Mutex::default())),
        }
    }
}

/// Standard output, until its reader goes away: what is written after that is dropped, so that work whose
/// end has an exit code goes on to it.
pub(crate) struct Stdout(Option<io::Stdout>);

impl Stdout {
    pub(crate) fn new() -> Self {
        Self(Some(io::stdout()))
    }

    fn unless_closed<T>(
        &mut self,
        nothing: T,
        write: impl FnOnce(&mut io::Stdout) -> io::Result<T>,
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

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), io::Write::flush)
    }
}

/// A bar on a terminal.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn stage(&self, what: &'static str, total: u64) {
        self.0.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            self.0.set_style(style);
        }
        self.0.reset();
        self.0.set_message(what);
        self.0.set_length(total);
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line a stage, and one every [`LINE_EVERY`] while it lasts.
struct Lines(Mutex<Stage>);

#[derive(Default)]
struct Stage {
    what: &'static str,
    total: u64,
    done: u64,
    told: Option<Instant>,
}

impl Lines {
    fn with(&self, change: impl FnOnce(&mut Stage)) {
        let mut stage = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut stage);
        if stage.told.is_none_or(|told| told.elapsed() >= LINE_EVERY) {
            stage.told = Some(Instant::now());
            let _ = writeln!(io::stderr(), "{}: {} of {}", stage.what, stage.done, stage.total);
        }
    }
}

impl Progress for Lines {
    fn stage(&self, what: &'static str, total: u64) {
        self.with(|stage| *stage = Stage { what, total, done: 0, told: None });
    }

    fn advance(&self, steps: u64) {
        self.with(|stage| stage.done += steps);
    }
}
