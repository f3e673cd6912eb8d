//! Texts that several crates print: numbers with their nouns, durations, enums of codes, groups of failures, the
//! layout of rows, quoted text of others, the encoding of text files, and causes of TLS failures.
//!
//! Pure: no I/O, and no types of any domain. A text that only one crate prints is in that crate.

mod chain;
mod codes;
mod counted;
mod duration;
mod failure_groups;
mod layout;
mod list;
mod quoted;
#[cfg(feature = "tls")]
mod tls;
mod utf8;

pub use chain::{Chain, level};
pub use counted::{Counted, counted};
pub use duration::{NotADuration, duration_text, parse_duration};
pub use failure_groups::{FailureGroup, FailureGroups};
pub use layout::{Width, columns, row};
pub use list::{and_more, list};
pub use quoted::{is_control, one_line, quoted};
#[cfg(feature = "tls")]
pub use tls::{certificate_date, pem_fault, tls_fault};
pub use utf8::{NotUtf8, utf8};
