//! Progress of a job: a bar on a terminal, lines elsewhere.

use std::{
    fmt,
    io::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressState, ProgressStyle};
use job::Progress;
use promoter::report::in_bytes;
use registry_client::{HostWait, RegistryClient, Usage};
use wording::counted;

use super::Screen;

/// How often a line is printed at least while a long stage goes on: systems that run jobs end those that are
/// silent for ten minutes.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// How many lines a stage has after its first, however long it is.
const LINES_OF_A_STAGE: u64 = 10;

/// How often the bar is drawn again.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How many hosts are named in progress, the busiest first.
const HOSTS_NAMED: usize = 3;

/// Reports the progress of one job.
pub(super) struct Reporter {
    screen: Screen,
    traffic: Arc<Traffic>,
    stage: Arc<Mutex<Stage>>,
    ticker: Mutex<Option<Ticker>>,
}

impl Reporter {
    pub(super) fn new(screen: Screen, client: RegistryClient) -> Self {
        let traffic = Arc::new(Traffic { client, expected: Mutex::default() });
        Self { screen, traffic, stage: Arc::default(), ticker: Mutex::default() }
    }

    fn with(&self, change: impl FnOnce(&mut Stage)) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut stage);
        if self.screen.has_lines() && stage.is_line_due() {
            stage.print(&self.traffic);
        }
    }

    fn tick(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        ticker.get_or_insert_with(|| {
            let (screen, traffic) = (self.screen.clone(), Arc::clone(&self.traffic));
            Ticker::start(screen, traffic, Arc::clone(&self.stage))
        });
    }
}

impl Progress for Reporter {
    fn stage(&self, what: &'static str, total: u64) {
        if let Some(bar) = self.screen.draw() {
            let template = "{prefix} {wide_bar} {pos}/{len} {left}\n  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.with_key("left", write_time_left));
            }
            bar.reset();
            bar.set_prefix(what);
            bar.set_length(total);
        }
        self.with(|stage| *stage = Stage { what, total, ..Stage::default() });
        self.tick();
    }

    fn advance(&self, steps: u64) {
        if let Some(bar) = self.screen.drawn() {
            bar.inc(steps);
        }
        self.with(|stage| stage.done += steps);
    }

    fn expect_bytes(&self, bytes: u64) {
        self.traffic.expect(bytes);
    }
}

/// The time that the rest of a stage takes, which is unknown before its first step.
fn write_time_left(state: &ProgressState, text: &mut dyn fmt::Write) {
    let left = HumanDuration(state.eta());
    // The caller has nothing to do about an error.
    let _ = if state.pos() > 0 { write!(text, "{left:#}") } else { Ok(()) };
}

impl Drop for Reporter {
    fn drop(&mut self) {
        drop(self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.screen.clear();
    }
}

/// Draws the bar again and again; where there is none, prints a line when a host throttles requests. What is below the bar is
/// made up outside of its lock: the client has locks of its own, and logs.
struct Ticker {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(screen: Screen, traffic: Arc<Traffic>, stage: Arc<Mutex<Stage>>) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            while ended.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                match screen.drawn() {
                    Some(bar) => bar.set_message(traffic.in_words()),
                    None if screen.has_lines() => {
                        stage.lock().unwrap_or_else(PoisonError::into_inner).watch(&traffic);
                    }
                    None => {}
                }
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

/// Waits for the thread, so that nothing is drawn later.
impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What was moved and requested so far.
struct Traffic {
    client: RegistryClient,
    /// The bytes that were sent before they were expected, and how many are expected.
    expected: Mutex<(u64, u64)>,
}

impl Traffic {
    fn expect(&self, bytes: u64) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) =
            (sent(&self.client.usage()), bytes);
    }

    fn in_words(&self) -> String {
        let (before, expected) = *self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = self.client.waits().into_iter().map(|wait| format!("{wait}; "));
        waits.chain([in_words(&self.client.usage(), before, expected)]).collect()
    }
}

fn sent(usage: &[Usage]) -> u64 {
    usage.iter().map(|host| host.bytes_sent).sum()
}

/// The bytes so far, and the requests to the busiest hosts, on one line.
fn in_words(usage: &[Usage], before: u64, expected: u64) -> String {
    let mut busiest: Vec<_> = usage.iter().map(|it| (it.reads + it.writes, &it.host)).collect();
    busiest.sort_by(|one, other| other.cmp(one));
    let received: u64 = usage.iter().map(|host| host.bytes_received).sum();
    let mut text = format!("{} read", in_bytes(received));
    // What a store takes is not counted here.
    let written = in_bytes(sent(usage) - before);
    match expected {
        0 if sent(usage) == before => {}
        0 => text.push_str(&format!(", {written} written")),
        _ => text.push_str(&format!(", {written} written of at most {}", in_bytes(expected))),
    }
    let named = busiest.iter().take(HOSTS_NAMED);
    let named: Vec<_> = named.map(|(requests, host)| format!("{requests} to {host}")).collect();
    text.push_str(&format!("; requests: {}", named.join(", ")));
    if let Some(more) = busiest.len().checked_sub(HOSTS_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {}", counted(more as u64, "more host")));
    }
    text
}

/// How far a stage is.
#[derive(Default)]
struct Stage {
    what: &'static str,
    total: u64,
    done: u64,
    /// When the last line was printed, and how much was done then.
    printed: Option<(Instant, u64)>,
    /// The hosts that ask to wait, as far as a line has said so.
    waits: Vec<String>,
}

impl Stage {
    /// A line is due at the beginning, at each tenth, and at the end.
    fn is_line_due(&self) -> bool {
        let tenth = |done: u64| done.min(self.total) * LINES_OF_A_STAGE / self.total.max(1);
        match self.printed {
            None => self.total > 0,
            Some((at, done)) => tenth(done) < tenth(self.done) || at.elapsed() >= LINE_EVERY,
        }
    }

    /// Prints a line where a host has begun to ask to wait, and from time to time while it does.
    fn watch(&mut self, traffic: &Traffic) {
        let waits = traffic.client.waits().into_iter().map(|HostWait { host, .. }| host);
        let waits: Vec<_> = waits.collect();
        let is_new = waits.iter().any(|host| !self.waits.contains(host));
        let is_due = !waits.is_empty() && self.is_line_due();
        self.waits = waits;
        if self.total > 0 && (is_new || is_due) {
            self.print(traffic);
        }
    }

    fn print(&mut self, traffic: &Traffic) {
        let is_first = self.printed.is_none() && self.waits.is_empty();
        let traffic = if is_first { String::new() } else { format!("; {}", traffic.in_words()) };
        let Self { what, total, done, .. } = *self;
        self.printed = Some((Instant::now(), done));
        let _ = writeln!(io::stderr(), "{what}: {done} of {total}{traffic}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_first_at_each_tenth_and_last() {
        for (total, expected) in [
            (0, vec![]),
            (1, vec![0, 1]),
            (6, vec![0, 1, 2, 3, 4, 5, 6]),
            (25, vec![0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
            (1000, (0..=1000).step_by(100).collect()),
        ] {
            let mut stage = Stage { total, ..Stage::default() };
            let mut printed = Vec::new();
            for done in 0..=total {
                stage.done = done;
                if stage.is_line_due() {
                    stage.printed = Some((Instant::now(), done));
                    printed.push(done);
                }
            }
            assert_eq!(printed, expected, "{total}");
        }
    }

    #[test]
    fn the_busiest_hosts_are_named() {
        let host = |name: &str, reads| Usage {
            host: name.to_owned(),
            reads,
            writes: 1,
            bytes_received: 10,
            bytes_sent: 1 << 20,
            retries: 0,
            throttled: 0,
        };
        let usage = [host("a", 1), host("b", 5), host("c", 3), host("d", 2)];
        assert_eq!(
            in_words(&usage, 1 << 20, 4 << 20),
            "40 B read, 3.0 MiB written of at most 4.0 MiB; requests: 6 to b, 4 to c, 3 to d and 1 more host"
        );
        let nothing_sent = in_words(&usage[..1], 1 << 20, 0);
        assert_eq!(nothing_sent, "10 B read; requests: 2 to a");
        assert_eq!(in_words(&usage[..1], 0, 0), "10 B read, 1.0 MiB written; requests: 2 to a");
    }
}
