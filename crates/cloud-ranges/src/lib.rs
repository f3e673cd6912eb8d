//! Published address ranges of clouds, as a longest-prefix map from address to location.
//!
//! Pure: no I/O, no clock. Parsing is total (any bytes give prefixes or an error, never a panic).
//! Fetching the lists, keeping a last good copy and reloading are their reader's business.
//!
//! The formats and the rules are in `docs/internals/cloud-ranges.md`.

mod interval_map;
mod location;
mod parse;
mod ranges;

pub use location::{Location, Prefix};
pub use parse::{Format, FormatError, ParseError, parse};
pub use ranges::{LocationId, Match, Ranges};
