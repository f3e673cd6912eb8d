//! Text files that are not UTF-8.
//!
//! Source: Unicode 16.0 §23.8 (byte order marks).

use std::{error::Error, fmt, io};

/// A file is not UTF-8. The message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUtf8 {
    /// It begins with the byte order mark of UTF-16, as editors on Windows write it.
    Utf16,
    /// It is something else.
    Other {
        /// The number of bytes before the first invalid one.
        valid: usize,
    },
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 => f.write_str("the file is UTF-16; save it as UTF-8"),
            Self::Other { valid } => {
                write!(
                    f,
                    "not UTF-8 after {}; save the file as UTF-8",
                    crate::counted(*valid as u64, "byte")
                )
            }
        }
    }
}

impl Error for NotUtf8 {}

impl From<NotUtf8> for io::Error {
    fn from(error: NotUtf8) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The text of a file that should be UTF-8.
///
/// # Errors
/// When it is not.
pub fn utf8(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(NotUtf8::Utf16);
    }
    let text = String::from_utf8(bytes);
    text.map_err(|error| NotUtf8::Other { valid: error.utf8_error().valid_up_to() })
}
