//! A terminal of a given size, and what a user sees on it in the end: the screen with all that scrolled out of it.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

/// Lines that scrolled out of the screen and are kept.
const SCROLLBACK: usize = 10_000;

/// A terminal on which a program runs.
pub(crate) struct Terminal {
    size: (u16, u16),
    program: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    shown: JoinHandle<(vt100::Parser, String)>,
}

impl Terminal {
    pub(crate) fn open(rows: u16, columns: u16) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&user).expect("it is ours");
        unlockpt(&user).expect("it is ours");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&user, size).expect("a size");
        let program =
            ioctl_tiocgptpeer(&user, OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("its end");
        let seen = Arc::default();
        let everything = Arc::clone(&seen);
        let shown =
            tokio::task::spawn_blocking(move || show(File::from(user), &everything, rows, columns));
        Self { size: (rows, columns), program, seen, shown }
    }

    /// Starts `command` with its standard output and standard error on this terminal.
    pub(crate) fn start(&self, command: &mut Command) -> Child {
        let end = || Stdio::from(self.program.try_clone().expect("one more"));
        command.stdout(end()).stderr(end()).env("TERM", "xterm").spawn().expect("it starts")
    }

    /// Prints a text where the cursor is, as the terminal itself does for a key.
    pub(crate) fn print(&self, text: &str) {
        rustix::io::write(&self.program, text.as_bytes()).expect("a terminal");
    }

    /// All that was printed so far.
    pub(crate) fn seen(&self) -> String {
        let seen = self.seen.lock().expect("no panic");
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// All that was printed, what was erased later among it.
    pub(crate) async fn everything(self) -> String {
        drop(self.program);
        self.shown.await.expect("it is read to its end").1
    }

    /// The lines that were seen, once no program has it open any more: those that wrapped are whole again.
    pub(crate) async fn lines(self) -> Vec<String> {
        drop(self.program);
        let (mut parser, _) = self.shown.await.expect("it is read to its end");
        let (rows, columns) = self.size;
        let screen = parser.screen_mut();
        screen.set_scrollback(usize::MAX);
        let above = screen.scrollback();
        let mut seen: Vec<(String, bool)> = Vec::new();
        for back in (1..=above).rev() {
            screen.set_scrollback(back);
            seen.push((screen.rows(0, columns).next().expect("a row"), screen.row_wrapped(0)));
        }
        screen.set_scrollback(0);
        seen.extend(screen.rows(0, columns).zip((0..rows).map(|row| screen.row_wrapped(row))));
        let (mut lines, mut continues) = (Vec::new(), false);
        for (row, wraps) in seen {
            match lines.last_mut() {
                Some(line) if continues => *line += row.as_str(),
                _ => lines.push(row),
            }
            continues = wraps;
        }
        lines
    }
}

fn show(
    mut user: File,
    everything: &Mutex<Vec<u8>>,
    rows: u16,
    columns: u16,
) -> (vt100::Parser, String) {
    let mut parser = vt100::Parser::new(rows, columns, SCROLLBACK);
    let mut piece = [0; 4096];
    loop {
        match user.read(&mut piece) {
            // The error of Linux once the other end is closed.
            Ok(0) | Err(_) => {
                let everything = everything.lock().expect("no panic");
                return (parser, String::from_utf8_lossy(&everything).into_owned());
            }
            Ok(read) => {
                everything.lock().expect("no panic").extend_from_slice(&piece[..read]);
                parser.process(&piece[..read]);
            }
        }
    }
}
