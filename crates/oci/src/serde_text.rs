//! How a value with a grammar of its own is read from a string of JSON or YAML.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize as _, Deserializer};

/// Reads a string and parses it: what the `Deserialize` of every closed grammar here does.
pub(crate) fn deserialize_from_str<'de, T, D>(deserializer: D) -> Result<T, String>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    let text = Cow::<'de, str>::deserialize(deserializer).map_err(|e| e.to_string())?;
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
