//! The terminal that the progress bar shares with everything else that is printed. Drawing a bar again
//! erases the lines that it had; whatever was printed into them meanwhile would go with it. So all output of
//! a command goes through here, and the bar is cleared before each piece of it.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileTypeExt as _,
    },
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;
use tracing_subscriber::fmt::MakeWriter;

/// The bar, if there is one, and who may write where it stands. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bar: ProgressBar,
    drawing: Arc<AtomicU8>,
}

/// No bar is on the screen.
const ABSENT: u8 = 0;
/// A bar may be on the screen.
const DRAWN: u8 = 1;
/// Progress is lines: there is no terminal, or another program prints to it, at unknown times.
const LINES: u8 = 2;
/// Progress has ended: the user interrupted the command.
const ENDED: u8 = 3;

impl Screen {
    /// A screen without a bar. Where standard error is no terminal, there will never be one.
    pub(crate) fn new() -> Self {
        let drawing = if io::stderr().is_terminal() { ABSENT } else { LINES };
        Self { bar: ProgressBar::hidden(), drawing: Arc::new(AtomicU8::new(drawing)) }
    }

    /// The bar, to be drawn from now on; none where there cannot be one.
    pub(super) fn draw(&self) -> Option<&ProgressBar> {
        let drawn =
            self.drawing.compare_exchange(ABSENT, DRAWN, Ordering::AcqRel, Ordering::Acquire);
        match drawn {
            Ok(_) => self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(
                Box::new(BarTerminal::default()),
                DRAWS_A_SECOND,
            )),
            Err(LINES | ENDED) => return None,
            Err(_) => {}
        }
        Some(&self.bar)
    }

    /// The bar, if it is drawn.
    pub(super) fn drawn(&self) -> Option<&ProgressBar> {
        (self.drawing.load(Ordering::Acquire) == DRAWN).then_some(&self.bar)
    }

    /// Clears the bar. Another may be drawn later.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.drawn() {
            // Before it counts as absent, or another thread could print below it, and lose what it printed.
            bar.finish_and_clear();
            let _ =
                self.drawing.compare_exchange(DRAWN, ABSENT, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Whether progress is lines.
    pub(super) fn has_lines(&self) -> bool {
        self.drawing.load(Ordering::Acquire) == LINES
    }

    /// Clears the bar for good; progress goes on as lines.
    fn print_lines(&self) {
        self.clear_for_good(LINES);
    }

    /// Clears the bar for good, and ends progress on a terminal. The process may end when this returns.
    pub(crate) fn end_progress(&self) {
        self.clear_for_good(ENDED);
    }

    fn clear_for_good(&self, then: u8) {
        if matches!(self.drawing.load(Ordering::Acquire), ABSENT | DRAWN) {
            self.bar.finish_and_clear();
            self.drawing.store(then, Ordering::Release);
            // A new stage may have drawn it meanwhile.
            self.bar.finish_and_clear();
        }
    }

    /// Does `print`, which prints whole lines, while no bar is on the screen.
    pub(super) fn without_bar<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.drawn() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// A writer of data to `out`, which may be the same terminal.
    pub(crate) fn data<W: Write + AsFd>(&self, out: W) -> DataWriter<W> {
        let reader = OutputKind::of(out.as_fd());
        DataWriter { screen: self.clone(), out, reader, line: Vec::new() }
    }
}

/// How often the bar is drawn at most.
const DRAWS_A_SECOND: u8 = 20;

/// Standard error, a terminal, as the bar is drawn on it. The cursor is left at the beginning of the bar's last line. At
/// its end, where the library leaves it, the `^C` that a terminal prints would begin a new line, and the bar would be
/// cleared one line too low.
#[derive(Debug, Default)]
struct BarTerminal(Mutex<String>);

impl BarTerminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// A sequence of ECMA-48 that moves the cursor so many times.
    fn cursor(&self, times: usize, to: char) -> io::Result<()> {
        if times == 0 { Ok(()) } else { self.add(&format!("\u{1b}[{times}{to}")) }
    }

    /// Rows and columns; those of a VT100 where the system does not know them.
    fn size() -> (u16, u16) {
        let size = tcgetwinsize(io::stderr()).map(|size| (size.ws_row, size.ws_col));
        size.ok().filter(|(rows, columns)| *rows > 0 && *columns > 0).unwrap_or((24, 80))
    }
}

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        Self::size().1
    }

    fn height(&self) -> u16 {
        Self::size().0
    }

    fn move_cursor_up(&self, times: usize) -> io::Result<()> {
        self.cursor(times, 'A')
    }

    fn move_cursor_down(&self, times: usize) -> io::Result<()> {
        self.cursor(times, 'B')
    }

    fn move_cursor_right(&self, times: usize) -> io::Result<()> {
        self.cursor(times, 'C')
    }

    fn move_cursor_left(&self, times: usize) -> io::Result<()> {
        self.cursor(times, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        self.add("\r")?;
        let drawn = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        io::stderr().write_all(drawn.as_bytes())
    }
}

/// What is at the other end of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputKind {
    /// A terminal, which may be the one with the bar.
    Terminal,
    /// Another program, such as `tee`, which may print to that terminal whenever it likes.
    Program,
    /// A file.
    File,
}

impl OutputKind {
    fn of(out: BorrowedFd<'_>) -> Self {
        if out.is_terminal() {
            return Self::Terminal;
        }
        let metadata = out.try_clone_to_owned().and_then(|out| File::from(out).metadata());
        match metadata.map(|it| it.file_type()) {
            Ok(kind) if kind.is_fifo() || kind.is_socket() => Self::Program,
            _ => Self::File,
        }
    }
}

/// Writes data past the bar. On a terminal the bar comes back below each line; when the data goes to another
/// program, the bar is given up at the first byte, and progress goes on as lines.
#[derive(Debug)]
pub(crate) struct DataWriter<W: Write> {
    screen: Screen,
    out: W,
    reader: OutputKind,
    /// The line that was begun: on a terminal it is written as a whole. It is no longer than a row of a report.
    line: Vec<u8>,
}

impl<W: Write> Write for DataWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.reader {
            OutputKind::Program => self.screen.print_lines(),
            OutputKind::File => {}
            OutputKind::Terminal => {
                let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let (whole, begun) = bytes.split_at(end);
                if !whole.is_empty() {
                    self.line.extend_from_slice(whole);
                    self.print()?;
                }
                self.line.extend_from_slice(begun);
                return Ok(bytes.len());
            }
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> DataWriter<W> {
    fn print(&mut self) -> io::Result<()> {
        let (out, line) = (&mut self.out, std::mem::take(&mut self.line));
        let written = self.screen.without_bar(|| out.write_all(&line).and_then(|()| out.flush()));
        // The terminal is gone (SIGHUP): the other outputs of the run are still written.
        written.or_else(|error| if is_hung_up(&error) { Ok(()) } else { Err(error) })
    }
}

/// Whether a terminal is gone.
fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// A line that is never ended is written too. The terminal may be gone by then.
impl<W: Write> Drop for DataWriter<W> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            let _ = self.print();
        }
    }
}

/// The log goes to standard error past the bar.
impl MakeWriter<'_> for Screen {
    type Writer = LogWriter;

    fn make_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }
}

/// Writes events of the log, each by one call.
pub(crate) struct LogWriter(Screen);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.without_bar(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
