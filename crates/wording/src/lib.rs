//! The sentences that several crates print alike: numbers with their nouns, what is wrong with a YAML file or its
//! encoding, and why TLS failed.
//!
//! Pure: no I/O, and no types of any domain. What only one crate says is in that crate.

mod counted;
mod slip;
#[cfg(feature = "tls")]
mod tls;
mod utf8;
mod yaml;
mod yaml_position;

pub use counted::{Counted, counted};
#[cfg(feature = "tls")]
pub use tls::{certificate_date, pem_fault, tls_fault};
pub use utf8::{NotUtf8, utf8};
pub use yaml::{yaml_fault, yaml_slip, yaml_syntax};
pub use yaml_position::YamlPosition;
