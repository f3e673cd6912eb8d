//! What reaches people besides data: notes and progress on standard error, unless `--quiet`. Data goes
//! to standard output, which commands lock and write themselves.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use promoter::report::in_bytes;
use registry_client::{Client, Spent};
use transfer::Progress;

/// How often progress is told where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How often what is below the bar is drawn on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How many hosts are named in progress, the busiest first.
const HOSTS_NAMED: usize = 3;

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
        self.progress_with(None)
    }

    /// The same, which tells too what `client` asks of the registries.
    pub(crate) fn progress_of(self, client: &Client) -> Box<dyn Progress> {
        self.progress_with(Some(client.clone()))
    }

    fn progress_with(self, client: Option<Client>) -> Box<dyn Progress> {
        match self {
            Self::Quiet => Box::new(transfer::Silent),
            Self::Talkative if io::stderr().is_terminal() => Box::new(Bar::new(client)),
            Self::Talkative => Box::new(Lines::new(client)),
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

/// A bar on a terminal, and below it what moves and what is asked of whom.
struct Bar {
    bar: ProgressBar,
    traffic: Option<Arc<Traffic>>,
}

/// What the line below a bar is made of, each time that it is drawn.
struct Traffic {
    client: Client,
    /// The bytes that were sent before they were expected, and how many are expected.
    expected: Mutex<(u64, u64)>,
}

impl Traffic {
    fn expect(&self, bytes: u64) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) =
            (sent(&self.client.spent()), bytes);
    }

    fn told(&self) -> String {
        let (before, expected) = *self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        in_words(&self.client.spent(), before, expected)
    }
}

impl Bar {
    fn new(client: Option<Client>) -> Self {
        let traffic = client.map(|client| Arc::new(Traffic { client, expected: Mutex::default() }));
        Self { bar: ProgressBar::hidden(), traffic }
    }

    fn style(&self) -> Option<ProgressStyle> {
        let bar = "{msg} {wide_bar} {pos}/{len} {eta}";
        let Some(traffic) = self.traffic.clone() else {
            return ProgressStyle::with_template(bar).ok();
        };
        let style = ProgressStyle::with_template(&format!("{bar}\n  {{traffic}}")).ok()?;
        let told = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            // Nothing else than a line on a terminal is lost.
            let _ = out.write_str(&traffic.told());
        };
        Some(style.with_key("traffic", told))
    }
}

impl Progress for Bar {
    fn stage(&self, what: &'static str, total: u64) {
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Some(style) = self.style() {
            self.bar.set_style(style);
        }
        self.bar.reset();
        self.bar.set_message(what);
        self.bar.set_length(total);
        self.bar.enable_steady_tick(DRAW_EVERY);
    }

    fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    fn expect_bytes(&self, bytes: u64) {
        if let Some(traffic) = &self.traffic {
            traffic.expect(bytes);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn sent(spent: &[Spent]) -> u64 {
    spent.iter().map(|host| host.bytes_sent).sum()
}

/// What moved so far and what was asked of the busiest hosts, on one line.
fn in_words(spent: &[Spent], before: u64, expected: u64) -> String {
    let mut busiest: Vec<_> = spent.iter().map(|it| (it.reads + it.writes, &it.host)).collect();
    busiest.sort_by(|one, other| other.cmp(one));
    let received: u64 = spent.iter().map(|host| host.bytes_received).sum();
    let mut text =
        format!("{} read, {} written", in_bytes(received), in_bytes(sent(spent) - before));
    if expected > 0 {
        text.push_str(&format!(" (blobs: {} at most)", in_bytes(expected)));
    }
    text.push_str("; requests:");
    for (requests, host) in busiest.iter().take(HOSTS_NAMED) {
        text.push_str(&format!(" {host} {requests}"));
    }
    if let Some(more) = busiest.len().checked_sub(HOSTS_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} hosts more"));
    }
    text
}

/// A line a stage, and one every [`LINE_EVERY`] while it lasts.
struct Lines {
    traffic: Option<Traffic>,
    stage: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    what: &'static str,
    total: u64,
    done: u64,
    told: Option<Instant>,
}

impl Lines {
    fn new(client: Option<Client>) -> Self {
        let traffic = client.map(|client| Traffic { client, expected: Mutex::default() });
        Self { traffic, stage: Mutex::default() }
    }

    fn with(&self, change: impl FnOnce(&mut Stage)) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut stage);
        let is_first = stage.told.is_none() && stage.total > 0;
        if is_first || stage.told.is_some_and(|told| told.elapsed() >= LINE_EVERY) {
            stage.told = Some(Instant::now());
            let traffic = self.traffic.as_ref().filter(|_| !is_first);
            let traffic =
                traffic.map(|traffic| format!("; {}", traffic.told())).unwrap_or_default();
            let Stage { what, done, total, .. } = *stage;
            let _ = writeln!(io::stderr(), "{what}: {done} of {total}{traffic}");
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

    fn expect_bytes(&self, bytes: u64) {
        if let Some(traffic) = &self.traffic {
            traffic.expect(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_hosts_are_named() {
        let host = |name: &str, reads| Spent {
            host: name.to_owned(),
            reads,
            writes: 1,
            bytes_received: 10,
            bytes_sent: 1 << 20,
            retries: 0,
            refused: 0,
        };
        let spent = [host("a", 1), host("b", 5), host("c", 3), host("d", 2)];
        assert_eq!(
            in_words(&spent, 1 << 20, 4 << 20),
            "40 B read, 3.0 MiB written (blobs: 4.0 MiB at most); requests: b 6 c 4 d 3 and 1 hosts more"
        );
        assert_eq!(in_words(&spent[..1], 0, 0), "10 B read, 1.0 MiB written; requests: a 2");
    }
}
