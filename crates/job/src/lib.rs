//! What every long command shares: whether it writes at all, its progress, an early stop by a signal or a
//! deadline, and the files of its report and metrics.
//!
//! It draws nothing: a progress bar is the binary's. It imports no other crate of the workspace.

mod confirm;
mod named_writer;
mod progress;
mod replaced_file;
mod signals;
mod stop;

pub use confirm::Confirm;
pub use named_writer::NamedWriter;
pub use progress::{Progress, Silent};
pub use replaced_file::{FileError, ReplacedFile, is_same_file};
pub use signals::{stop_on_termination, termination};
pub use stop::{Stop, StopCause, Stopper, stop};
