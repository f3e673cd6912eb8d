//! An error with its causes, as one line.

use std::{error::Error, fmt};

/// An error and all its causes, joined by `: `. For errors whose `Display` does not include their causes.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&level(self.0))?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {}", level(cause))?;
            next = cause.source();
        }
        Ok(())
    }
}

/// What an error says itself, without its causes. An error of the operating system is named in words: the number that
/// the standard library adds, ` (os error 2)`, adds nothing.
#[must_use]
pub fn level(error: &(dyn Error + '_)) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.rfind(" (os error ").filter(|_| text.ends_with(')')) {
        text.truncate(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Level(u8);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "level {}", self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            (self.0 == 1).then_some(&Self(2) as _)
        }
    }

    #[test]
    fn each_level_is_printed_once() {
        assert_eq!(Chain(&Level(1)).to_string(), "level 1: level 2");
        assert_eq!(Chain(&Level(2)).to_string(), "level 2");
    }

    #[test]
    fn an_error_of_the_operating_system_is_said_in_words_alone() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        assert_eq!(Chain(&error).to_string(), "No such file or directory");
    }
}
