//! An error with its causes, as one line.

use std::{error::Error, fmt};

/// An error and all that caused it, joined by `: `. For errors whose `Display` says their own level only.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
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
}
