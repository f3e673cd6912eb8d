//! The sentences that several crates print alike: numbers with their nouns, durations, causes of failures, what is wrong with a YAML file or its
//! encoding, and why TLS failed.
//!
//! Pure: no I/O, and no types of any domain. What only one crate says is in that crate.

mod causes;
mod chain;
mod counted;
mod duration;
mod list;
mod slip;
#[cfg(feature = "tls")]
mod tls;
mod utf8;
mod yaml;
mod yaml_position;

pub use causes::{Cause, Causes};
pub use chain::Chain;
pub use counted::{Counted, counted};
pub use duration::{NotADuration, duration_text, parse_duration};
pub use list::{and_more, list};
#[cfg(feature = "tls")]
pub use tls::{certificate_date, pem_fault, tls_fault};
pub use utf8::{NotUtf8, utf8};
pub use yaml::{yaml_fault, yaml_slip, yaml_syntax};
pub use yaml_position::YamlPosition;
