//! Quantities as they are typed on the command line: sizes, times and counts.

use std::time::Duration;

/// Units of sizes, in bytes.
const SIZES: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1), ("", 1)];

/// Bytes: `4MiB`, `1000`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let size = with_unit(text, &SIZES);
    size.ok_or_else(|| {
        "write a whole number of bytes, KiB, MiB, GiB or TiB, such as 4MiB".to_owned()
    })
}

/// A time: `90s`, `15m`, `1h`, `2d`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match wording::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("write more than 0s, such as 90s".to_owned()),
        time => time.map_err(|error| error.to_string()),
    }
}

/// How many there may be: not zero, and not more than can be counted.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1 << 20).contains(count));
    count.ok_or_else(|| "write a number from 1 to 1048576".to_owned())
}

/// A whole number and one of these units, which end differently or are tried in this order.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse::<u64>().ok()?.checked_mul(*factor)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, bytes) in
            [("0", 0), ("1000", 1000), ("7B", 7), ("4MiB", 4 << 20), ("2TiB", 2 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "+1", "1MB", "1 MiB", "1.5GiB", "99999999TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "0s", "0ms", "1", "1x", "-1s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(count("256"), Ok(256));
        for bad in ["", "0", "-1", "1048577", "many"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
