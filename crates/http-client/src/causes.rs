//! The chain of causes behind an error of a library, in one line.

use std::{error::Error as StdError, fmt, io};

use hyper_util::client::legacy;
use wording::level;

use crate::not_resolved::NotResolved;

/// What hyper-util's connector says of every failed connect, and of every failed look-up of a name.
const STEPS: [&str; 2] = ["tcp connect error", "dns error"];

/// Whether the text of this error, of the pool or its connector, says nothing that its source does not.
fn adds_nothing(error: &(dyn StdError + 'static)) -> bool {
    error.is::<legacy::Error>() || STEPS.contains(&error.to_string().as_str())
}

/// An error of some library below, kept for its text.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error and what caused it, in one line; a cause whose text is already part of it is left out.
pub struct Causes<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = self.0;
        while let Some(cause) = first.source().filter(|_| adds_nothing(first)) {
            first = cause;
        }
        let mut text_so_far = level(first);
        f.write_str(&text_so_far)?;
        let mut cause = first.source();
        while let Some(error) = cause {
            let text = level(error);
            if !text_so_far.contains(&text) {
                write!(f, ": {text}")?;
                text_so_far = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Why there is no connection, from an error of the connector: the name was not resolved, or the address not reached.
pub(crate) struct NoConnection<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for NoConnection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match cause_of::<NotResolved>(self.0) {
            Some(unknown) => unknown.fmt(f),
            None => write!(f, "cannot connect: {}", Causes(self.0)),
        }
    }
}

/// The first error of this type in the chain of causes.
pub(crate) fn cause_of<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Whether the system refused for want of file descriptors, in the process or on the whole machine.
pub(crate) fn is_out_of_descriptors(error: &(dyn StdError + 'static)) -> bool {
    // ENFILE and EMFILE, which are the same on every Unix.
    let is_one = |error: &io::Error| matches!(error.raw_os_error(), Some(23 | 24));
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(is_one) {
            return true;
        }
        cause = error.source();
    }
    false
}
