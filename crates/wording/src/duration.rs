//! Durations as they are written in configurations and on the command line: `250ms`, `90s`, `15m`, `1h`, `7d`.

use std::{error::Error, fmt, time::Duration};

/// Units, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text is not a duration. The message does not include the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADuration;

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a duration; write a whole number and ms, s, m, h or d, such as 90s")
    }
}

impl Error for NotADuration {}

/// Parses a whole number and a unit. Zero needs a unit too.
///
/// # Errors
/// When the text is anything else.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
    let millis = count.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    millis.map(Duration::from_millis).ok_or(NotADuration)
}

/// The shortest text that [`parse_duration`] reads as this many whole milliseconds.
#[must_use]
pub fn duration_text(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    let (name, unit) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, millis, printed) in [
            ("1s", 1_000, "1s"),
            ("250ms", 250, "250ms"),
            ("24h", 86_400_000, "1d"),
            ("15m", 900_000, "15m"),
            ("2d", 172_800_000, "2d"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(duration_text(Duration::from_millis(millis)), printed);
        }
        for bad in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "1 s",
            "1S",
            "1w",
            "1x",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert_eq!(parse_duration(bad), Err(NotADuration), "{bad:?}");
        }
    }
}
